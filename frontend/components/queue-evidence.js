/** <queue-evidence>: what a feature fires on and what it writes, for whoever judges it: `show(feature)`, `turn()`. */

import { fill, h } from "../lib/dom.js";
import { featurePath } from "../lib/format.js";
import { feature as text } from "../pages/feature-strings.js";
import { queue } from "../pages/label-queue-strings.js";
import "./activation-histogram.js";
import { contextList } from "./context-list.js";
import { logitTable, shareTable } from "./feature-tables.js";

class QueueEvidence extends HTMLElement {
  /** @type {any} */
  #feature = null;
  #full = false;

  connectedCallback() {
    if (this.contexts) return;
    this.contexts = h("div", {});
    this.open = h("a", { class: "button quiet small" }, queue.item.open);
    this.histogram = h("activation-histogram", {});
    this.figures = h("section", { class: "panel" }, h("h2", {}, text.histogram.title), this.histogram);
    this.fires = h("section", { class: "panel" });
    this.logits = h("section", { class: "panel logits" });
    this.append(
      h("section", { class: "contexts-section" }, h("div", { class: "section-head" }, h("h2", {}, text.contexts.title), this.open), this.contexts),
      h("div", { class: "queue-figures" }, this.fires, this.logits, this.figures),
    );
  }

  /** A feature as `GET /api/features/…` has it. */
  show(feature) {
    this.#feature = feature;
    this.open.href = featurePath(feature.source, feature.index);
    const alive = feature.status !== "dead";
    for (const part of [this.fires, this.figures]) part.hidden = !alive;
    if (alive) {
      this.histogram.show(feature.histogram);
      fill(this.fires, h("h2", {}, text.firesOn.title), shareTable(feature.top_tokens, text.firesOn.note));
    }
    fill(this.logits, logitTable(text.logits.promoted, feature.promoted, "up"), logitTable(text.logits.suppressed, feature.suppressed, "down"));
    this.#render();
  }

  /** Contexts in full, or as snippets again. */
  turn() {
    this.#full = !this.#full;
    if (this.#feature) this.#render();
  }

  #render() {
    const { contexts, max, status } = this.#feature;
    const none = status === "dead" ? queue.item.dead : text.contexts.none;
    fill(this.contexts, contexts.length ? contextList(contexts, { max, full: this.#full, label: text.contexts.title }) : h("state-view", { kind: "empty", heading: none }));
  }
}

customElements.define("queue-evidence", QueueEvidence);
