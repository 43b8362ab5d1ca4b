/** How each pair of features relates: what they write, whether they fire together, which tokens and contexts they share. */

import { h } from "../lib/dom.js";
import { featureId, formatInteger, formatValue } from "../lib/format.js";
import { compare as text } from "../pages/compare-strings.js";
import { tokenChip } from "./token-chip.js";

const SHOWN = 6;

/** cosines: [n, n]; null while they are being asked for, undefined where they could not be had. */
export function pairTable(features, cosines) {
  const pairs = features.flatMap((first, i) => features.slice(i + 1).map((second, k) => [first, second, i, i + 1 + k]));
  const head = [[text.pair], [text.cosine, text.cosineTitle], [text.together], [text.tokens, text.tokensTitle], [text.contexts, text.contextsTitle]];
  return h(
    "section",
    { class: "compare-pairs panel" },
    h("table", {},
      h("caption", { class: "visually-hidden" }, text.pairs),
      h("thead", {}, h("tr", {}, head.map(([name, title]) => h("th", { scope: "col", title }, name)))),
      h("tbody", {}, pairs.map(([first, second, i, k]) => row(first, second, cosines === null ? null : cosines?.[i][k])))),
    h("p", { class: "muted small note" }, text.sharedMark),
  );
}

function row(first, second, cosine) {
  const cell = (name, className, ...content) => h("td", { class: className, dataset: { name } }, ...content);
  const overlap = overlapping(first.contexts, second.contexts);
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "num" }, `${featureId(first.layer, first.index)} – ${featureId(second.layer, second.index)}`),
    cell(text.cosine, "num", cosine === null ? "…" : cosine === undefined ? h("span", { class: "muted" }, text.cosineFailed) : [text.cosineValue(cosine), meter(cosine)]),
    cell(text.together, "", together(first, second)),
    cell(text.tokens, "compare-shared", sharedTokens(first, second)),
    cell(text.contexts, "num", overlap ? text.sharedContexts(overlap) : h("span", { class: "muted" }, text.none)),
  );
}

const meter = (cosine) => h("span", { class: "cosine-meter", "aria-hidden": "true", dataset: { sign: cosine < 0 ? "down" : "up" }, style: { "--part": Math.abs(cosine) } });

function together(first, second) {
  const muted = (words) => h("span", { class: "muted" }, words);
  if (first.source !== second.source) return muted(text.otherLayers);
  if (first.cofiring === null) return muted(text.noSample);
  const found = first.cofiring.find(({ index }) => index === second.index) ?? second.cofiring?.find(({ index }) => index === first.index);
  return found ? h("span", { class: "num" }, text.lift(formatValue(found.lift), formatInteger(found.joint))) : muted(text.notListed);
}

function sharedTokens(first, second) {
  const both = (key) => {
    const others = new Set(second[key].map((token) => token.text));
    return first[key].filter((token) => others.has(token.text)).slice(0, SHOWN).map((token) => tokenChip(token.text));
  };
  const groups = [
    [text.parts.firesOn, both("top_tokens")],
    [text.parts.promotes, both("promoted")],
  ].filter(([, chips]) => chips.length);
  if (!groups.length) return h("span", { class: "muted" }, text.none);
  return groups.map(([name, chips]) => h("div", {}, h("span", { class: "muted small" }, `${name} `), chips));
}

/** How many contexts of the first lie over one of the second, in the same document. */
export function overlapping(first, second) {
  const over = (a, b) => a.document === b.document && a.start < b.start + b.tokens.length && b.start < a.start + a.tokens.length;
  return first.filter((context) => second.some((other) => over(context, other))).length;
}
