/**
 * `<mfn-inspect-token>`: one token of an inspected text: in each layer the features that fire on it, what they explain of
 * the residual and what the layer misses.
 *
 * `show({answer, position, heading, prompt})`. Event (bubbling): `featurehover` {detail: {hit}}, null when the pointer is gone.
 */
import { fill, h } from "../lib/dom.js";
import { formatPercent } from "../lib/format.js";
import { inspect as text } from "../pages/inspect-strings.js";
import { steerFeaturePath } from "../lib/steer-feature.js";
import { featureHits } from "./feature-hits.js";
import { tokenChip } from "./token-chip.js";

export class InspectToken extends HTMLElement {
  /** A line that stands here while no token is chosen. @param {string} hint */
  clear(hint) {
    fill(this, h("p", { class: "muted" }, hint));
  }

  /**
   * @param {{answer: import("./heat-strip.js").Inspection, position: number, heading: string, prompt: string}} facts
   *   `prompt`: the text, which steering continues
   */
  show({ answer, position, heading, prompt }) {
    fill(this,
      h("h2", { class: "inspect-chosen" }, tokenChip(answer.tokens[position].text), h("span", { class: "muted small" }, heading)),
      h("div", { class: "inspect-layers" }, answer.layers.map((layer) => this.#layer(layer, position, prompt))));
  }

  /** @param {import("./heat-strip.js").Inspection["layers"][number]} facts */
  #layer({ source, layer, fvu, error_kept: kept, positions, fits }, position, prompt) {
    const hits = positions[position].map((hit) => ({ ...hit, source }));
    const onHover = (hit) => this.dispatchEvent(new CustomEvent("featurehover", { bubbles: true, detail: { hit } }));
    const action = (hit) => h("a", {
      class: "button hit-action", href: steerFeaturePath({ source, index: hit.index }, prompt), title: text.steerTitle,
    }, text.steer);
    return h("section", { class: "panel inspect-layer" },
      h("h3", {}, text.layer(layer), " ", h("span", { class: "muted inspect-fvu", title: text.fvuTitle }, text.fvu(fvu))),
      fits && fitLine(fits[position], kept),
      hits.length ? featureHits(hits, { action, onHover }) : h("p", { class: "muted small" }, text.nothing));
  }
}

/** One line of figures: what features explain of the residual, what the layer explains without them, what it misses. */
function fitLine({ explained, fixed, error }, kept) {
  const parts = Object.entries({ features: explained - fixed, fixed, error });
  return h("p", { class: "inspect-fit muted small" }, parts.map(([name, share]) =>
    h("span", { title: name === "error" ? `${text.fit.titles[name]}; ${text.fit.kept(kept)}` : text.fit.titles[name], dataset: { part: name } },
      h("b", { class: "num" }, formatPercent(share)), " ", text.fit.names[name])));
}

customElements.define("mfn-inspect-token", InspectToken);
