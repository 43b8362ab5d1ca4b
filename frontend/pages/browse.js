/**
 * <browse-page>: all features in one list of any length, to filter, sort, search and choose from.
 *
 * The URL holds every choice: the filters and the order, `at` the rank at the upper edge, `row` the current feature, `s`
 * those that were chosen (features written SOURCE:INDEX).
 */

import { featureRow } from "../components/feature-row.js";
import { previews } from "../components/preview-loader.js";
import { errorView } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import "../components/virtual-list.js";
import { announce, fill, h } from "../lib/dom.js";
import { featureList } from "../lib/feature-list.js";
import { Page } from "../lib/page.js";
import { navigate, rankOf, setQuery } from "../lib/router.js";
import { MOST_CHOSEN, Selection, featureKey } from "../lib/selection.js";
import { setting } from "../lib/settings.js";
import { addShortcut } from "../lib/shortcuts.js";
import { loadModel, onStale, session } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { defaultOrder, filterBar, sortOf, sortQuery } from "./browse-filters.js";
import { browse as text } from "./browse-strings.js";

const FILTERS = ["q", "by", "layer", "status", "min_rate", "max_rate", "min_max", "max_max", "min_token_r2", "max_token_r2", "min_half_firings", "token", "author", "collection", "sort", "order", "scorer"];
/** So long a list may be stale before grey bars stand in for the one that was asked for. */
const PATIENCE_MS = 150;

