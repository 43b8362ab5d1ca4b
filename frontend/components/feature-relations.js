/** Other features that a feature has to do with: what fires together with it, what writes alike. */

import { h } from "../lib/dom.js";
import { formatValue } from "../lib/format.js";
import { feature as text } from "../pages/feature-strings.js";
import { featureLinks } from "./feature-links.js";
import { jointCount, quiet } from "./feature-tables.js";

export function cofiringList({ cofiring, sampled_tokens: tokens, sampled_firings: firings, n_tokens: all }) {
  const { counted, lift, liftTitle, none, unknown } = text.cofiring;
  if (cofiring === null) return quiet(unknown);
  const figures = (other) => [h("span", { class: "num small", title: liftTitle(other.lift, other.joint) }, lift(other.lift)), jointCount(other)];
  return [cofiring.length ? featureLinks(cofiring, "is-cofiring", figures) : quiet(none), h("p", { class: "muted small note" }, counted(tokens, all, firings))];
}

export function neighbourList(neighbours) {
  if (!neighbours.length) return quiet(text.neighbours.none);
  return featureLinks(neighbours, null, (other) => h("span", { class: "num small", title: text.neighbours.cosine }, formatValue(other.cosine)));
}
