/**
 * <turn-it>: a short text with the feature turned, beside the untouched one. The strength is in units of the feature's
 * own maximum on the corpus, so that it means the same on the next feature. `show(feature, { turn, prompt })` fills it; where
 * the address holds a strength, it writes. Event "turn" { detail: { turn, prompt } } when the reader asks for another.
 */

import { isAbort } from "../lib/api.js";
import { announce, debounce, fill, h } from "../lib/dom.js";
import { formatValue } from "../lib/format.js";
import { loadModel } from "../lib/store.js";
import { feature as strings } from "../pages/feature-strings.js";
import { Generation } from "../pages/steer-run.js";
import { steerPath } from "../pages/steer-link.js";
import { intervention } from "../pages/steer-model.js";
import { requestBody, requestInterventions } from "../pages/steer-request.js";
import "./dose-response.js";
import { visibleText } from "./token-chip.js";

const TOKENS = 40;
const REACH = 3; // times the maximum, at either end
const WAIT_MS = 350; // somebody who leafs through features is not there yet

const text = strings.turn;

class TurnIt extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */ panes;
  /** @type {any} */ #feature = null;
  /** @type {import("../pages/steer-run.js").Generation|null} */ #generation = null;
  #written = ""; // what the texts on screen are of
  #soon = debounce(() => this.#write(), WAIT_MS);

  connectedCallback() {
    if (this.form) return;
    this.field = h("textarea", { rows: 1, class: "try-field", "aria-label": text.prompt, spellcheck: "false" });
    this.field.value = text.initial;
    this.range = h("input", { type: "range", min: 0, max: REACH, step: 0.05, value: 1, "aria-label": text.strength });
    this.value = h("output", { class: "num turn-value" });
    this.steer = h("a", {}, text.steer);
    this.button = h("button", { type: "submit" }, text.write);
    this.form = h("form", { class: "turn-form", onsubmit: (event) => this.#submit(event) }, this.field, this.button, h("div", { class: "turn-strength" }, h("span", { class: "muted small" }, text.off), this.range, this.value));
    this.note = h("p", { class: "muted small turn-note" });
    this.panes = { plain: h("p", { class: "turn-text", dir: "auto" }), steered: h("p", { class: "turn-text", dir: "auto" }) };
    this.texts = h("div", { class: "turn-texts", hidden: true }, ["plain", "steered"].map((name) => h("section", {}, h("h2", {}, text.streams[name]), this.panes[name])));
    this.sweep = h("dose-response", {});
    fill(this, this.form, this.texts, h("div", { class: "turn-foot" }, this.note, this.steer), this.sweep);
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#submit(event);
      if (event.key === "Escape") this.field.blur();
    });
    this.field.addEventListener("input", () => this.#showValue());
    this.range.addEventListener("input", () => {
      this.#showValue();
      this.#generation?.update(requestInterventions([this.#intervention()])); // while it writes, from the next token on
    });
    this.range.addEventListener("change", () => this.#ask());
  }

  disconnectedCallback() {
    this.stop();
  }

  /** The strength on the slider, as it stands in the address. */
  get turn() {
    return String(Number(Number(this.range.value).toFixed(2)));
  }

  show(feature, { turn, prompt }) {
    const other = feature.source !== this.#feature?.source || feature.index !== this.#feature?.index;
    this.#feature = feature;
    this.#setReach(feature.source);
    if (turn !== null && Number.isFinite(Number(turn)) && turn !== this.turn) this.range.value = turn;
    if (prompt !== null && document.activeElement !== this.field) this.field.value = prompt;
    this.#showValue();
    if (other) {
      this.stop();
      for (const pane of Object.values(this.panes)) pane.replaceChildren(); // they keep their room: nothing below jumps
      this.#written = "";
      this.note.textContent = text.hint;
    }
    if (turn !== null && this.#wanted() !== this.#written) this.#soon();
  }

  /** Stop writing; what is there stays. */
  stop() {
    this.#soon.cancel();
    this.#generation?.stop();
    this.#generation = null;
  }

  /** A value may be negative where the source's values are signed. */
  async #setReach(source) {
    const model = await loadModel().catch(() => null); // without it, the slider stays as it is
    const signed = model?.sources.find(({ key }) => key === source)?.signed;
    this.range.min = signed ? -REACH : 0;
  }

  #intervention() {
    const { source, index, max } = this.#feature;
    return intervention({ source, index, value: Number((Number(this.range.value) * (max || 1)).toPrecision(4)) });
  }

  #state() {
    return { prompt: this.field.value, interventions: [this.#intervention()], settings: { max_new_tokens: TOKENS } };
  }

  #wanted() {
    return JSON.stringify(this.#state());
  }

  #showValue() {
    const times = Number(this.range.value);
    const value = formatValue(this.#intervention().value);
    this.value.textContent = times === 0 ? text.isOff : text.value(value, String(times));
    this.range.setAttribute("aria-valuetext", this.value.textContent);
    this.steer.href = steerPath(this.#state());
    this.sweep.show(this.#feature, this.field.value);
  }

  #submit(event) {
    event.preventDefault();
    if (this.#wanted() === this.#written) this.#written = ""; // again
    this.#ask();
  }

  #ask() {
    this.dispatchEvent(new CustomEvent("turn", { detail: { turn: this.turn, prompt: this.field.value } }));
    if (this.#wanted() === this.#written) return;
    this.#soon();
    this.#soon.flush(); // somebody waits for it
  }

  async #write() {
    this.stop();
    const generation = (this.#generation = new Generation());
    const { run } = generation;
    const wanted = (this.#written = this.#wanted());
    this.texts.hidden = false;
    this.toggleAttribute("data-writing", true);
    this.note.textContent = text.writing;
    let frame = 0;
    const draw = () => {
      frame = 0;
      if (generation === this.#generation) for (const name of ["plain", "steered"]) this.#draw(run, name);
    };
    const body = { ...requestBody(this.#state()), top_fired: 0, alternatives: 0 };
    try {
      await generation.start(body, () => (frame ||= requestAnimationFrame(draw)), { brokenMessage: text.broken });
      if (generation !== this.#generation) return;
      draw();
      this.note.textContent = run.problem ?? text.done(run.parting, run.streams.steered.tokens.length);
      announce(`${this.note.textContent} ${run.problem ? "" : run.streams.steered.text}`);
      if (run.problem) this.#written = "";
    } catch (error) {
      if (isAbort(error) || generation !== this.#generation) return;
      this.#written = "";
      this.note.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    } finally {
      if (generation === this.#generation) {
        this.#generation = null;
        this.removeAttribute("data-writing");
        if (this.#wanted() !== wanted && this.#written) this.#soon(); // it was turned further while it wrote
      }
    }
  }

  /** The prompt, what both wrote, and what only this one wrote. */
  #draw(run, name) {
    const { tokens } = run.streams[name];
    const parting = run.parting ?? tokens.length;
    const words = (some) => some.map(({ delta }) => delta).join("");
    const own = words(tokens.slice(parting));
    fill(
      this.panes[name],
      h("span", { class: "muted" }, visibleText(this.field.value)),
      visibleText(words(tokens.slice(0, parting))),
      own && h(name === "steered" ? "ins" : "span", {}, visibleText(own)),
    );
  }
}

customElements.define("turn-it", TurnIt);
