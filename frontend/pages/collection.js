/** <collection-page>: one collection. Its features with notes, in order; ways on with all of them; its history. */

import "../components/collection-item.js";
import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { api, isAbort } from "../lib/api.js";
import { collections } from "../lib/api-collections.js";
import { MOST, comparePath } from "../lib/compare-path.js";
import { debounce, fill, h, uuid } from "../lib/dom.js";
import { errorText } from "../lib/error-text.js";
import { listen } from "../lib/live.js";
import { Page } from "../lib/page.js";
import { loadPerson } from "../lib/person.js";
import { MOST_STEERED, featureKey, steerPath } from "../lib/selection.js";
import { onStale } from "../lib/store.js";
import { collections as words } from "./collection-strings.js";

const text = words.one;
const SETTLE_MS = 200;
const AT_ONCE = 100;
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

class CollectionPage extends Page {
  #id = "";
  #visit = 0;
  /** @type {any} */ #collection = null;
  #shown = AT_ONCE;
  /** @type {Map<string, any>} */ #rows = new Map();
  #may = { label: false, review: false, administer: false, me: "" };
  #refresh = debounce(() => this.#load(), SETTLE_MS);

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page", "collection-page");
    this.head = h("header", { class: "collection-head" });
    this.ways = h("div", { class: "collection-ways" });
    this.notice = h("div", { class: "collection-notice", role: "status" });
    this.list = h("ol", { class: "collection-items" });
    this.rest = h("div", {});
    this.past = h("div", {});
    this.history = h("details", { class: "collection-history", ontoggle: () => this.history.open && this.#showHistory() }, h("summary", {}, text.history), this.past);
    this.addEventListener("deed", (event) => this.#deed(/** @type {CustomEvent} */ (event).detail));
    this.addEventListener("shift", (event) => this.#shift(/** @type {CustomEvent} */ (event).detail));
    listen(({ kind }) => (kind === "collections" || kind === "renewed") && this.#collection && this.#refresh(), { signal });
    onStale(() => this.#load(), { signal });
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#refresh.cancel();
  }

  onRoute({ params }) {
    this.setTitle(words.title);
    if (params.id === this.#id && this.#collection) return undefined;
    this.#id = params.id;
    this.#collection = null;
    this.#shown = AT_ONCE;
    fill(this, skeleton(8));
    return this.#load();
  }

  async #load() {
    const visit = ++this.#visit;
    const { signal } = this;
    try {
      const [found, { person }] = await Promise.all([collections.one(this.#id, {}, { signal }), loadPerson({ signal })]);
      if (visit !== this.#visit) return;
      const may = person?.permissions ?? [];
      this.#may = { label: may.includes("label"), review: may.includes("review"), administer: may.includes("administer"), me: person?.id ?? "" };
      await this.#show(found);
    } catch (error) {
      if (visit !== this.#visit || isAbort(error)) return;
      const unknown = error.status === 404 || error.status === 422;
      fill(this, unknown ? h("state-view", { kind: "empty", heading: error.message, action: words.back, href: "/collections" }) : errorView(error, () => this.#load()));
    }
  }

  async #show(found) {
    if (this.#collection && found.version < this.#collection.version) return; // an answer that was overtaken
    this.#collection = found;
    this.setTitle(found.name);
    if (!this.head.isConnected) fill(this, this.head, this.ways, this.notice, this.list, this.rest, this.history);
    this.#showHead();
    this.#showWays();
    this.#showItems();
    if (this.history.open) this.#showHistory();
    await this.#names();
  }

  #showHead() {
    const { name, description, deleted, changed_by: by } = this.#collection;
    if (this.head.querySelector("form")) return; // somebody is renaming it
    const about = words.about(this.#collection, day.format(new Date(this.#collection.changed_at)));
    fill(
      this.head,
      h("div", {}, h("p", { class: "small" }, h("a", { href: "/collections" }, words.title)), h("h1", { dir: "auto" }, name),
        description && h("p", { class: "collection-about", dir: "auto" }, description), h("p", { class: "muted small" }, about)),
      this.#may.label && !deleted && h("div", { class: "collection-ways" },
        h("button", { type: "button", class: "quiet", onclick: () => this.#rename() }, text.edit),
        (this.#may.review || this.#collection.author.id === this.#may.me) && h("button", { type: "button", class: "quiet", onclick: () => this.#delete() }, text.remove)),
      deleted && h("div", { class: "collection-notice" }, h("p", {}, h("b", {}, text.deleted), " ", text.deletedBy(by.name)),
        this.#may.label && (this.#may.review || by.id === this.#may.me) && h("button", { type: "button", onclick: () => this.#deed({ event: { kind: "undo", target: this.#collection.version }, base: this.#collection.version }) }, text.bringBack)),
    );
  }

  #showWays() {
    const { id, items, deleted } = this.#collection;
    const keys = items.slice(0, MOST_STEERED).map(featureKey);
    const way = (label, href, title = /** @type {string|null} */ (null)) => h("a", { class: "button", href, title }, label);
    const asked = `collection=${encodeURIComponent(id)}`;
    fill(this.ways, items.length > 0 && !deleted && [
      way(text.browse, `/browse?${asked}&status=all`, text.browseTitle),
      items.length > 1 && way(text.compare, comparePath(items.slice(0, MOST)), items.length > MOST ? text.compareTitle(MOST) : null),
      way(text.map, `/map?${asked}`),
      way(text.steer, steerPath(keys), items.length > MOST_STEERED ? text.steerTitle(MOST_STEERED) : null),
      this.#may.review && way(text.campaign, `/label/new?${asked}`, text.campaignTitle),
    ]);
  }

  #showItems() {
    const { items, version, deleted } = this.#collection;
    const there = new Map(/** @type {any[]} */ ([...this.list.querySelectorAll("collection-item")]).map((element) => [element.dataset.key, element]));
    const may = this.#may.label && !deleted;
    const shown = items.slice(0, this.#shown).map((item, place) => {
      const key = featureKey(item);
      const element = there.get(key) ?? h("collection-item", {});
      there.delete(key);
      element.show(item, this.#rows.get(key), { first: place === 0, last: place === items.length - 1, may }, version);
      return element.parentElement ?? h("li", { class: "panel" }, element);
    });
    const written = [...there.values()].filter((element) => element.writing); // words that nobody has stored yet stay
    for (const element of written) element.lost();
    const wanted = [...shown, ...written.map((element) => element.parentElement)];
    for (const li of [...this.list.children]) if (!wanted.includes(li)) li.remove();
    // what is where it should be is left there, so that it keeps its focus
    for (const [place, li] of wanted.entries()) if (this.list.children[place] !== li) this.list.insertBefore(li, this.list.children[place] ?? null);
    const left = items.length - this.#shown;
    fill(
      this.rest,
      items.length === 0 && !deleted && h("state-view", { kind: "empty", heading: text.empty, hint: may ? text.emptyHint : null, action: text.browseAll, href: "/browse" }),
      left > 0 && h("button", { type: "button", onclick: () => { this.#shown += AT_ONCE; this.#showItems(); this.#names(); } }, text.more(Math.min(left, AT_ONCE))),
    );
  }

  /** What the features are called, for those in sight of which it is not known yet. */
  async #names() {
    const items = this.#collection.items.slice(0, this.#shown).filter((item) => !this.#rows.has(featureKey(item)));
    for (let begin = 0; begin < items.length; begin += AT_ONCE) {
      try {
        const { items: rows } = await api.featureRows(items.slice(begin, begin + AT_ONCE), { signal: this.signal });
        for (const row of rows) this.#rows.set(featureKey(row), row);
      } catch (error) {
        if (isAbort(error) || error.code === "index_not_ready") return;
        toast(errorText(error), { kind: "error" });
        return;
      }
    }
    if (items.length && !this.signal.aborted) this.#showItems();
  }

  /** Sends what is to be done, and shows what came of it. `base`: the version that it rests on, if it rests on one. */
  async #deed({ event, base = null, done = (/** @type {any} */ _error) => {} }) {
    try {
      const found = await collections.act(this.#id, { id: uuid(), base_version: base, event });
      done(null);
      await this.#show(found);
      const { version } = found;
      fill(this.notice, event.kind !== "undo" && [h("span", {}, text.kinds[event.kind](event)), " ",
        h("button", { type: "button", class: "linklike", onclick: () => this.#deed({ event: { kind: "undo", target: version }, base: version }) }, text.undo)]);
    } catch (error) {
      done(error);
      if (error.code === "stale") {
        if (event.kind !== "note") toast(text.stale, { kind: "error" });
        await this.#show(error.conflict.now);
      } else if (event.kind !== "note") toast(errorText(error), { kind: "error" });
    }
  }

  /** For good, so it asks, and for the reason, which stands in the history instead. */
  async #redact(target, what) {
    const reason = prompt(text.sureRedact(what))?.trim();
    if (!reason) return;
    try {
      await this.#show(await collections.redact(this.#id, { id: uuid(), event: { kind: "redact", target }, reason }));
    } catch (error) {
      toast(errorText(error), { kind: "error" });
    }
  }

  #shift({ item, kind }) {
    const { items } = this.#collection;
    const here = items.findIndex((each) => featureKey(each) === featureKey(item));
    const before = kind === "up" ? items[here - 1] : items[here + 2];
    const name = ({ source, index }) => ({ source, index });
    this.#deed({ event: { kind: "move", item: name(item), before: before ? name(before) : null } });
  }

  #delete() {
    const { name, version } = this.#collection;
    if (confirm(text.sureRemove(name))) this.#deed({ event: { kind: "delete" }, base: version });
  }

  #rename() {
    const { name, description, version } = this.#collection;
    const title = h("input", { required: true, maxlength: "200", value: name, "aria-label": words.dialog.name, autocomplete: "off" });
    const about = h("textarea", { rows: "3", maxlength: "5000", value: description ?? "", "aria-label": words.dialog.description });
    const close = () => {
      this.head.replaceChildren();
      this.#showHead();
    };
    const save = (event) => {
      event.preventDefault();
      this.#deed({ event: { kind: "describe", name: title.value, description: about.value.trim() || null }, base: version, done: (error) => !error && close() });
    };
    fill(this.head, h("form", { class: "collect-form", onsubmit: save }, title, about,
      h("div", { class: "dialog-buttons" }, h("button", { type: "button", onclick: close }, words.dialog.cancel), h("button", { class: "primary" }, text.save))));
    title.focus();
  }

  async #showHistory() {
    const items = [];
    /** @type {number|null} */ let before = null;
    const draw = () => fill(this.past, h("ol", { class: "history" }, items.map((entry) => this.#entry(entry))),
      before !== null && h("button", { type: "button", class: "quiet", onclick: more }, text.earlier));
    const more = async () => {
      try {
        const page = await collections.history(this.#id, { before }, { signal: this.signal });
        items.push(...page.items);
        before = page.next_before;
        draw();
      } catch (error) {
        if (!isAbort(error)) fill(this.past, errorView(error, more));
      }
    };
    await more();
  }

  #entry({ stream, kind, payload, author, created_at: when, reason, undone_by: gone, redacted_by: wordless }) {
    const what = text.kinds[kind](payload);
    const hasWords = !wordless && (reason || payload.name || payload.description || payload.note || payload.items?.some(({ note }) => note));
    const notes = [gone && text.undone, wordless && text.redacted].filter(Boolean).map((note) => ` · ${note}`);
    const mine = this.#may.label && (this.#may.review || author.id === this.#may.me);
    return h("li", { class: gone ? "is-undone" : null, dir: "auto" }, h("bdi", {}, author.name), " ", what, reason && [": ", h("bdi", {}, reason)], h("span", { class: "muted small" }, ` · ${moment.format(new Date(when))}${notes.join("")} `),
      this.#may.administer && hasWords && h("button", { type: "button", class: "linklike small", "aria-label": text.redactThis(what), onclick: () => this.#redact(stream, what) }, text.redact), " ",
      mine && !gone && !["make", "redact"].includes(kind) && h("button", { type: "button", class: "linklike small", "aria-label": text.undoThis(what), onclick: () => this.#deed({ event: { kind: "undo", target: stream }, base: this.#collection.version }) }, text.undo));
  }
}

customElements.define("collection-page", CollectionPage);
