/** <person-page>: everything that one person, or program, said of features, the latest first; also what was undone. */

import { errorView, skeleton } from "../components/state-view.js";
import { api, isAbort } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { featureId, featurePath, formatTime } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { loadModel } from "../lib/store.js";
import { labels as words } from "./label-strings.js";

const text = words.person;

class PersonPage extends Page {
  #id = "";
  #visit = 0;
  /** @type {any[]} */ #items = [];
  /** @type {Map<string, number>} */ #layers = new Map();

  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page");
    this.heading = h("h1", { dir: "auto" }, text.title);
    this.list = h("div", {});
    fill(this, this.heading, h("p", { class: "lead muted" }, text.lead), this.list);
  }

  onRoute({ params }) {
    this.setTitle(text.title);
    this.#id = params.id;
    this.#items = [];
    fill(this.heading, text.title);
    fill(this.list, skeleton(8));
    return this.#read(null);
  }

  async #read(before) {
    const { signal } = this;
    const visit = ++this.#visit;
    try {
      const [page, { sources }] = await Promise.all([api.personHistory(this.#id, { before }, { signal }), loadModel()]);
      if (visit !== this.#visit) return; // the answer about somebody else
      this.#layers = new Map(sources.map(({ key, layer }) => [key, layer]));
      this.#items.push(...page.items);
      this.#show(page.next_before);
    } catch (error) {
      if (visit === this.#visit && !isAbort(error)) fill(this.list, errorView(error, () => this.#read(before)));
    }
  }

  #show(next) {
    const name = this.#items[0]?.author.name;
    if (name) {
      const title = text.of(name);
      fill(this.heading, title);
      this.setTitle(title);
    }
    fill(
      this.list,
      this.#items.length ? h("ol", { class: "history" }, this.#items.map((item) => this.#row(item))) : h("state-view", { kind: "empty", heading: text.nothing, hint: text.nothingHint }),
      next !== null && h("button", { type: "button", class: "quiet", onclick: () => this.#read(next) }, words.more),
    );
  }

  #row(item) {
    const said = item.redacted_by ? words.redacted : words.kinds[item.kind]?.(item.payload) ?? item.kind;
    return h("li", { class: item.undone_by ? "is-undone" : null },
      h("span", { class: "muted small" }, h("time", { datetime: item.created_at }, formatTime(item.created_at)), " · ",
        h("a", { href: featurePath(item.source, item.index), class: "num" }, featureId(this.#layers.get(item.source) ?? "?", item.index)), item.undone_by && ` · ${words.undone}`), " ",
      h("span", { class: "history-text", dir: "auto" }, said, item.reason && [": ", h("bdi", {}, item.reason)]));
  }
}
customElements.define("person-page", PersonPage);
