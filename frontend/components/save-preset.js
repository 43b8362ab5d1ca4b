/**
 * `<mfn-save-preset>`: the dialog in which the page's state becomes a preset, or the next version of one.
 *
 * `open(content, preset)`: `content` is {prompt, interventions, settings} as the API takes them; `preset`, if given, is the
 * one whose version the page began with. Event (bubbling): `presetsaved` {detail: {preset}}.
 */
import { steering } from "../lib/api-steer.js";
import { fill, h } from "../lib/dom.js";
import { presets as text } from "../pages/preset-strings.js";
import { steer } from "../pages/steer-strings.js";
import { toast } from "./toast.js";

export class SavePreset extends HTMLElement {
  #dialog;
  #name;
  #description;
  #problem;
  #target;
  #content;
  /** @type {any} */ #preset = null;

  connectedCallback() {
    if (!this.#dialog) this.#build();
  }

  open(content, /** @type {any} */ preset = null) {
    this.#content = content;
    this.#preset = preset?.builtin ? null : preset;
    this.#name.value = preset?.name ?? "";
    this.#description.value = preset?.description ?? "";
    this.#problem.textContent = "";
    const option = (value, label, checked) => h("label", { class: "save-target-option" },
      h("input", { type: "radio", name: "target", value, checked }), h("span", {}, label));
    this.#target.hidden = this.#preset === null;
    fill(this.#target, h("legend", { class: "visually-hidden" }, text.saveAs),
      this.#preset && [option("version", text.nextVersion(this.#preset.name, this.#preset.version + 1), true), option("new", text.newPreset, false)]);
    this.#dialog.showModal();
  }

  #build() {
    this.#name = h("input", { required: true, maxlength: "100", name: "name" });
    this.#description = h("input", { maxlength: "1000", name: "description" });
    this.#problem = h("p", { class: "error-text", role: "alert" });
    this.#target = h("fieldset", { class: "save-target", hidden: true });
    this.#dialog = h("dialog", { class: "save-preset", "aria-labelledby": "save-preset-title" },
      h("form", { onsubmit: (event) => this.#save(event) }, h("h2", { id: "save-preset-title" }, steer.savePreset), this.#target,
        h("label", {}, text.presetName, this.#name), h("label", {}, text.presetDescription, this.#description), this.#problem,
        h("div", { class: "dialog-buttons" },
          h("button", { type: "button", onclick: () => this.#dialog.close() }, text.cancel), h("button", { class: "primary" }, text.save))));
    this.append(this.#dialog);
  }

  async #save(event) {
    event.preventDefault();
    const body = { ...this.#content, name: this.#name.value.trim(), description: this.#description.value.trim() };
    const asVersion = this.#preset && this.#target.querySelector("input:checked")?.value === "version";
    try {
      const preset = asVersion
        ? await steering.changePreset(this.#preset.id, { ...body, base_version: this.#preset.version })
        : await steering.createPreset(body);
      this.#dialog.close();
      toast(text.saved(preset.name));
      this.dispatchEvent(new CustomEvent("presetsaved", { bubbles: true, detail: { preset } }));
    } catch (error) {
      this.#problem.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    }
  }
}

customElements.define("mfn-save-preset", SavePreset);
