/** A list of other features: where each is, what it is called, and figures beside it. */

import { featureNameNodes } from "./feature-name.js";
import { h } from "../lib/dom.js";
import { featureId, featureName, featurePath, layerOf } from "../lib/format.js";

/** features: { source, index, label, top_tokens }[]; figures(feature): nodes. */
export function featureLinks(features, className, figures) {
  const item = (other) => {
    const id = featureId(layerOf(other.source), other.index);
    return h(
      "li",
      {},
      h("a", { href: featurePath(other.source, other.index), class: "num small", "aria-label": `${id} ${featureName(other)}` }, id),
      h("span", { class: "neighbour-name" }, featureNameNodes(other, 3)),
      figures(other),
    );
  };
  return h("ol", { class: ["neighbours", className].filter(Boolean).join(" ") }, features.map(item));
}
