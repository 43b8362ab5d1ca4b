/** <score-list>: labels by what they score, the worst first or the best, by a scorer that one chooses: `show()`. */

import { api, isAbort } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { featureId, featurePath, formatInteger, formatR2 as figure } from "../lib/format.js";
import { scores as text } from "../pages/score-strings.js";
import { automaticBadge } from "./automatic-badge.js";
import { errorView } from "./state-view.js";

const AT_ONCE = 50;

class ScoreList extends HTMLElement {
  #left = new AbortController();
  #visit = 0;
  /** @type {any[]} */ #items = [];

  connectedCallback() {
    if (this.#left.signal.aborted) this.#left = new AbortController();
    if (this.body) return;
    const choose = (words, options, name) => h("label", { class: "field" }, h("span", {}, words), h("select", { name, onchange: () => this.show() }, Object.entries(options).map(([value, shown]) => h("option", { value }, shown))));
    this.form = h("form", { class: "score-choice", onsubmit: (event) => event.preventDefault() }, choose(text.columns.scorer, text.names, "scorer"), choose(text.order, text.orders, "order"));
    this.meaning = h("p", { class: "muted small" });
    this.body = h("div", {});
    this.append(h("h2", {}, text.list), this.form, this.meaning, this.body);
  }

  disconnectedCallback() {
    this.#left.abort();
  }

  show() {
    this.#items = [];
    return this.#load();
  }

  async #load() {
    const visit = ++this.#visit;
    const { scorer, order } = this.form.elements;
    this.meaning.textContent = text.means[scorer.value];
    try {
      const { items, total } = await api.scoreList({ scorer: scorer.value, order: order.value, at: this.#items.length, limit: AT_ONCE }, { signal: this.#left.signal });
      if (visit !== this.#visit) return;
      this.#items.push(...items);
      const more = this.#items.length < total && h("button", { type: "button", onclick: () => this.#load() }, text.more(formatInteger(total - this.#items.length)));
      fill(this.body, total ? [table(this.#items), more] : h("p", { class: "muted" }, text.listNone));
    } catch (error) {
      if (!isAbort(error) && visit === this.#visit) fill(this.body, errorView(error, () => this.show()));
    }
  }
}

function table(items) {
  const { columns } = text;
  const row = ({ source, layer, index, text: words, origin, score }) => h("tr", {},
    h("td", { class: "num" }, figure(score.value)),
    h("td", { class: "num" }, score.low === null ? "" : text.interval(figure(score.low), figure(score.high))),
    h("td", { class: "num" }, formatInteger(score.n)),
    h("td", { class: "score-words", dir: "auto" }, h("a", { href: featurePath(source, index) }, words), " ", automaticBadge(origin, { short: true })),
    h("td", {}, featureId(layer, index)),
    h("td", { dir: "auto" }, score.reader || text.carriedOut));
  return h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": text.list },
    h("table", { class: "scores-table" },
      h("thead", {}, h("tr", {}, [columns.value, columns.interval, columns.n, columns.label, columns.feature, columns.reader].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, items.map(row))));
}

customElements.define("score-list", ScoreList);
