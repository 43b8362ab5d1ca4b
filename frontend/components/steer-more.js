/**
 * `<mfn-steer-more>`: what stands below the texts on the Steer page, and is fetched after them: effect, presets, history.
 * The effect's own code comes when something is turned or written.
 *
 * Set `.state` to the page's state whenever it changes, and `.first` while nothing is turned nor written.
 * Events of its parts bubble: `strengthpick`, `presetpick`, `presetsaved`, `runrestore`.
 */
import { fill, h } from "../lib/dom.js";
import { parts } from "../pages/steer-parts.js";
import { steer as text } from "../pages/steer-strings.js";
import "./preset-list.js";
import "./run-history.js";
import { errorView, saidOf } from "./state-view.js";
import { toast } from "./toast.js";

export class SteerMore extends HTMLElement {
  /** @type {import("../pages/steer-model.js").SteerState|null} */ #state = null;
  #effect;
  #effectPlace;
  #presets;
  #title;
  #saving;
  #controller = new AbortController();

  connectedCallback() {
    if (this.#controller.signal.aborted) this.#controller = new AbortController();
    if (!this.#presets) this.#build();
    this.#presets.load({ signal: this.#controller.signal });
  }

  disconnectedCallback() {
    this.#controller.abort();
  }

  /** @param {import("../pages/steer-model.js").SteerState} state */
  set state(state) {
    this.#state = state;
    if (this.#effect) this.#effect.state = state;
  }

  set first(first) {
    this.#title.textContent = first ? text.presetsLead : text.presets;
    if (!first) this.#fetchEffect();
  }

  /** Ask for a name to keep this under; `preset` is the one that it began with. */
  async save(content, preset) {
    try {
      await parts.save();
    } catch (error) {
      return toast(saidOf(error).message, { kind: "error" });
    }
    if (!this.#saving) this.append(this.#saving = h("mfn-save-preset"));
    this.#saving.open(content, preset);
  }

  #build() {
    this.#effectPlace = h("div", { class: "effect-place" });
    this.#title = h("h2", {}, text.presets);
    this.#presets = h("mfn-preset-list");
    this.addEventListener("presetsaved", () => this.#presets.load());
    this.append(
      this.#effectPlace,
      h("mfn-run-history"),
      h("section", { class: "steer-presets" }, this.#title, this.#presets));
  }

  async #fetchEffect() {
    if (this.#effect) return;
    try {
      await parts.effect();
      if (this.#effect) return;
      this.#effect = h("mfn-steer-effect", { class: "effect" });
      this.#effect.state = this.#state;
      fill(this.#effectPlace, this.#effect);
    } catch (error) {
      fill(this.#effectPlace, errorView(error, () => this.#fetchEffect()));
    }
  }
}

customElements.define("mfn-steer-more", SteerMore);
