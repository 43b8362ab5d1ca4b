/**
 * <foreign-page>: dashboards that others made. Three views, by the URL: the sources, the features of one, one feature.
 * The list's state is in the query (`q`, `sort`). Nothing here writes.
 */
import { contextList } from "../components/context-list.js";
import { errorView, skeleton } from "../components/state-view.js";
import { tokenChip } from "../components/token-chip.js";
import { api, json, queryString } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { formatPercent, formatSigned, formatValue } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { setQuery } from "../lib/router.js";
import { foreign as text } from "./foreign-strings.js";

const PAGE = 50;
const TYPING_MS = 250;

const listPath = (key) => `/foreign/${encodeURIComponent(key)}`;
const featurePath = (key, index) => `${listPath(key)}/${index}`;

/** Calls that this page alone makes; params of the list: q, sort, limit, offset. */
const elsewhere = {
  features: (source, params, options) => json(`/api/foreign/${encodeURIComponent(source)}/features${queryString(params)}`, options),
  feature: (source, index, options) => json(`/api/foreign/${encodeURIComponent(source)}/features/${encodeURIComponent(index)}`, options),
};

class ForeignPage extends Page {
  /** @type {any} */ list;
  #visit = 0;

  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "foreign-page");
  }

  async onRoute({ params: { source, index }, query }) {
    const visit = ++this.#visit;
    const stale = () => visit !== this.#visit || this.signal.aborted;
    if (!this.firstElementChild) fill(this, skeleton(8));
    try {
      const { sources } = await api.foreign();
      if (stale()) return;
      const known = sources.find(({ key }) => key === source);
      if (source === undefined) this.#showSources(sources);
      else if (!known) this.#showUnknown();
      else if (index === undefined) await this.#showList(known, query, stale);
      else await this.#showFeature(known, index, stale);
    } catch (error) {
      if (stale()) return;
      if (error.status === 404 || error.status === 422) this.#showUnknown();
      else fill(this, errorView(error, () => this.onRoute({ params: { source, index }, query })));
    }
  }

  #showUnknown() {
    this.setTitle(text.unknown);
    fill(this, h("state-view", { kind: "empty", heading: text.unknown, href: "/foreign", action: text.back }));
  }

  #showSources(sources) {
    this.setTitle(text.title);
    const row = (source) => h("li", { class: "panel foreign-source" },
      h("a", { href: listPath(source.key), dir: "auto" }, text.source(source)),
      h("span", { class: "muted small" }, [text.features(source.n_features), source.dataset && text.dataset(source.dataset)].filter(Boolean).join(" ")));
    fill(this, h("header", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)),
      sources.length ? h("ul", { class: "foreign-sources" }, sources.map(row)) : h("state-view", { kind: "empty", heading: text.none, hint: text.noneHint }));
  }

  async #showList(source, query, stale) {
    const [q, sort] = [query.get("q") ?? "", query.get("sort") in text.sorts ? query.get("sort") : "index"];
    const ask = (offset) => elsewhere.features(source.key, { q, sort, offset, limit: PAGE }, { signal: this.signal });
    const first = await ask(0);
    if (stale()) return;
    if (this.list?.key !== source.key || !this.contains(this.list.body)) this.#buildList(source);
    const { field, order, count, body, more, empty } = this.list;
    if (field !== document.activeElement) field.value = q;
    order.value = sort;
    count.textContent = text.found(first.total);
    let following = first.next_offset;
    const row = (item) => listRow(source.key, item);
    fill(body, first.items.map(row));
    body.closest("table").hidden = first.total === 0;
    empty.hidden = first.total > 0;
    more.hidden = following === null;
    more.onclick = async () => {
      const page = await ask(following);
      if (stale()) return;
      following = page.next_offset;
      body.append(...page.items.map(row));
      more.hidden = following === null;
    };
  }

  #buildList(source) {
    this.setTitle(text.source(source));
    let timer;
    const field = h("input", { type: "search", "data-search": "", "aria-label": text.search, placeholder: text.search, oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => setQuery({ q: field.value }), TYPING_MS);
    } });
    const order = h("select", { "aria-label": text.sort, onchange: () => setQuery({ sort: order.value === "index" ? null : order.value }) },
      Object.entries(text.sorts).map(([value, name]) => h("option", { value }, name)));
    const count = h("span", { class: "muted small num", role: "status" });
    const body = h("tbody", {});
    const more = h("button", { type: "button" }, text.more);
    const empty = h("p", { class: "muted" }, text.nothing);
    const head = h("thead", {}, h("tr", {}, Object.entries(text.columns).map(([name, title]) => h("th", { scope: "col", class: `is-${name}` }, title))));
    this.list = { key: source.key, field, order, count, body, more, empty };
    fill(this, header(source, text.source(source)), h("div", { class: "foreign-tools" }, field, order, count), h("table", { class: "foreign-list" }, head, body), empty, more);
  }

  async #showFeature(source, index, stale) {
    const found = await elsewhere.feature(source.key, index, { signal: this.signal });
    if (stale()) return;
    const { dashboard, previous, next } = found;
    this.setTitle(`${text.feature(found.index)} · ${source.set}`);
    const contexts = dashboard.activations.filter(({ values }) => values.length).map(toContext);
    const max = Math.max(0, ...contexts.map(({ peak_value: value }) => value));
    const strongest = contexts.filter(({ strongest: top }) => top).sort((a, b) => b.peak_value - a.peak_value);
    const step = (label, sign, number) => h("a", { class: "button step", "aria-label": label, title: label, href: number === null ? null : featurePath(source.key, number), "aria-disabled": number === null ? "true" : null }, sign);
    const facts = [text.rate(dashboard.frac_nonzero), text.measured(dashboard.n_prompts_total, dashboard.n_tokens_in_prompt), dashboard.dataset && text.dataset(dashboard.dataset)];
    fill(this,
      header(source, text.feature(found.index), h("div", { class: "steps" }, step(text.previous, "‹", previous), step(text.next, "›", next))),
      h("p", { class: "muted small", dir: "auto" }, facts.filter(Boolean).join(" · ")),
      h("div", { class: "foreign-columns" },
        h("div", { class: "foreign-main" },
          h("section", {}, h("h2", {}, text.contexts), strongest.length ? contextList(strongest, { max, label: text.contexts }) : h("p", { class: "muted" }, text.noContexts)),
          intervalsOf(contexts, max)),
        h("div", { class: "foreign-side" },
          bars(text.activations, dashboard.freq_hist_data_bar_values, dashboard.freq_hist_data_bar_heights),
          h("section", { class: "panel" },
            h("div", { class: "logits" }, logitTable(text.promoted, dashboard.pos_str, dashboard.pos_values, "up"), logitTable(text.suppressed, dashboard.neg_str, dashboard.neg_values, "down")),
            h("p", { class: "muted small note" }, text.logitsNote)),
          bars(text.logitDensity, dashboard.logits_hist_data_bar_values, dashboard.logits_hist_data_bar_heights),
          correlated(source.key, dashboard))));
  }
}

