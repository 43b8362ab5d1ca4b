/**
 * `<mfn-preset-list>`: ready-made prompts with their features; one's own can be saved and deleted.
 *
 * Call `load()`. Event (bubbling): `presetpick` {detail: {preset}}.
 */
import { api, isAbort } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { steer as text } from "../pages/steer-strings.js";
import { errorView, skeleton } from "./state-view.js";
import { toast } from "./toast.js";

export class PresetList extends HTMLElement {
  connectedCallback() {
    this.classList.add("presets");
    if (!this.firstChild) fill(this, skeleton(3));
  }

  async load({ signal } = {}) {
    try {
      const { items } = await api.presets({ signal });
      fill(this, h("ul", { class: "preset-cards" }, items.map((preset) => this.#card(preset))));
    } catch (error) {
      if (!isAbort(error)) fill(this, errorView({ ...error, message: text.presetsFailed, hint: error.message }, () => this.load()));
    }
  }

  /** Save and show a new preset. @param {object} preset body of POST /api/presets */
  async save(preset) {
    await api.createPreset(preset);
    toast(text.saved(preset.name));
    await this.load();
  }

  #card(preset) {
    const pick = () => this.dispatchEvent(new CustomEvent("presetpick", { bubbles: true, detail: { preset } }));
    return h("li", { class: "preset" },
      h("button", { class: "preset-use", type: "button", "aria-label": text.usePreset(preset.name), onclick: pick },
        h("span", { class: "preset-name" }, preset.name),
        preset.description && h("span", { class: "preset-description" }, preset.description),
        h("span", { class: "preset-prompt", dir: "auto" }, preset.prompt),
        h("span", { class: "preset-count" }, text.turned(preset.interventions.length))),
      preset.builtin === false && h("button", {
        class: "icon-button preset-delete", type: "button", "aria-label": text.deletePreset(preset.name), onclick: () => this.#delete(preset),
      }, "✕"));
  }

  async #delete(preset) {
    try {
      await api.deletePreset(preset.id);
      toast(text.deleted(preset.name));
    } catch (error) {
      toast(error.message, { kind: "error" });
    }
    await this.load();
  }
}

customElements.define("mfn-preset-list", PresetList);
