/** What the weights say of a feature: the shape of its logits, its connections, what is alike elsewhere or opposite. */

import { featureLinks } from "./feature-links.js";
import { sparkline } from "./sparkline.js";
import { h } from "../lib/dom.js";
import { formatSigned } from "../lib/format.js";
import { weights as text } from "../pages/feature-strings.js";

const STRONGEST = 5;
const NEGATIVE = 3;
const OPPOSITE = 4;
const SHAPE = { width: 256, height: 40 };

const quiet = (words) => h("p", { class: "muted small" }, words);
const figure = (title) => (other) => h("span", { class: "num small", title }, formatSigned(other.value));

/** Histogram and moments of all its logits; `weights` null while they are being worked out. */
export function logitShape(weights) {
  if (weights === null) return quiet(text.pending);
  const { edges, counts } = weights.logits;
  const used = counts.flatMap((count, i) => (count > 0 ? [Math.max(Math.abs(edges[i]), Math.abs(edges[i + 1]))] : []));
  const reach = Math.max(...used);
  const shown = counts.filter((_, i) => edges[i] >= -reach && edges[i + 1] <= reach);
  return h(
    "figure",
    { class: "logit-shape" },
    sparkline(shown, SHAPE),
    h("div", { class: "logit-axis num muted", "aria-hidden": "true" }, [-reach, 0, reach].map((edge) => h("span", {}, text.deviations(edge)))),
    h("figcaption", { class: "muted small" }, text.logits(weights.logits)),
  );
}

/** The strongest connections to the layers before and after, and whether it reads what it writes. */
export function connections(weights) {
  if (weights === null) return quiet(text.pending);
  const { upstream, downstream, agreement, left_out: leftOut } = weights;
  const side = (heading, { positive, negative }) => {
    const strongest = positive.filter(({ value }) => value > 0).slice(0, STRONGEST);
    const against = negative.filter(({ value }) => value < 0).slice(0, NEGATIVE);
    return [h("h3", {}, heading), featureLinks([...strongest, ...against.toReversed()], null, figure(text.virtualWeight))];
  };
  return [
    upstream && side(text.from(upstream.layer), upstream),
    downstream && side(text.to(downstream.layer), downstream),
    !upstream && !downstream && quiet(sentenceOf(leftOut, "connections") ?? text.noPath),
    (upstream || downstream) && h("p", { class: "muted small note" }, text.connectionsNote),
    agreement !== null && h("p", { class: "muted small note" }, text.agreement(agreement)),
  ];
}

/** The nearest of other layers, and the opposite of all. */
export function elsewhere(weights) {
  if (weights === null) return quiet(text.pending);
  const { nearest_elsewhere: nearest, opposite, opposite_elsewhere: opposed, left_out: leftOut } = weights;
  if (opposite === null) return quiet(sentenceOf(leftOut, "neighbours"));
  const lowest = [...opposite, ...opposed].sort((a, b) => a.value - b.value).slice(0, OPPOSITE);
  return [
    nearest.length > 0 && [h("h3", {}, text.nearestElsewhere), featureLinks(nearest.slice(0, STRONGEST), null, figure(text.cosine))],
    lowest.length > 0 && [h("h3", {}, text.opposite), featureLinks(lowest, null, figure(text.cosine))],
  ];
}

/** Why a part was left out, as the server says it. */
const sentenceOf = (leftOut, part) => leftOut.find((sentence) => sentence.startsWith(part)) ?? null;
