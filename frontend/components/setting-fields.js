/**
 * `<mfn-setting-fields>`: a field for each setting of the Steer page, stop strings, and the bias of tokens.
 *
 * Set `.settings`. Event: `settingchange` {detail: {patch, settled}} with the settings that are other now.
 */
import { h } from "../lib/dom.js";
import { LIMITS, SETTINGS, settingsOf } from "../pages/steer-model.js";
import { settings as text } from "../pages/setting-strings.js";
import { steer } from "../pages/steer-strings.js";
import "./token-bias.js";

/** A stop string as it is typed: a line of its own, with the breaks in it written out. */
const typedStop = (stop) => stop.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r").replaceAll("\t", "\\t");
const ESCAPES = { n: "\n", r: "\r", t: "\t" };
const readStop = (line) => line.replaceAll(/\\(.)/g, (whole, letter) => ESCAPES[letter] ?? (letter === "\\" ? "\\" : whole));

export class SettingFields extends HTMLElement {
  #settings = settingsOf({});
  #fields = {};
  #stop;
  #biases;

  connectedCallback() {
    if (!this.#stop) this.#build();
    this.#show();
  }

  /** @param {import("../pages/steer-model.js").Settings} settings */
  set settings(settings) {
    this.#settings = settings;
    if (this.#stop) this.#show();
  }

  /** What is wrong with a field, as one line, or null. */
  problem() {
    const invalid = Object.values(this.#fields).find((field) => !field.validity.valid);
    if (invalid) return steer.outOf(SETTINGS[invalid.name].label, invalid.min, invalid.max);
    return this.#stop.validationMessage || null;
  }

  #build() {
    this.#stop = h("textarea", { class: "setting-stop", rows: "1", spellcheck: "false", dir: "auto", placeholder: text.stopPlaceholder, title: text.stopHint });
    this.#stop.addEventListener("input", () => this.#readStops(false));
    this.#stop.addEventListener("change", () => this.#readStops(true));
    this.#biases = h("mfn-token-bias", { class: "setting-bias" });
    this.#biases.addEventListener("biaschange", (event) => this.#change({ logit_bias: this.#biases.biases }, event.detail.settled));
    this.append(...Object.entries(SETTINGS).map(([name, setting]) => this.#field(name, setting)),
      h("label", { class: "setting is-wide" }, h("span", { class: "setting-name" }, text.stopAt), this.#stop),
      this.#biases);
  }

  #field(name, { label, min, max, step }) {
    const field = h("input", { type: "number", name, min, max, step: name === "temperature" ? "any" : step, required: true,
      inputmode: step < 1 ? "decimal" : "numeric", title: text.hints[name] ?? null });
    const read = (settled) => field.validity.valid && this.#change({ [name]: Number(field.value) }, settled);
    field.addEventListener("input", () => read(false));
    field.addEventListener("change", () => read(true));
    this.#fields[name] = field;
    return h("label", { class: "setting" }, h("span", { class: "setting-name" }, label), field);
  }

  #readStops(settled) {
    const stops = this.#stop.value.split("\n").filter(Boolean).map(readStop);
    const wrong = stops.length > LIMITS.stops ? text.tooManyStops(LIMITS.stops) : stops.some((stop) => stop.length > LIMITS.stopLength) ? text.longStop(LIMITS.stopLength) : "";
    this.#stop.setCustomValidity(wrong);
    if (!wrong) this.#change({ stop: stops }, settled);
  }

  #change(patch, settled) {
    this.#settings = { ...this.#settings, ...patch };
    this.dispatchEvent(new CustomEvent("settingchange", { detail: { patch, settled } }));
  }

  #show() {
    for (const [name, field] of Object.entries(this.#fields)) {
      if (Number(field.value) !== this.#settings[name] || field.value === "") field.value = String(this.#settings[name]);
    }
    const typed = this.#settings.stop.map(typedStop).join("\n");
    if (this.#stop.value.split("\n").filter(Boolean).join("\n") !== typed) this.#stop.value = typed;
    this.#biases.biases = this.#settings.logit_bias;
  }
}

customElements.define("mfn-setting-fields", SettingFields);
