/** One feature in a comparison: what the first screen of its own page says, in one column. */

import { fill, h } from "../lib/dom.js";
import { featureId, featureName, featurePath, formatInteger, formatPercent, formatR2, formatValue, layerOf } from "../lib/format.js";
import { compare as text } from "../pages/compare-strings.js";
import { feature as featureText } from "../pages/feature-strings.js";
import { automaticBadge } from "./automatic-badge.js";
import { contextList } from "./context-list.js";
import { featureNameNodes } from "./feature-name.js";
import { logitTable, shareTable } from "./feature-tables.js";
import { sparkline } from "./sparkline.js";
import { statusMark } from "./status-mark.js";

const CONTEXTS = 6;
const TOKENS = 8;
const HISTOGRAM = { width: 300, height: 56 };

/** feature: of the API, or { missing, source, index }; all: those that are there; actions: { remove, swap or null }. */
export function compareCard(feature, all, { remove, swap }) {
  const { source, index } = feature;
  const id = featureId(layerOf(source) ?? "?", index);
  const tools = h(
    "div",
    { class: "compare-tools" },
    swap && h("button", { type: "button", class: "icon-button", title: text.swap, "aria-label": `${text.swap}: ${id}`, onclick: swap }, "←"),
    h("button", { type: "button", class: "icon-button", title: text.removeShort, "aria-label": text.remove(id), onclick: remove }, "×"),
  );
  const card = h("article", { class: "panel compare-card", "aria-label": feature.missing ? id : `${id} ${featureName(feature)}` });
  if (feature.missing) return fill(card, h("header", {}, h("span", { class: "num" }, id), tools), h("p", {}, h("b", {}, text.unknown)), h("p", { class: "muted small" }, feature.missing));
  return fill(card, h("header", {}, h("a", { href: featurePath(source, index), class: "num" }, id), statusMark(feature.status), tools), cardBody(feature, all.filter((other) => other !== feature)));
}

function cardBody(feature, others) {
  const part = (name, ...content) => h("section", {}, h("h3", {}, name), content);
  const dead = feature.status === "dead";
  const shared = (key) => new Set(others.flatMap((other) => other[key].map((token) => token.text)));
  const { edges, counts } = feature.histogram;
  const seen = counts.flatMap((count, i) => (count > 0 ? [i] : []));
  return [
    h("h2", { class: "compare-name" }, feature.label ? [h("span", { dir: "auto" }, feature.label), " ", automaticBadge(feature.label_origin)] : dead ? featureText.dead : [h("span", { class: "muted" }, `${featureText.unnamed} `), featureNameNodes(feature)]),
    h("dl", { class: "stats" }, stats(feature).map(([value, unit]) => h("div", {}, h("dd", { class: "num" }, value), h("dt", {}, unit)))),
    !dead && seen.length > 0 && part(text.parts.histogram, sparkline(counts.slice(seen[0], seen.at(-1) + 1), HISTOGRAM), h("p", { class: "muted small" }, text.histogram(formatValue(edges[seen[0]]), formatValue(edges[seen.at(-1) + 1])))),
    feature.contexts.length > 0 && part(text.parts.contexts, contextList(feature.contexts, { max: feature.max, label: text.parts.contexts, most: CONTEXTS })),
    feature.top_tokens.length > 0 && part(text.parts.firesOn, shareTable(feature.top_tokens.slice(0, TOKENS), featureText.firesOn.note, shared("top_tokens"))),
    h("div", { class: "logits" }, logitTable(text.parts.promotes, feature.promoted.slice(0, TOKENS), "up", shared("promoted")), logitTable(text.parts.suppresses, feature.suppressed.slice(0, TOKENS), "down", shared("suppressed"))),
  ];
}

function stats(feature) {
  const { stats: names } = featureText;
  return [
    [formatPercent(feature.rate), names.ofTokens],
    [formatInteger(feature.firing_count), names.count],
    [formatValue(feature.max), names.max],
    feature.token_r2 !== null && [formatR2(feature.token_r2), names.tokenR2],
  ].filter((stat) => stat !== false);
}
