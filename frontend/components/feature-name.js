/** What a feature is called, as elements. */

import { h } from "../lib/dom.js";
import { automaticBadge } from "./automatic-badge.js";
import { tokenChip } from "./token-chip.js";

const TOKENS_SHOWN = 4;

/** A label, marked where it is an automatic one, or the tokens it fires on most as chips. */
export function featureNameNodes(row, shown = TOKENS_SHOWN) {
  if (row.label) return [h("span", { class: "feature-label", dir: "auto", title: row.label }, row.label), automaticBadge(row.label_origin, { short: true })];
  return row.top_tokens.slice(0, shown).map((token) => tokenChip(typeof token === "string" ? token : token.text));
}
