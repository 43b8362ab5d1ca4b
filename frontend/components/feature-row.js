/** One feature in a list: what it is called, where it fires most, what it writes, how often and how strongly it fires. */

import { h } from "../lib/dom.js";
import { featureId, featureName, featurePath, formatPercent, formatR2, formatValue } from "../lib/format.js";
import { browse as strings } from "../pages/browse-strings.js";
import { automaticBadge } from "./automatic-badge.js";
import { sparkline } from "./sparkline.js";
import { statusMark } from "./status-mark.js";
import { concordance, tokenChip } from "./token-strip.js";

const TOKENS_SHOWN = 4;

/** A label, marked where it is an automatic one, or the tokens it fires on most as chips. */
export function featureNameNodes(row, shown = TOKENS_SHOWN) {
  if (row.label) return [h("span", { class: "feature-label", dir: "auto", title: row.label }, row.label), automaticBadge(row.label_origin, { short: true })];
  return row.top_tokens.slice(0, shown).map((token) => tokenChip(typeof token === "string" ? token : token.text));
}

/**
 * A row of the list on Browse (cells of an ARIA table).
 * `position` is its 1-based place in the whole list.
 */
export function featureRow(row, { position }) {
  const href = featurePath(row.source, row.index);
  const id = featureId(row.layer, row.index);
  const dead = row.status === "dead";
  const cell = (name, ...children) => h("div", { role: "cell", class: `cell-${name}` }, ...children);
  return h(
    "div",
    { role: "row", class: "feature-row", "aria-rowindex": position + 1, dataset: { href } },
    cell("id", h("a", { href, class: "row-link num", "aria-label": `${id} ${featureName(row)}` }, id)),
    cell("name", statusMark(row.status), featureNameNodes(row)),
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
