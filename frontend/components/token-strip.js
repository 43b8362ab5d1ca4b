/**
 * Text shaded by activation. Silent tokens run together in plain text nodes; each token that fires is a <mark> with one
 * of ten heat levels, its value in a tip (see value-tip.js), an underline from the upper third on, and a thick one at the peak: the
 * strength is never told by colour alone. Line breaks and tabs stay in the text (so that copying copies the truth) and
 * show a glyph.
 */

import { h } from "../lib/dom.js";
import { visible } from "../lib/format.js";
import { strings } from "../lib/strings.js";
import { runsRightToLeft } from "../lib/tokens.js";
import { readingUnits } from "../lib/units.js";
import { visibleText } from "./token-chip.js";
import "./value-tip.js";

const LEVELS = 10;

/** 1…10 for a value that fires, 0 for silence; `max` is the value that gets 10. */
export function heatLevel(value, max) {
  if (!(value > 0) || !(max > 0)) return 0;
  return Math.max(1, Math.min(LEVELS, Math.ceil((value / max) * LEVELS)));
}

/**
 * @param {string[]} tokens display texts
 * @param {number[]} values activation per token, 0 where silent
 * @param {{ max?: number, peak?: number|null, multiline?: boolean }} options
 *   `max` is the value shaded strongest (default: the largest given); `multiline` lets line breaks break.
 */
export function tokenStrip(tokens, values, { max = Math.max(...values), peak = null, multiline = false } = {}) {
  return h("span", { class: `strip${multiline ? " is-multiline" : ""}`, dir: "auto" }, shade(readingUnits(tokens, values, peak), max));
}

/**
 * One line with the peak at the same place in every row, as in a concordance, so that the eye runs down the column of
 * peaks. `before` limits the characters in front of the peak. Text that mostly runs right to left has no such column and
 * comes as a plain strip.
 */
export function concordance(tokens, values, { max = Math.max(...values), peak, before = 60 }) {
  const units = readingUnits(tokens, values, peak);
  const at = units.findIndex((unit) => unit.isPeak);
  const from = windowStart(units, at, before);
  if (runsRightToLeft(units.slice(from).map((unit) => unit.text).join(""))) {
    return h("span", { class: "strip", dir: "auto" }, from > 0 && h("span", { class: "cut" }, "…"), shade(units.slice(from), max));
  }
  return h(
    "span",
    { class: "kwic strip", dir: "ltr" },
    h("span", { class: "kwic-before" }, h("span", {}, shade(units.slice(from, at), max))),
    h("span", { class: "kwic-after" }, shade(units.slice(at), max)),
  );
}

/** First unit to show so that at most `characters` stand before the peak. */
function windowStart(units, peak, characters) {
  let start = peak;
  for (let room = characters; start > 0; start--) {
    room -= units[start - 1].text.length;
    if (room < 0) break;
  }
  return start;
}

function shade(units, max) {
  return units.map(({ text, value, isPeak, parts }) => {
    const level = heatLevel(value, max);
    if (level === 0) return visibleText(text);
    const tip = parts.map(([token, part]) => strings.token.strength(visible(token), part)).join("\n");
    return h("mark", { dataset: { heat: level, tip: isPeak ? strings.token.strongest(tip) : tip }, class: isPeak ? "peak" : null }, visibleText(text));
  });
}
