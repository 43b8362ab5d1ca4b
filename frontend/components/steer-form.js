/**
 * `<mfn-steer-form>`: all that goes into a generation: the prompt, the features turned, the settings.
 *
 * Set `.state` to show another state; read it at any time. Events (bubbling): `statechange` {detail: {settled, part}} with
 * part "prompt" | "interventions" | "settings"; `generate`; `stop`.
 */
import { announce, fill, h } from "../lib/dom.js";
import { featureName } from "../lib/format.js";
import { emptyState, intervention } from "../pages/steer-model.js";
import { parts } from "../pages/steer-parts.js";
import { steer as text } from "../pages/steer-strings.js";
import "./feature-picker.js";
import { errorView } from "./state-view.js";
import "./steer-settings.js";

export class SteerForm extends HTMLElement {
  #state = emptyState();
  #prompt;
  #openings;
  #cards;
  #none;
  #settings;
  #picker;
  #button;
  #auto;
  #writing = false;
  #editable = false; // whether the code of the cards is there
  /** @type {Promise<any>} */ #fetched = Promise.resolve();

  /** @param {import("../pages/steer-model.js").SteerState} state */
  set state(state) {
    this.#state = state;
    if (this.#prompt) this.#show();
  }

  get state() {
    return this.#state;
  }

  /** Settles when every feature turned has its name, range and value; rejects where their cards could not be fetched. */
  get ready() {
    return this.#fetched.then(() => Promise.allSettled([...this.#cards.children].map((card) => card.loaded)));
  }

  /** Write again by itself after a change? */
  get auto() {
    return this.#auto.checked;
  }

  /** A generation is running: the button stops it. */
  set writing(writing) {
    this.#writing = writing;
    this.#button.textContent = writing ? text.stop : text.generate;
    this.#button.classList.toggle("primary", !writing);
  }

  connectedCallback() {
    if (!this.#prompt) this.#build();
    this.#show();
  }

  focusPrompt() {
    this.#prompt.focus();
  }

  focusPicker() {
    this.#picker.focus();
  }

  /** Turn one more feature, with its own maximum as value. */
  add(feature) {
    const { source, index } = feature;
    this.#setInterventions([...this.#state.interventions, intervention({ source, index })]);
    announce(text.added(featureName(feature) || `${index}`));
    this.#cards.lastElementChild?.scrollIntoView({ block: "nearest" });
  }

  /** What is wrong with the state, as one line, or null. */
  problem() {
    if (!this.#state.prompt.trim()) return text.noPrompt;
    return this.#settings.problem();
  }

  #build() {
    this.#prompt = h("textarea", {
      id: "steer-prompt", class: "steer-prompt", rows: "3", dir: "auto", spellcheck: "false", placeholder: text.promptPlaceholder,
      oninput: () => this.#setPrompt(this.#prompt.value),
      onkeydown: (event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        this.#emit("generate");
      },
    });
    this.#openings = h("p", { class: "openings" }, h("span", { class: "muted" }, text.openings),
      text.openingTexts.map((opening) => h("button", { class: "chip", type: "button", onclick: () => {
        this.#prompt.value = opening;
        this.#setPrompt(opening);
        this.#prompt.focus();
      } }, opening.trim())));
    this.#cards = h("div", { class: "turns" });
    this.#cards.addEventListener("interventionchange", (event) => this.#cardChanged(event));
    this.#cards.addEventListener("interventionremove", (event) => this.#cardRemoved(event.target));
    this.#none = h("p", { class: "muted small" }, text.noFeatures);
    this.#picker = h("mfn-feature-picker");
    this.#picker.addEventListener("featurepick", (event) => this.add(event.detail.feature));
    this.#button = h("button", { class: "primary steer-generate", type: "button", title: text.generateHint,
      onclick: () => this.#emit(this.#writing ? "stop" : "generate") }, text.generate);
    this.#auto = h("input", { type: "checkbox", checked: true });
    this.#settings = h("mfn-steer-settings");
    this.#settings.addEventListener("settingschange", (event) => this.#settingsChanged(event.detail.settled));
    this.append(
      h("section", { class: "steer-part" }, h("label", { class: "part-title", for: "steer-prompt" }, text.prompt), this.#prompt, this.#openings),
      h("section", { class: "steer-part", "aria-labelledby": "steer-features" },
        h("h2", { class: "part-title", id: "steer-features" }, text.features),
        this.#none, this.#cards, this.#picker,
        h("details", { class: "meaning small" }, h("summary", {}, text.meaning), h("p", { class: "muted" }, text.meaningText))),
      this.#settings,
      h("div", { class: "steer-go" }, this.#button, h("label", { class: "steer-auto small" }, this.#auto, text.auto)),
    );
  }

  #show() {
    const { prompt, interventions, settings } = this.#state;
    if (this.#prompt.value !== prompt) this.#prompt.value = prompt;
    this.#settings.settings = settings;
    this.#showInterventions(interventions);
    this.#openings.hidden = prompt !== "";
  }

  #showInterventions(interventions) {
    this.#none.hidden = interventions.length > 0;
    if (!this.#editable && interventions.length) return this.#fetchCards();
    while (this.#cards.children.length > interventions.length) this.#cards.lastElementChild.remove();
    for (const [place, item] of interventions.entries()) {
      const card = this.#cards.children[place];
      if (card) card.intervention = item;
      else this.#cards.append(Object.assign(h("mfn-intervention-editor", { class: "turn" }), { intervention: item }));
    }
  }

  /** Until their code is there, cards have their room and nothing in it. */
  #fetchCards() {
    fill(this.#cards, this.#state.interventions.map(() => h("div", { class: "turn-coming skeleton" })));
    this.#fetched = parts.turns();
    this.#fetched.then(
      () => {
        this.#editable = true;
        fill(this.#cards);
        this.#showInterventions(this.#state.interventions);
      },
      (error) => fill(this.#cards, errorView(error, () => this.#fetchCards())));
  }

  #setPrompt(prompt) {
    this.#state = { ...this.#state, prompt };
    this.#openings.hidden = prompt !== "";
    this.#emit("statechange", { part: "prompt", settled: false });
  }

  #settingsChanged(settled) {
    this.#state = { ...this.#state, settings: this.#settings.settings };
    this.#emit("statechange", { part: "settings", settled });
  }

  #setInterventions(interventions) {
    this.#state = { ...this.#state, interventions };
    this.#showInterventions(interventions);
    this.#emit("statechange", { part: "interventions", settled: true });
  }

  #cardChanged(event) {
    const place = [...this.#cards.children].indexOf(event.target);
    const interventions = this.#state.interventions.with(place, event.detail.intervention);
    this.#state = { ...this.#state, interventions };
    this.#emit("statechange", { part: "interventions", settled: event.detail.settled });
  }

  #cardRemoved(card) {
    const place = [...this.#cards.children].indexOf(card);
    card.remove();
    this.#setInterventions(this.#state.interventions.toSpliced(place, 1));
    announce(text.removed);
    (this.#cards.children[Math.min(place, this.#cards.children.length - 1)]?.querySelector("button") ?? this.#picker).focus();
  }

  #emit(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }
}

customElements.define("mfn-steer-form", SteerForm);
