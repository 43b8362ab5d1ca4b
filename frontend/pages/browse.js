/** <browse-page>: all features in a dense list to filter, sort and search. The URL holds every choice. */

import { errorView, skeleton } from "../components/state-view.js";
import { featureRow } from "../components/feature-row.js";
import { announce, fill, h } from "../lib/dom.js";
import { featureList } from "../lib/feature-list.js";
import { Page } from "../lib/page.js";
import { navigate, setQuery } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { loadFeature, loadModel, onStale, session } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { defaultOrder, filterBar, sortOf, sortQuery } from "./browse-filters.js";
import { browse as text } from "./browse-strings.js";

const FILTERS = ["q", "by", "layer", "status", "min_rate", "max_rate", "min_max", "max_max", "min_token_r2", "max_token_r2", "min_half_firings", "token", "author", "sort", "order"];
const LOAD_AHEAD = "900px";
const PREFETCH_MS = 120;

/** Columns of the table; `sort` is the API's sort key. */
const COLUMNS = [
  { name: "id", sort: "index" },
  { name: "name", sort: "label" },
  { name: "snippet" },
  { name: "promoted" },
  { name: "histogram" },
  { name: "token", sort: "token_r2" },
  { name: "rate", sort: "rate" },
  { name: "max", sort: "max" },
];

