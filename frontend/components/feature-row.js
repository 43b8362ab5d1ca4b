/** One feature in a list: what it is called, where it fires most, what it writes, how often and how strongly it fires. */

import { h } from "../lib/dom.js";
import { featureId, featureName, featurePath, formatPercent, formatR2, formatValue } from "../lib/format.js";
import { browse as strings } from "../pages/browse-strings.js";
import { chooseButton } from "./choose-button.js";
import { featureNameNodes } from "./feature-name.js";
import { sparkline } from "./sparkline.js";
import { statusMark } from "./status-mark.js";
import { tokenChip } from "./token-chip.js";
import { concordance } from "./token-strip.js";

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
    cell(row.label ? "name" : "name is-tokens", statusMark(row.status), featureNameNodes(row), Number.isFinite(row.score) && h("span", { class: "muted small num", title: strings.scoreTitle }, ` ${row.score.toFixed(2)}`)),
    cell("snippet", snippet(row)),
    cell("promoted", row.promoted.map(({ text }) => tokenChip(text))),
    cell("histogram", dead ? null : sparkline(row.sparkline)),
    cell("token", h("span", { class: "num" }, formatR2(row.token_r2))),
    cell("rate", h("span", { class: "num" }, formatPercent(row.rate))),
    cell("max", h("span", { class: "num" }, dead ? "–" : formatValue(row.max))),
  );
}

function snippet({ snippet: part, status }) {
  if (!part) return status === "dead" ? h("span", { class: "muted small" }, strings.neverFires) : null;
  return concordance(part.tokens, part.values, { peak: part.peak });
}
