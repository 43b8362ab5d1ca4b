/**
 * `<mfn-colour-choice>`: what the shades of both texts mean, with its legend.
 *
 * Set `.colour` ("none" | "probability" | "kl" | "SOURCE/INDEX") and `.features`, the ones that can be chosen beside the one
 * that is. `.maximum` is the chosen feature's strongest activation. Event (bubbling): `colourchange` {detail: {colour}}.
 */
import { fill, h } from "../lib/dom.js";
import { featureId, featureName, layerOf } from "../lib/format.js";
import { loadFeature } from "../lib/store.js";
import { colouring as text } from "../pages/steer-strings.js";
import { featureOf, kindOf, legendSteps } from "./token-colour.js";

const keyOf = ({ source, index }) => `${source}/${index}`;

export class ColourChoice extends HTMLElement {
  #colour = "none";
  #features = [];
  #radios = new Map();
  #select;
  #legend;
  /** The chosen feature's strongest activation on the corpus; NaN for other colours. */
  maximum = NaN;

  connectedCallback() {
    if (this.#select) return;
    this.classList.add("colouring");
    for (const [value, name] of Object.entries(text.kinds)) {
      const radio = h("input", { type: "radio", name: "colouring", value, onchange: () => this.#choose(value) });
      this.#radios.set(value, { radio, label: h("label", { class: "segment" }, radio, h("span", {}, name)) });
    }
    this.#select = h("select", { class: "colour-feature", "aria-label": text.feature, hidden: true, onchange: () => this.#say(this.#select.value) });
    this.#legend = h("span", { class: "legend", hidden: true });
    this.append(
      h("div", { class: "segments", role: "radiogroup", "aria-label": text.title },
        h("span", { class: "segments-name muted small", "aria-hidden": "true" }, text.title),
        [...this.#radios.values()].map(({ label }) => label)),
      this.#select, this.#legend);
    this.#show();
  }

  get colour() {
    return this.#colour;
  }

  /** Settles when the feature's strongest activation is known. @param {string} colour */
  async show(colour) {
    this.#colour = colour;
    this.maximum = NaN;
    this.#show();
    const feature = featureOf(colour);
    if (!feature) return;
    const known = await loadFeature(feature.source, feature.index).catch(() => null);
    if (colour !== this.#colour) return;
    this.maximum = known?.max > 0 ? known.max : 1; // without an index nobody knows how far it goes
    this.#show();
  }

  /** @param {{source: string, index: number}[]} features */
  set features(features) {
    const same = features.map(keyOf).join() === this.#features.map(keyOf).join();
    this.#features = features;
    if (!same && this.#select) this.#show();
  }

  #choose(kind) {
    const feature = this.#features[0];
    this.#say(kind === "feature" ? feature && keyOf(feature) : kind);
  }

  #say(colour) {
    if (colour) this.dispatchEvent(new CustomEvent("colourchange", { bubbles: true, detail: { colour } }));
  }

  #show() {
    const kind = kindOf(this.#colour);
    for (const [value, { radio }] of this.#radios) radio.checked = value === kind;
    const chosen = featureOf(this.#colour);
    const all = new Map([...this.#features, ...(chosen ? [chosen] : [])].map((feature) => [keyOf(feature), feature]));
    const feature = this.#radios.get("feature");
    feature.radio.disabled = all.size === 0;
    feature.label.title = all.size ? "" : text.noFeature;
    fill(this.#select, [...all].map(([key, { source, index }]) => this.#option(key, source, index)));
    this.#select.hidden = kind !== "feature";
    this.#select.value = this.#colour;
    this.#legend.hidden = kind === "none";
    fill(this.#legend,
      legendSteps(this.#colour, this.maximum).map((bound, place) => h("span", { class: "legend-step", dataset: { shade: place + 1 } }, bound)),
      h("span", { class: "legend-note" }, text.notes[kind]));
  }

  #option(key, source, index) {
    const id = featureId(layerOf(source), index);
    const option = h("option", { value: key }, id);
    loadFeature(source, index).then((feature) => (option.textContent = text.option(id, featureName(feature))), () => {});
    return option;
  }
}

customElements.define("mfn-colour-choice", ColourChoice);
