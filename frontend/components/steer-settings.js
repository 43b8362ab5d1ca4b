/**
 * `<mfn-steer-settings>`: how tokens are chosen and where a text ends, folded away under one line that says it. The fields
 * (setting-fields.js) come when it is opened.
 *
 * Set `.settings`; read it at any time. Event (bubbling): `settingschange` {detail: {settled}}.
 */
import { fill, h } from "../lib/dom.js";
import { SETTINGS, settingsOf } from "../pages/steer-model.js";
import { parts } from "../pages/steer-parts.js";
import { steer as text } from "../pages/steer-strings.js";
import { errorView, skeleton } from "./state-view.js";

export class SteerSettings extends HTMLElement {
  #settings = settingsOf({});
  #details;
  #summary;
  #place;
  /** @type {import("./setting-fields.js").SettingFields|null} */ #fields = null;

  connectedCallback() {
    if (!this.#details) this.#build();
    this.#show();
  }

  /** @param {import("../pages/steer-model.js").Settings} settings */
  set settings(settings) {
    this.#settings = settings;
    if (this.#details) this.#show();
  }

  get settings() {
    return this.#settings;
  }

  /** What is wrong with a setting, as one line, or null. */
  problem() {
    if (this.#fields) return this.#fields.problem();
    const wrong = Object.entries(SETTINGS).find(([name, { min, max }]) => this.#settings[name] < min || this.#settings[name] > max);
    return wrong ? text.outOf(wrong[1].label, wrong[1].min, wrong[1].max) : null;
  }

  #build() {
    this.#summary = h("span", { class: "muted small" });
    this.#place = h("div", {});
    this.#details = h("details", { class: "steer-settings", ontoggle: () => this.#details.open && this.#fetchFields() },
      h("summary", {}, h("h2", { class: "part-title" }, text.settings), this.#summary), this.#place);
    this.append(this.#details);
  }

  async #fetchFields() {
    if (this.#fields) return;
    if (!this.#place.firstChild) fill(this.#place, skeleton(3));
    try {
      await parts.settings();
      if (this.#fields) return;
      const fields = h("mfn-setting-fields", { class: "settings" });
      fields.addEventListener("settingchange", (event) => this.#changed(event.detail));
      fields.settings = this.#settings;
      fill(this.#place, fields);
      this.#fields = fields;
    } catch (error) {
      fill(this.#place, errorView(error, () => this.#fetchFields()));
    }
  }

  #changed({ patch, settled }) {
    this.#settings = { ...this.#settings, ...patch };
    this.#summary.textContent = text.settingsSummary(this.#settings);
    this.dispatchEvent(new CustomEvent("settingschange", { bubbles: true, detail: { settled } }));
  }

  #show() {
    if (this.#fields) this.#fields.settings = this.#settings;
    this.#summary.textContent = text.settingsSummary(this.#settings);
  }
}

customElements.define("mfn-steer-settings", SteerSettings);
