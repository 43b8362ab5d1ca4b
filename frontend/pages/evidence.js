/** <evidence-page>: the five predictions and how they stand. */

import { errorView, skeleton } from "../components/state-view.js";
import { verdictCard } from "../components/verdict-card.js";
import { fill, h } from "../lib/dom.js";
import { Page } from "../lib/page.js";
import { loadModel, onStale } from "../lib/store.js";
import { evidence as text } from "./evidence-strings.js";

class EvidencePage extends Page {
  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "evidence-page");
    this.known = h("div", {}, skeleton(3));
    fill(
      this,
      h("h1", {}, text.title),
      h("p", { class: "lead" }, text.lead),
      h("div", { class: "panel evidence-empty" }, h("p", {}, h("b", {}, text.emptyHeading)), h("p", { class: "muted" }, text.emptyHint)),
      h("div", { class: "verdicts" }, text.predictions.map((prediction) => verdictCard(prediction, "open"))),
      h("section", { class: "evidence-known" }, h("h2", {}, text.known), this.known),
    );
    onStale(() => this.#load(), { signal: this.signal });
  }

  onRoute() {
    this.setTitle(text.title);
    return this.#load();
  }

  async #load() {
    try {
      const model = await loadModel();
      if (!this.signal.aborted) fill(this.known, held(model.card.held_out));
    } catch (error) {
      if (!this.signal.aborted) fill(this.known, errorView(error, () => this.#load()));
    }
  }
}

/** The figures on held-out text that this page knows how to read; a card may hold anything. */
function held(figures) {
  const known = Object.entries(text.card).filter(([key]) => Number.isFinite(figures?.[key]));
  if (!known.length) return h("p", { class: "muted" }, text.noCard);
  return [
    h("dl", { class: "stats" }, known.map(([key, [name, show]]) => h("div", {}, h("dt", {}, name), h("dd", { class: "num" }, show(figures[key]))))),
    h("p", { class: "muted small note" }, text.knownNote),
  ];
}

customElements.define("evidence-page", EvidencePage);
