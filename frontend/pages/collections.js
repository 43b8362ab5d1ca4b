/** <collections-page>: all collections, those that were changed last first. `?deleted=1`: those that were deleted. */

import { errorView, skeleton } from "../components/state-view.js";
import { isAbort } from "../lib/api.js";
import { collectionPath, collections } from "../lib/api-collections.js";
import { collect } from "../lib/collect.js";
import { debounce, fill, h, refill } from "../lib/dom.js";
import { listen } from "../lib/live.js";
import { Page } from "../lib/page.js";
import { loadPerson } from "../lib/person.js";
import { navigate } from "../lib/router.js";
import { onStale } from "../lib/store.js";
import { collections as text } from "./collection-strings.js";

const SETTLE_MS = 200;
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

class CollectionsPage extends Page {
  #deleted = false;
  #visit = 0;
  #refresh = debounce(() => this.#load(), SETTLE_MS);

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page", "collections-page");
    listen(({ kind }) => (kind === "collections" || kind === "renewed") && this.#refresh(), { signal });
    onStale(() => this.#load(), { signal });
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#refresh.cancel();
  }

  onRoute({ query }) {
    this.#deleted = query.has("deleted");
    this.setTitle(text.title);
    fill(this, skeleton(6));
    return this.#load();
  }

  async #load() {
    const visit = ++this.#visit;
    const { signal } = this;
    try {
      const [{ items }, { person }] = await Promise.all([collections.list({ deleted: this.#deleted || null }, { signal }), loadPerson({ signal })]);
      if (visit === this.#visit) this.#show(items, person?.permissions.includes("label") ?? false);
    } catch (error) {
      if (visit === this.#visit && !isAbort(error)) fill(this, errorView(error, () => this.#load()));
    }
  }

  #show(items, may) {
    const make = may && h("button", { type: "button", class: "primary", onclick: () => this.#make() }, text.make);
    const empty = h("state-view", { kind: "empty", heading: this.#deleted ? text.noneDeleted : text.none, hint: this.#deleted ? null : may ? text.noneHint : text.noneForYou });
    refill(
      this,
      h("header", { class: "collection-head" }, h("div", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)), make),
      items.length ? h("ul", { class: "collection-list" }, items.map(card)) : empty,
      h("p", { class: "small" }, h("a", { href: this.#deleted ? "/collections" : "/collections?deleted=1" }, this.#deleted ? text.standing : text.deleted)),
    );
  }

  async #make() {
    const made = await collect([]);
    if (made) navigate(collectionPath(made.id));
  }
}

const card = (collection) => h("li", { class: "panel collection-card" },
  h("h2", {}, h("a", { href: collectionPath(collection.id), dir: "auto", dataset: { key: collection.id } }, collection.name)),
  collection.description && h("p", { class: "collection-about", dir: "auto" }, collection.description),
  h("p", { class: "muted small" }, text.about(collection, day.format(new Date(collection.changed_at)))));

customElements.define("collections-page", CollectionsPage);