function header(source, title, tools = null) {
  const crumbs = [h("a", { href: "/foreign" }, text.title), title === text.source(source) ? null : [" · ", h("a", { href: listPath(source.key), dir: "auto" }, text.source(source))]];
  return h("header", { class: "foreign-header" }, h("div", {}, h("nav", { class: "crumbs small", "aria-label": text.title }, crumbs), h("h1", { dir: "auto" }, title)), tools);
}

function listRow(key, { index, peaks, promoted, rate, max }) {
  const chips = (tokens) => h("td", { class: "foreign-tokens" }, h("div", {}, tokens.map(tokenChip)));
  return h("tr", {},
    h("th", { scope: "row", class: "num" }, h("a", { href: featurePath(key, index) }, String(index))),
    chips(peaks), chips(promoted), h("td", { class: "num" }, formatPercent(rate)), h("td", { class: "num" }, formatValue(max)));
}

/** As `contextList` takes it. A null among the values is a number that was none in the file. */
function toContext({ tokens, values: given, bin_min: low, bin_max: high, bin_contains: share }) {
  const values = given.map((value) => value ?? 0);
  const peak = values.indexOf(Math.max(...values));
  return { tokens, values, peak, peak_value: values[peak], strongest: low === -1, low, high, share };
}

/** Contexts drawn from intervals of strength, the strongest interval first. */
function intervalsOf(contexts, max) {
  const groups = new Map();
  for (const context of contexts.filter(({ strongest }) => !strongest)) {
    const key = `${context.low} ${context.high}`;
    if (groups.has(key)) groups.get(key).push(context);
    else groups.set(key, [context]);
  }
  const ordered = [...groups.values()].sort(([a], [b]) => b.high - a.high);
  if (!ordered.length) return null;
  return h("section", {}, h("h2", {}, text.intervals), ordered.map((group) => {
    const name = text.interval(group[0].low, group[0].high);
    return h("section", { class: "band" }, h("header", {}, h("h3", { class: "num" }, name), h("p", { class: "num small muted" }, text.intervalShare(group[0].share))), contextList(group, { max, label: name }));
  }));
}

/** A histogram as bars of equal width: the file has their places and heights, not their edges. */
function bars(title, values, heights) {
  const count = Math.min(values.length, heights.length);
  if (!count) return null;
  const top = Math.max(...heights.map((height) => height ?? 0)) || 1;
  return h("section", { class: "panel" }, h("h2", {}, title),
    h("div", { class: "foreign-bars", role: "img", "aria-label": text.histogram(values[0], values[count - 1], count) },
      heights.slice(0, count).map((height, i) => h("i", { title: text.bar(values[i], height), style: { "--height": `${((height ?? 0) / top) * 100}%` } }))),
    h("p", { class: "foreign-axis num small muted", "aria-hidden": "true" }, h("span", {}, formatValue(values[0])), h("span", {}, formatValue(values[count - 1]))));
}

function logitTable(title, tokens, logits, direction) {
  const strongest = Math.max(1e-9, ...logits.map((logit) => Math.abs(logit ?? 0)));
  const row = (token, i) => h("tr", {}, h("th", { scope: "row" }, tokenChip(token)),
    h("td", { class: "num bar", style: { "--length": `${(Math.abs(logits[i] ?? 0) / strongest) * 100}%` } }, formatSigned(logits[i] ?? NaN)));
  return h("table", { class: `bars is-${direction}` }, h("caption", {}, title), h("tbody", {}, tokens.map(row)));
}

function correlated(key, { correlated_features_indices: numbers, correlated_features_pearson: pearson }) {
  if (!numbers.length) return null;
  const row = (number, i) => h("li", {}, h("a", { class: "num", href: featurePath(key, number) }, text.feature(number)), " ", h("span", { class: "num small muted", title: text.correlation }, formatValue(pearson[i] ?? NaN)));
  return h("section", { class: "panel" }, h("h2", {}, text.correlated), h("ul", { class: "foreign-others" }, numbers.map(row)));
}

customElements.define("foreign-page", ForeignPage);
