/**
 * A list of features that fired somewhere: name, id, strength, share of the residual, and what can be done with each.
 *
 * @typedef {{source: string, index: number, value: number, share?: number|null, label?: string|null,
 *   label_origin?: "human"|"automatic"|null,
 *   top_tokens?: (string|{text: string})[]}} Hit
 */
import { h } from "../lib/dom.js";
import { featureId, featurePath, formatPercent, formatValue, layerOf } from "../lib/format.js";
import { loadFeature } from "../lib/store.js";
import { automaticBadge } from "./automatic-badge.js";
import { featureNameNodes } from "./feature-name.js";
import { hits as text } from "../pages/hit-strings.js";

/** A feature's name, or the tokens it fires on, as a link to its page; its id in small beside it. @param {Omit<Hit, "value">} hit */
export function featureLink(hit) {
  const { source, index, label, top_tokens: tokens = [] } = hit;
  const name = label || tokens.length ? featureNameNodes({ label, top_tokens: tokens }, 3) : text.unnamed;
  return h(
    "span",
    { class: "hit-name" },
    h("a", { class: label ? "hit-link" : "hit-link is-tokens", href: featurePath(source, index), dir: "auto" }, name),
    automaticBadge(label ? hit.label_origin : null, { short: true }),
    h("span", { class: "hit-id" }, featureId(layerOf(source), index)),
  );
}

/**
 * @param {Hit[]} hits
 * @param {{action?: (hit: Hit) => Node|null, onHover?: (hit: Hit|null) => void}} options
 *   `action` makes the button at the end of a row; `onHover` is told which row is under the pointer or has focus.
 */
export function featureHits(hits, { action = () => null, onHover } = {}) {
  const strongest = Math.max(...hits.map((hit) => Math.abs(hit.value)), 0) || 1;
  return h(
    "ul",
    { class: "hits" },
    hits.map((hit) => {
      const share = hit.share ?? null;
      const row = h(
        "li",
        { class: "hit", dataset: { feature: `${hit.source}/${hit.index}` } },
        featureLink(hit),
        h("span", { class: "hit-bar", "aria-hidden": "true", style: { "--part": Math.max(0, share ?? Math.abs(hit.value) / strongest) } }),
        h("span", { class: "hit-value", title: text.valueTitle }, formatValue(hit.value)),
        h("span", { class: "hit-share", title: text.shareTitle }, share === null ? "" : formatPercent(share)),
        action(hit),
      );
      if (onHover) {
        for (const type of ["pointerenter", "focusin"]) row.addEventListener(type, () => onHover(hit));
        for (const type of ["pointerleave", "focusout"]) row.addEventListener(type, () => onHover(null));
      }
      return row;
    }),
  );
}

/** A hit of a stream carries no name: look it up. Without an answer it goes by its number. */
export async function withName(hit) {
  if (hit.top_tokens) return hit;
  const feature = await loadFeature(hit.source, hit.index).catch(() => null);
  return feature ? { ...hit, label: feature.label, label_origin: feature.label_origin, top_tokens: feature.top_tokens } : hit;
}
