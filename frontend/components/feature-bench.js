/**
 * <feature-bench>: two things to do with a feature on the spot, as tabs: try a text on it, turn it. `show(feature, query)`
 * fills it from the page's address. Events: "bench" { detail: { patch, step } }, the change of the address that somebody
 * asks for (`step`: worth going back from); "tried" { detail: { strongest } }, the strongest activation in the text, or null.
 */

import { fill, h } from "../lib/dom.js";
import { feature as text } from "../pages/feature-strings.js";
import { errorView } from "./state-view.js";
import "./try-text.js";

const TABS = ["try", "turn"];

class FeatureBench extends HTMLElement {
  /** @type {Record<string, HTMLElement>} */ panels;
  /** @type {HTMLButtonElement[]} */ tabs;
  /** @type {any} */ #feature = null;
  /** @type {{words: string}|null} */ #asked = null; // the text that is being tried
  /** @type {Promise<any>|null} */ #turn = null; // resolves to <turn-it>, whose code is fetched when somebody turns

  connectedCallback() {
    if (this.tabs) return;
    this.tryText = h("try-text", {});
    this.tabs = TABS.map((name) => h("button", { type: "button", role: "tab", id: `bench-${name}`, "aria-controls": `bench-panel-${name}`, dataset: { tab: name }, onclick: () => this.open(name) }, text.bench[name]));
    const list = h("div", { class: "bench-tabs", role: "tablist", "aria-label": text.bench.label, onkeydown: (event) => this.#key(event) }, this.tabs);
    const panel = (name, ...content) => h("div", { role: "tabpanel", id: `bench-panel-${name}`, "aria-labelledby": `bench-${name}` }, content);
    this.panels = { try: panel("try", this.tryText), turn: panel("turn") };
    fill(this, list, Object.values(this.panels));
    this.tryText.addEventListener("try", ({ detail }) => {
      if (detail.text === (this.#asked?.words ?? "")) this.#try(detail.text);
      else this.#ask({ try: detail.text }, true);
    });
  }

  /** Do something with <turn-it>, once it is there. */
  #withTurn(use) {
    this.#turn ??= import("./turn-it.js").then(() => {
      const turnIt = h("turn-it", {});
      turnIt.addEventListener("turn", ({ detail }) => this.#ask({ turn: detail.turn, prompt: detail.prompt }, false));
      fill(this.panels.turn, turnIt);
      return turnIt;
    });
    this.#turn.then(use, (error) => {
      this.#turn = null;
      fill(this.panels.turn, errorView(error, () => this.#withTurn(use)));
    });
  }

  /** Bring a tab to the front, and the focus into it. */
  open(name) {
    this.#select(name);
    if (name === "try") {
      this.#ask({ turn: null, prompt: null }, false);
      this.tryText.field.focus();
      return;
    }
    this.#withTurn((turnIt) => {
      if (this.panels.turn.hidden) return; // the reader went elsewhere meanwhile
      turnIt.show(this.#feature, { turn: null, prompt: null });
      this.#ask({ turn: turnIt.turn }, false);
      turnIt.field.focus();
    });
  }

  show(feature, query) {
    const other = feature !== this.#feature;
    this.#feature = feature;
    const turned = query.get("turn");
    this.#select(turned === null ? "try" : "turn");
    if (turned !== null || this.#turn) {
      this.#withTurn((turnIt) => {
        if (feature !== this.#feature) return;
        if (turned === null) turnIt.stop();
        turnIt.show(feature, { turn: turned, prompt: query.get("prompt") });
      });
    }
    const words = query.get("try") ?? "";
    if (other || words !== (this.#asked?.words ?? "")) this.#try(words);
  }

  async #try(words) {
    const feature = this.#feature;
    const asked = (this.#asked = { words });
    const strongest = await this.tryText.run(feature.source, feature.index, words, feature.max);
    if (asked === this.#asked && this.isConnected) this.dispatchEvent(new CustomEvent("tried", { detail: { strongest } }));
  }

  #ask(patch, step) {
    this.dispatchEvent(new CustomEvent("bench", { detail: { patch, step } }));
  }

  #select(name) {
    for (const tab of this.tabs) {
      const on = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      this.panels[tab.dataset.tab ?? ""].hidden = !on;
    }
  }

  #key(event) {
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    event.preventDefault();
    this.tabs.find((tab) => tab !== document.activeElement)?.focus(); // Enter opens it
  }
}

customElements.define("feature-bench", FeatureBench);