class BrowsePage extends Page {
  #list = null;
  #shown = 0;
  #epoch = -1;

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page");
    this.filters = filterBar((patch, options) => setQuery(patch, options), signal);
    this.heads = COLUMNS.map((column) => this.#columnHead(column));
    this.rows = h("div", { role: "rowgroup", class: "feature-rows" });
    this.table = h(
      "div",
      { role: "table", class: "feature-table", "aria-label": text.table },
      h("div", { role: "rowgroup", class: "feature-head" }, h("div", { role: "row" }, this.heads)),
      this.rows,
    );
    this.tail = h("div", { class: "list-tail" });
    this.append(h("h1", { class: "visually-hidden" }, text.title), this.filters.element, this.table, this.tail);

    this.rows.addEventListener("click", (event) => openRow(event), { signal });
    this.#prefetchOnHover(signal);
    this.observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#more(), { rootMargin: LOAD_AHEAD });
    this.observer.observe(this.tail);
    signal.addEventListener("abort", () => this.observer.disconnect());
    session.subscribe(() => this.#list?.total === 0 && this.#showTail(), { signal });
    onStale(() => this.#show(new URLSearchParams(location.search)), { signal });

    const group = strings.help.groups.browse;
    addShortcut("j", strings.help.next, () => this.#step(1), { group, signal });
    addShortcut("k", strings.help.previous, () => this.#step(-1), { group, signal });
    addShortcut("Enter", strings.help.open, null, { group, signal });
    loadModel().then((model) => this.filters.setSources(model.sources), () => {});
  }

  onRoute({ query }) {
    this.setTitle(text.title);
    if (query.has("focus")) {
      setQuery({ focus: null }, { silent: true });
      this.filters.search.focus();
    }
    return this.#show(query);
  }

  /** Shows the list a query asks for; resolves when its first page is on screen. */
  async #show(query) {
    if (!session.state.model) await loadModel().catch(() => {}); // the list's own error says what is wrong
    const filters = Object.fromEntries(FILTERS.filter((key) => query.get(key)).map((key) => [key, query.get(key)]));
    const sort = sortOf(filters);
    this.filters.show({ ...filters, ...sort });
    this.#showSort(sort);
    const list = featureList(filters.q ? filters : { ...filters, sort: sort.sort });
    if (list === this.#list && this.#epoch === session.state.epoch && this.#shown > 0) return;
    this.#list = list;
    this.#epoch = session.state.epoch;
    this.rows.classList.toggle("is-stale", this.#shown > 0);
    if (list.items.length) {
      this.#start();
      this.#append(list.items);
      this.#showTail();
    } else await this.#more();
  }

  async #more() {
    const list = this.#list;
    if (!list?.hasMore || list.failed) return;
    if (this.#shown === 0) fill(this.tail, skeleton(14, "is-rows"));
    else if (this.#shown === list.items.length) fill(this.tail, h("p", { class: "muted" }, text.loadingMore));
    try {
      const first = list.items.length === 0;
      await list.more();
      if (list !== this.#list || this.signal.aborted) return;
      if (first || this.rows.classList.contains("is-stale")) this.#start();
      this.#append(list.items.slice(this.#shown));
      if (first) announce(text.totalAnnounce(list.total));
      this.#showTail();
    } catch (error) {
      if (list !== this.#list || this.signal.aborted) return;
      if (list.items.length === 0) this.#start();
      list.failed = true;
      const retry = () => {
        list.failed = false;
        this.#more();
      };
      this.filters.setTotal(null);
      const wrong = error.status === 422; // a mistyped address: the same question would get the same answer
      fill(this.tail, wrong ? h("state-view", { kind: "error", heading: text.badQuery, hint: error.message, action: text.reset, href: "/browse" }) : errorView(error, retry));
    }
  }

  /** Empties the table for another list. */
  #start() {
    this.rows.replaceChildren();
    this.rows.classList.remove("is-stale");
    this.#shown = 0;
  }

  #append(items) {
    this.rows.append(...items.map((row, i) => featureRow(row, { position: this.#shown + i + 1 })));
    this.#shown += items.length;
  }

  #showTail() {
    const { total, hasMore } = this.#list;
    this.table.setAttribute("aria-rowcount", String(total + 1));
    this.table.hidden = total === 0;
    this.filters.setTotal(total);
    if (total === 0 && session.state.health?.index.state !== "ready") {
      fill(this.tail, h("state-view", { kind: "empty", heading: text.notReady }));
    } else if (total === 0) {
      const view = h("state-view", { kind: "empty", heading: text.empty, hint: this.#list.query.status === "ultra_rare" ? text.emptyUltraRare : text.emptyHint, action: text.reset, href: "/browse" });
      fill(this.tail, view);
    } else fill(this.tail, hasMore ? h("button", { type: "button", class: "quiet", onclick: () => this.#more() }, text.loadMore) : h("p", { class: "muted" }, text.end));
    // The observer speaks only when the tail comes into view: if it still is, ask once more.
    this.observer.unobserve(this.tail);
    this.observer.observe(this.tail);
  }

  #columnHead({ name, sort }) {
    const title = text.columns[name];
    const explained = text.columnTitles[name] ?? null;
    if (!sort) return h("div", { role: "columnheader", class: `cell-${name}`, title: explained }, title);
    const press = () => this.#sortBy(sort);
    return h("div", { role: "columnheader", class: `cell-${name}`, title: explained }, h("button", { type: "button", class: "sort", onclick: press }, title));
  }

  /** A click on the column that already sorts turns the order round. */
  #sortBy(key) {
    const filters = Object.fromEntries(new URLSearchParams(location.search));
    const now = sortOf(filters);
    const turned = now.order === "asc" ? "desc" : "asc";
    setQuery(sortQuery(filters, key, now.sort === key ? turned : defaultOrder(key)), { replace: false });
  }

  #showSort({ sort, order }) {
    for (const [i, column] of COLUMNS.entries()) {
      const active = column.sort === sort;
      if (active) this.heads[i].setAttribute("aria-sort", order === "asc" ? "ascending" : "descending");
      else this.heads[i].removeAttribute("aria-sort");
    }
  }

  #step(by) {
    const links = [...this.rows.querySelectorAll(".row-link")];
    const at = links.indexOf(document.activeElement);
    const next = links[at < 0 ? 0 : Math.max(0, Math.min(links.length - 1, at + by))];
    next?.focus();
    next?.closest(".feature-row").scrollIntoView({ block: "nearest" });
  }

  /** A pointer that rests on a row is about to click it. */
  #prefetchOnHover(signal) {
    let timer = 0;
    const prefetch = (event) => {
      clearTimeout(timer);
      const href = event.target.closest?.(".feature-row")?.dataset.href;
      if (!href) return;
      const [, , source, index] = href.split("/");
      timer = setTimeout(() => loadFeature(decodeURIComponent(source), Number(index)).catch(() => {}), PREFETCH_MS);
    };
    this.rows.addEventListener("pointerover", prefetch, { signal });
    this.rows.addEventListener("focusin", prefetch, { signal });
    signal.addEventListener("abort", () => clearTimeout(timer));
  }
}

/** The whole row is a target; its link keeps the middle button and "open in a new tab". */
function openRow(event) {
  const row = event.target.closest(".feature-row");
  if (!row || event.target.closest("a") || getSelection()?.toString()) return;
  if (event.ctrlKey || event.metaKey) open(row.dataset.href, "_blank", "noopener");
  else navigate(row.dataset.href);
}

customElements.define("browse-page", BrowsePage);

