/**
 * `<mfn-preset-list>`: ready-made prompts with their features; one's own can be changed, deleted, and carried away as a file.
 *
 * Call `load()`. Event (bubbling): `presetpick` {detail: {preset}}.
 */
import { api, isAbort } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { parts } from "../pages/steer-parts.js";
import { steer as text } from "../pages/steer-strings.js";
import { errorView, saidOf, skeleton } from "./state-view.js";
import { toast } from "./toast.js";

export class PresetList extends HTMLElement {
  #cards = h("div", {}, skeleton(3));
  /** @type {any} */ #versions = null;
  #files; // shown once the cards are there, so that they push nothing down
  #file = h("input", { type: "file", accept: "application/json,.json", hidden: true, onchange: () => this.#bringIn() });

  connectedCallback() {
    if (this.firstChild) return;
    this.classList.add("presets");
    this.addEventListener("presetrestored", () => this.load());
    this.#files = h("p", { class: "preset-files small", hidden: true },
      h("a", { href: "/api/presets/export?which=all", download: "presets.json" }, text.exportPresets),
      h("button", { class: "linklike", type: "button", onclick: () => this.#file.click() }, text.importPresets), this.#file);
    this.append(this.#cards, this.#files);
  }

  async load(/** @type {{signal?: AbortSignal}} */ { signal } = {}) {
    try {
      const { items } = await api.presets({ signal });
      fill(this.#cards, h("ul", { class: "preset-cards" }, items.map((preset) => this.#card(preset))));
    } catch (error) {
      if (isAbort(error)) return;
      fill(this.#cards, errorView({ ...error, message: text.presetsFailed, hint: error.message }, () => this.load()));
    }
    this.#files.hidden = false;
  }

  #card(preset) {
    const pick = () => this.dispatchEvent(new CustomEvent("presetpick", { bubbles: true, detail: { preset } }));
    return h("li", { class: "preset" },
      h("button", { class: "preset-use", type: "button", "aria-label": text.usePreset(preset.name), onclick: pick },
        h("span", { class: "preset-name" }, preset.name),
        preset.description && h("span", { class: "preset-description" }, preset.description),
        h("span", { class: "preset-prompt", dir: "auto" }, preset.prompt),
        h("span", { class: "preset-count" }, text.turned(preset.interventions.length))),
      preset.version > 1 && h("button", {
        class: "preset-version", type: "button", "aria-label": text.versionsOf(preset.name), onclick: () => this.#showVersions(preset),
      }, text.version(preset.version)),
      preset.builtin === false && h("button", {
        class: "icon-button preset-delete", type: "button", "aria-label": text.deletePreset(preset.name), onclick: () => this.#delete(preset),
      }, "✕"));
  }

  async #showVersions(preset) {
    try {
      await parts.versions();
    } catch (error) {
      return toast(saidOf(error).message, { kind: "error" });
    }
    if (!this.#versions) this.append(this.#versions = h("mfn-preset-versions"));
    this.#versions.open(preset);
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

  async #bringIn() {
    const [file] = this.#file.files;
    this.#file.value = "";
    if (!file) return;
    try {
      const { created, changed, unchanged } = await api.importPresets(JSON.parse(await file.text()));
      toast(text.imported(created.length, changed.length, unchanged.length));
    } catch (error) {
      const message = error instanceof SyntaxError ? text.noJson : [error.message, error.hint].filter(Boolean).join(" ");
      toast(message, { kind: "error" });
    }
    await this.load();
  }
}

customElements.define("mfn-preset-list", PresetList);
