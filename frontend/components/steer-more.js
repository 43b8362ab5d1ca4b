/**
 * `<mfn-steer-more>`: what stands below the texts on the Steer page, and is fetched after them: effect, presets, history.
 *
 * Set `.state` to the page's state whenever it changes, and `.first` while nothing is turned nor written.
 * Events of its parts bubble: `strengthpick`, `presetpick`, `presetsaved`, `runrestore`.
 */
import { h } from "../lib/dom.js";
import { steer as text } from "../pages/steer-strings.js";
import "./preset-list.js";
import "./run-history.js";
import "./save-preset.js";
import "./steer-effect.js";

export class SteerMore extends HTMLElement {
  #effect;
  #presets;
  #title;
  #saving;
  #controller = new AbortController();

  connectedCallback() {
    if (this.#controller.signal.aborted) this.#controller = new AbortController();
    if (!this.#effect) this.#build();
    this.#presets.load({ signal: this.#controller.signal });
  }

  disconnectedCallback() {
    this.#controller.abort();
  }

  /** @param {import("../pages/steer-model.js").SteerState} state */
  set state(state) {
    this.#effect.state = state;
  }

  set first(first) {
    this.#title.textContent = first ? text.presetsLead : text.presets;
  }

  /** Ask for a name to keep this under; `preset` is the one that it began with. */
  save(content, preset) {
    this.#saving.open(content, preset);
  }

  #build() {
    this.#effect = h("mfn-steer-effect", { class: "effect" });
    this.#title = h("h2", {}, text.presets);
    this.#presets = h("mfn-preset-list");
    this.#saving = h("mfn-save-preset");
    this.addEventListener("presetsaved", () => this.#presets.load());
    this.append(
      this.#effect,
      h("mfn-run-history"),
      h("section", { class: "steer-presets" }, this.#title, this.#presets),
      this.#saving);
  }
}

customElements.define("mfn-steer-more", SteerMore);
