/** A fair sample from each tenth of a feature's firings, and how much each tenth really holds. */

import { h } from "../lib/dom.js";
import { feature as text } from "../pages/feature-strings.js";
import { contextList } from "./context-list.js";
import { quiet } from "./feature-tables.js";

/** The strongest tenth first. */
export const featureBands = (feature) => feature.bands.toReversed().map((band) => bandView(band, feature));

function bandView(band, feature) {
  const name = text.bands.band(band.band);
  return h(
    "section",
    { class: "band" },
    h(
      "header",
      {},
      h("h3", {}, name),
      h("p", { class: "num small muted" }, text.bands.range(band.low, band.high)),
      h("p", { class: "num small muted" }, text.bands.share(band.count, band.share)),
    ),
    band.contexts.length ? contextList(band.contexts, { max: feature.max, label: name }) : quiet(text.bands.none),
  );
}
