/**
 * `<mfn-preset-versions>`: everything that a preset has ever said, to be shown in the page or gone back to.
 *
 * `open(preset)`. Events (bubbling): `presetpick` {detail: {preset}} with an earlier version; `presetrestored`.
 */
import { isAbort } from "../lib/api.js";
import { steering } from "../lib/api-steer.js";
import { fill, h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { presets as text } from "../pages/preset-strings.js";
import { steer } from "../pages/steer-strings.js";
import { errorView, skeleton } from "./state-view.js";
import { toast } from "./toast.js";

export class PresetVersions extends HTMLElement {
  #dialog;
  #title;
  #list;

  connectedCallback() {
    if (this.#dialog) return;
    this.#title = h("h2", { id: "preset-versions-title" });
    this.#list = h("div", { class: "preset-versions-list" });
    this.#dialog = h("dialog", { class: "preset-versions", "aria-labelledby": "preset-versions-title" }, this.#title, this.#list,
      h("div", { class: "dialog-buttons" }, h("button", { type: "button", onclick: () => this.#dialog.close() }, text.close)));
    this.append(this.#dialog);
  }

  async open(preset) {
    this.#title.textContent = steer.versionsOf(preset.name);
    fill(this.#list, skeleton(2));
    if (!this.#dialog.open) this.#dialog.showModal();
    try {
      const { items } = await steering.presetVersions(preset.id);
      fill(this.#list, h("ol", { class: "version-rows" }, items.map((item, place) => this.#row(item, items[0], place === 0))));
    } catch (error) {
      if (!isAbort(error)) fill(this.#list, errorView(error, () => this.open(preset)));
    }
  }

  #row(version, latest, isLatest) {
    return h("li", { class: "version-row" },
      h("div", { class: "version-facts" },
        h("span", { class: "version-name" }, steer.version(version.version), isLatest && h("span", { class: "muted" }, ` ${text.latest}`)),
        h("span", { class: "muted small" }, formatTime(version.changed_at)),
        h("span", { class: "small" }, [version.name === latest.name ? null : version.name, steer.turned(version.interventions.length)].filter(Boolean).join(" · ")),
        h("span", { class: "preset-prompt", dir: "auto" }, version.prompt)),
      h("div", { class: "version-buttons" },
        h("button", { type: "button", class: "quiet", onclick: () => this.#show(version, latest) }, text.showVersion),
        !isLatest && !latest.builtin && h("button", { type: "button", class: "quiet", onclick: () => this.#restore(version, latest) }, text.restoreVersion)));
  }

  /** What the page makes of an earlier version follows the latest one. */
  #show(version, latest) {
    this.#dialog.close();
    this.dispatchEvent(new CustomEvent("presetpick", { bubbles: true, detail: { preset: { ...version, version: latest.version } } }));
  }

  async #restore(version, latest) {
    try {
      const preset = await steering.restorePreset(latest.id, { version: version.version, base_version: latest.version });
      toast(text.restored(version.version, preset.version));
      this.dispatchEvent(new CustomEvent("presetrestored", { bubbles: true }));
      await this.open(preset);
    } catch (error) {
      toast(error.message, { kind: "error" });
      await this.open(latest);
    }
  }
}

customElements.define("mfn-preset-versions", PresetVersions);