/** Columns of the table; `sort` is the API's sort key. */
/** @type {{name: string, sort?: string}[]} */
const COLUMNS = [
  { name: "choose" },
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
  /** @type {HTMLElement[]} */ heads;
  /** @type {Selection} */ selection;
  /** @type {ReturnType<typeof filterBar>} */ filters;
  /** @type {Promise<any>|undefined} */ bar;
  /** @type {ReturnType<typeof previews>|undefined} */ preview;
  /** @type {import("../lib/ranked-rows.js").RankedRows|null} */ #list = null; // what the URL asks for
  #told = false;
  #waiting = 0;
  /** @type {string|null} */ #wanted = null; // the current row that the URL names, until its row is here

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page", "fills-screen");
    this.filters = filterBar((patch, options) => setQuery({ ...patch, at: null, row: null }, options), signal);
    this.selection = new Selection();
    this.heads = COLUMNS.map((column) => this.#columnHead(column));
    this.table = h("mfn-virtual-list", { class: "feature-table" });
    this.table.setup({
      label: text.table,
      head: h("div", { role: "rowgroup", class: "feature-head" }, h("div", { role: "row", "aria-rowindex": 1 }, this.heads)),
      render: featureRow,
      selection: this.selection,
      tooMany: () => toast(text.tooMany(MOST_CHOSEN)),
    });
    this.state = h("div", { class: "list-state", hidden: true });
    this.room = h("div", { hidden: true });
    this.append(h("h1", { class: "visually-hidden" }, text.title), this.filters.element, this.room, this.table, this.state);

    this.table.addEventListener("click", openRow, { signal });
    this.table.addEventListener("move", () => this.#moved(), { signal });
    this.table.addEventListener("settle", () => this.#settled(), { signal });
    this.table.addEventListener("failure", () => this.#failed(), { signal });
    this.selection.addEventListener("change", () => this.#chose(signal), { signal });
    this.preview = previews(this.table, signal);
    session.subscribe(() => this.#list?.total === 0 && this.#showState(), { signal });
    onStale(() => this.#show(new URLSearchParams(location.search)), { signal });
    signal.addEventListener("abort", () => clearTimeout(this.#waiting));
    this.#shortcuts(signal);
    loadModel().then((model) => this.filters.setSources(model.sources), () => this.filters.setSources([]));
  }

  /** The bar of what was chosen comes with the first choice. */
  #chose(signal) {
    setQuery({ s: this.selection.toString() }, { silent: true });
    if (this.selection.size) this.bar ??= import("../components/selection-bar.js").then(({ selectionBar }) => this.append(selectionBar(this.selection, signal)));
  }

  #shortcuts(signal) {
    const group = strings.help.groups.browse;
    addShortcut("j", strings.help.next, () => this.table.step(1), { group, signal });
    addShortcut("k", strings.help.previous, () => this.table.step(-1), { group, signal });
    addShortcut("Enter", strings.help.open, null, { group, signal });
    addShortcut("x", strings.help.choose, () => this.table.toggle(), { group, signal });
    for (const key of ["PageDown", "PageUp", "Home", "End"]) addShortcut(key, strings.help.moves[key], (event) => this.table.key(event), { group, signal });
    addShortcut("Escape", strings.help.chooseNone, () => this.selection.clear(), { group, signal });
  }

  onRoute({ query }) {
    this.setTitle(text.title);
    if (query.has("focus")) {
      setQuery({ focus: null }, { silent: true });
      this.filters.search.focus();
    }
    return this.#show(query);
  }

  /** Shows the list a query asks for. */
  async #show(query) {
    if (!session.state.model) await loadModel().catch(() => {}); // the list's own error says what is wrong
    if (this.signal.aborted) return;
    const filters = Object.fromEntries(FILTERS.filter((key) => query.get(key)).map((key) => [key, query.get(key)]));
    const sort = sortOf(filters);
    // what somebody has chosen for themselves goes into the address, which is for others, too
    if (!filters.sort && !filters.q && setting("sort") !== "auto") setQuery({ sort: sort.sort }, { silent: true });
    this.filters.show({ ...filters, ...sort });
    this.#showCollection(filters.collection ?? null);
    this.#showSort(sort);
    this.selection.parse(query.get("s"));
    const at = rankOf(query.get("at"));
    this.#wanted = query.get("row");
    const list = featureList(filters.q ? filters : { ...filters, sort: sort.sort });
    if (list === this.#list) {
      if (list.total !== null && at !== this.table.at) this.table.goTo(at);
      this.#settled();
      return;
    }
    this.preview?.hide();
    this.#list = list;
    this.#told = false;
    this.#stopWaiting();
    const here = () => {
      this.#stopWaiting();
      if (list !== this.#list || this.signal.aborted) return;
      this.table.show(list, { at });
      this.#showState();
    };
    if (list.total !== null || !this.table.rows) return here();
    // The old rows stay, dimmed, for as long as one hardly notices: a page that flashes grey is harder to read.
    this.table.classList.add("is-stale");
    this.#waiting = setTimeout(here, PATIENCE_MS);
    list.addEventListener("change", here, { once: true });
    list.addEventListener("failure", here, { once: true });
    list.want(at, at + 50);
  }

  /** Which collection the list is of, and a way out of it. */
  #showCollection(id) {
    this.room.hidden = id === null;
    if (id) import("../components/collection-chip.js").then(({ showChip }) => showChip(this.room, id, () => setQuery({ collection: null, at: null, row: null }, { replace: false })), () => {});
  }

  #stopWaiting() {
    clearTimeout(this.#waiting);
    this.table.classList.remove("is-stale");
  }

  /** Everything in sight is drawn. */
  #settled() {
    const list = this.#list;
    if (!list || this.table.rows !== list || list.total === null) return;
    if (!this.#told) {
      this.#told = true;
      announce(text.totalAnnounce(list.total));
      this.#showState();
    }
    if (!this.#wanted) return;
    for (let rank = this.table.at; rank < this.table.at + 100; rank++) {
      const row = list.row(rank);
      if (!row || featureKey(row) !== this.#wanted) continue;
      this.#wanted = null;
      this.table.select(rank, { focus: document.activeElement === document.body || document.activeElement?.id === "main" });
      return;
    }
  }

  /** The URL says where the list stands. */
  #moved() {
    const total = this.#list?.total;
    if (this.table.rows !== this.#list || !total) return;
    const row = this.table.currentRow;
    setQuery({ at: this.table.at || null, row: row ? featureKey(row) : this.#wanted }, { silent: true });
    this.filters.setTotal(total, this.table.span);
  }

  #failed() {
    if (this.table.rows !== this.#list) return;
    this.#showState();
  }

  /** What stands in place of rows: nothing found, or an error. */
  #showState() {
    const list = this.#list;
    if (!list) return;
    const { total, failed } = list;
    const ready = session.state.health?.index.state === "ready";
    this.filters.setTotal(failed && total === null ? null : total, total ? this.table.span : null);
    this.table.hidden = total === 0 || (failed !== null && total === null);
    this.state.hidden = !failed && total !== 0;
    if (failed) {
      const wrong = failed.status === 422; // a mistyped address: the same question would get the same answer
      const retry = () => {
        list.retry();
        this.#showState();
      };
      fill(this.state, wrong ? h("state-view", { kind: "error", heading: text.badQuery, hint: failed.message, action: text.reset, href: "/browse" }) : errorView(failed, retry));
    } else if (total === 0 && !ready) fill(this.state, h("state-view", { kind: "empty", heading: text.notReady }));
    else if (total === 0) {
      const hint = new URLSearchParams(location.search).get("status") === "ultra_rare" ? text.emptyUltraRare : text.emptyHint;
      fill(this.state, h("state-view", { kind: "empty", heading: text.empty, hint, action: text.reset, href: "/browse" }));
    }
  }

  /** @param {{name: string, sort?: string}} column */
  #columnHead({ name, sort }) {
    const title = text.columns[name];
    const explained = text.columnTitles[name] ?? null;
    const props = { role: "columnheader", class: `cell-${name}`, title: explained };
    if (name === "choose") return h("div", props, h("span", { class: "visually-hidden" }, title));
    if (!sort) return h("div", props, title);
    return h("div", props, h("button", { type: "button", class: "sort", onclick: () => this.#sortBy(sort) }, title));
  }

  /** A click on the column that already sorts turns the order round. */
  #sortBy(key) {
    const filters = Object.fromEntries(new URLSearchParams(location.search));
    const now = sortOf(filters);
    const turned = now.order === "asc" ? "desc" : "asc";
    setQuery({ ...sortQuery(filters, key, now.sort === key ? turned : defaultOrder(key)), at: null, row: null }, { replace: false });
  }

  #showSort({ sort, order }) {
    for (const [i, column] of COLUMNS.entries()) {
      const active = column.sort === sort;
      if (active) this.heads[i].setAttribute("aria-sort", order === "asc" ? "ascending" : "descending");
      else this.heads[i].removeAttribute("aria-sort");
    }
  }
}

/** The whole row is a target; its link keeps the middle button and "open in a new tab". */
function openRow(event) {
  const row = event.target.closest(".feature-row[data-href]");
  if (!row || event.target.closest("a, .preview") || getSelection()?.toString()) return;
  if (event.ctrlKey || event.metaKey) open(row.dataset.href, "_blank", "noopener");
  else navigate(row.dataset.href);
}

customElements.define("browse-page", BrowsePage);
