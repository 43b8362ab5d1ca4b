/** One feature in a list: what it is called, where it fires most, what it writes, how often and how strongly it fires. */

import { h } from "../lib/dom.js";
import { featureId, featureName, featurePath, formatPercent, formatR2, formatValue } from "../lib/format.js";
import { browse as strings } from "../pages/browse-strings.js";
import { featureNameNodes } from "./feature-name.js";
import { sparkline } from "./sparkline.js";
import { statusMark } from "./status-mark.js";
import { concordance, tokenChip } from "./token-strip.js";

/** A row of the list on Browse: cells of an ARIA grid, with a button that chooses it. */
export function featureRow(row) {
  const href = featurePath(row.source, row.index);
  const id = featureId(row.layer, row.index);
  const dead = row.status === "dead";
  const cell = (name, ...children) => h("div", { role: "gridcell", class: `cell-${name}` }, ...children);
  return h(
    "div",
    { role: "row", class: "feature-row", dataset: { href } },
    cell("choose", chooseButton(id)),
    cell("id", h("a", { href, class: "row-link num", tabindex: "-1", "aria-label": `${id} ${featureName(row)}` }, id)),
    cell(row.label ? "name" : "name is-tokens", statusMark(row.status), featureNameNodes(row)),
    cell("snippet", snippet(row)),
    cell("promoted", row.promoted.map(({ text }) => tokenChip(text))),
    cell("histogram", dead ? null : sparkline(row.sparkline)),
    cell("token", h("span", { class: "num" }, formatR2(row.token_r2))),
    cell("rate", h("span", { class: "num" }, formatPercent(row.rate))),
    cell("max", h("span", { class: "num" }, dead ? "–" : formatValue(row.max))),
  );
}

/** The same beside a map, where there is little room: what it is called, and how often it fires. */
export function shortFeatureRow(row) {
  const href = featurePath(row.source, row.index);
  const id = featureId(row.layer, row.index);
  const cell = (name, ...children) => h("div", { role: "gridcell", class: `cell-${name}` }, ...children);
  return h(
    "div",
    { role: "row", class: "feature-row is-short", dataset: { href, key: `${row.source}:${row.index}` } },
    cell("choose", chooseButton(id)),
    cell("id", h("a", { href, class: "row-link num", tabindex: "-1", "aria-label": `${id} ${featureName(row)}` }, id)),
    cell(row.label ? "name" : "name is-tokens", statusMark(row.status), featureNameNodes(row)),
    cell("rate", h("span", { class: "num" }, formatPercent(row.rate))),
  );
}

/** Pressed when the row is chosen; by keyboard, Space does the same on the row. */
function chooseButton(id) {
  return h("button", { type: "button", class: "choose", tabindex: "-1", "aria-pressed": "false", "aria-label": strings.choose(id), title: strings.chooseTitle });
}

function snippet({ snippet: part, status }) {
  if (!part) return status === "dead" ? h("span", { class: "muted small" }, strings.neverFires) : null;
  return concordance(part.tokens, part.values, { peak: part.peak });
}
