/** The bar of filters above the list: search, layer, status, context features, firing rate, sort. It shows a query and reports changes. */

import { debounce, fill, h } from "../lib/dom.js";
import { setting } from "../lib/settings.js";
import { browse as text } from "./browse-strings.js";

const LAYERS_WITHIN_MS = 500;
const SEARCH_MS = 220;
const STATUSES = ["alive", "labelled", "unlabelled", "ultra_rare", "dead", "all"];

/** Features that fire by context: token R² under 0.3, known well enough. */
const CONTEXT = { max_token_r2: "0.3", min_half_firings: "200" };
const NO_CONTEXT = { max_token_r2: null, min_half_firings: null };

const ASCENDING = new Set(["index", "label", "token_r2"]);

/** What the link that resets the filters takes away. */
const NARROWING = ["q", "layer", "status", "min_rate", "max_rate", "min_max", "max_max", "min_token_r2", "max_token_r2", "min_half_firings", "token", "author", "collection"];

/** Those behind "More filters". */
const MORE = ["min_max", "max_max", "token", "author"];

const isContext = (query) => Object.entries(CONTEXT).every(([key, value]) => query[key] === value);

/** The order a sort key has when the URL names none: as the API does it. */
export const defaultOrder = (sort) => (ASCENDING.has(sort) ? "asc" : "desc");

/** What the reader has chosen, or what says most: what fires most often says least to somebody who has just come. */
function defaultSort(filters) {
  if (filters.q) return "relevance";
  if (setting("sort") !== "auto") return setting("sort");
  return "telling";
}

/** The sort and order that a query means. */
export function sortOf(filters) {
  const sort = filters.sort ?? defaultSort(filters);
  return { sort, order: filters.order ?? defaultOrder(sort) };
}

/** The query parameters for a sort and order; null where the default says the same. */
export function sortQuery(filters, sort, order) {
  return { sort: sort === defaultSort(filters) ? null : sort, order: order === defaultOrder(sort) ? null : order };
}

/**
 * change(patch, options) is called with the query parameters to set (null removes one); typing replaces the history
 * entry, a click makes one. The result has `element`, the `search` field, `show(query)`, `setSources` and `setTotal`.
 */
export function filterBar(change, signal) {
  const step = (patch) => change(patch, { replace: false });

  const search = h("input", { type: "search", "aria-label": text.search, placeholder: text.searchPlaceholder, dataset: { search: "" }, autocomplete: "off", spellcheck: "false", enterkeyhint: "search", maxlength: 200 });
  const typed = debounce(() => change({ q: search.value.trim() }, { replace: true }), SEARCH_MS);
  search.addEventListener("input", typed);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") typed.flush();
    if (event.key === "Escape") search.blur();
  });
  signal.addEventListener("abort", () => typed.cancel());

  const chip = (label, attributes, press) => h("button", { type: "button", class: "chip", "aria-pressed": "false", ...attributes, onclick: press }, label);
  const layers = h("div", { class: "chips", role: "group", "aria-label": text.layer });
  const setLayers = (numbers) =>
    fill(layers, chip(text.allLayers, { dataset: { value: "" } }, () => step({ layer: null })), numbers.map((n) => chip(String(n), { dataset: { value: n } }, () => step({ layer: n }))));
  const statuses = h(
    "div",
    { class: "chips", role: "group", "aria-label": text.status },
    STATUSES.map((status) => chip(text.statuses[status], { dataset: { value: status }, title: text.statusTitles[status] ?? null }, () => step({ status: status === "alive" ? null : status }))),
  );
  setLayers([]);
  const context = chip(text.context, { title: text.contextTitle }, () => step(isContext(shown) ? NO_CONTEXT : CONTEXT));

  const meaning = chip(text.meaning, { title: text.meaningTitle }, () => step({ by: shown.by === "meaning" ? null : "meaning" }));

  const rate = rateRange(step);
  const more = moreFilters(step);
  const sort = h(
    "select",
    { "aria-label": text.sort, title: text.sortTitle, onchange: () => {
      const [key, order] = sort.value.split(" ");
      step(sortQuery(shown, key, order));
    } },
    Object.entries(text.sorts).map(([value, label]) => h("option", { value }, label)),
  );
  const other = h("option", { value: "other", hidden: true }, "");
  sort.append(other);

  const total = h("span", { class: "num total" });
  const position = h("span", { class: "num position", "aria-hidden": "true" });
  const reset = h("a", { class: "reset", href: "/browse" }, text.reset);
  // On a phone, everything but the search field is behind a button: there the list needs the room.
  const toggle = h("button", { type: "button", class: "filters-toggle", "aria-expanded": "false", onclick: () => {
    const open = toggle.getAttribute("aria-expanded") !== "true";
    toggle.setAttribute("aria-expanded", String(open));
    element.classList.toggle("is-open", open);
  } }, text.filters(0));
  const element = h(
    "form",
    { class: "filters is-coming", role: "search", onsubmit: (event) => event.preventDefault() },
    search,
    toggle,
    h("div", { class: "filter" }, meaning),
    h("div", { class: "filter" }, h("span", { class: "filter-name", "aria-hidden": "true" }, text.layer), layers),
    h("div", { class: "filter" }, h("span", { class: "filter-name", "aria-hidden": "true" }, text.status), statuses),
    h("div", { class: "filter" }, context),
    h("div", { class: "filter" }, h("span", { class: "filter-name", "aria-hidden": "true" }, text.rate), rate.element),
    more.element,
    h("div", { class: "filter filter-sort" }, h("span", { class: "filter-name", "aria-hidden": "true" }, text.sort), sort),
    h("div", { class: "filter filter-total" }, position, total, reset),
  );

  const reveal = () => element.classList.remove("is-coming");
  setTimeout(reveal, LAYERS_WITHIN_MS); // a model that is still being loaded has layers to show later

  /** @type {Record<string, any>} */ let shown = {};
  const press = (group, value) => {
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.value === value));
  };
  const show = (query) => {
    shown = query;
    if (document.activeElement !== search) search.value = query.q ?? "";
    press(layers, query.layer ?? "");
    press(statuses, query.status ?? "alive");
    context.setAttribute("aria-pressed", String(isContext(query)));
    meaning.setAttribute("aria-pressed", String(query.by === "meaning"));
    rate.show(query);
    more.show(query);
    const value = `${query.sort} ${query.order}`;
    sort.value = value in text.sorts ? value : "other";
    sort.querySelector('[value="relevance desc"]').hidden = !query.q;
    const narrowing = NARROWING.filter((key) => query[key]);
    reset.hidden = narrowing.length === 0;
    toggle.textContent = text.filters(narrowing.filter((key) => key !== "q").length);
  };

  return {
    element,
    search,
    show,
    setSources(sources) {
      reveal();
      setLayers([...new Set(sources.map((source) => source.layer))].sort((a, b) => a - b));
      show(shown);
    },
    /** How many there are, null while that is not known; and which of them are in sight, if any. */
    setTotal(/** @type {number|null} */ count, /** @type {[number, number]|null} */ span = null) {
      total.textContent = count === null ? "" : text.total(count);
      position.textContent = span ? text.position(...span) : "";
    },
  };
}

/** What is asked for less often: the strongest firing, a token it fires on, who named it. Open as long as one is set. */
function moreFilters(step) {
  const numbers = ["min_max", "max_max"];
  const fields = Object.fromEntries(
    MORE.map((name) => {
      const number = numbers.includes(name);
      const attributes = number ? { class: "rate-field num", inputmode: "decimal", placeholder: name === "min_max" ? text.min : text.max } : { class: "text-field", maxlength: 100, spellcheck: "false" };
      return [name, h("input", { type: "text", autocomplete: "off", "aria-label": text.fields[name], ...attributes })];
    }),
  );
  const read = (name) => {
    const value = fields[name].value.trim();
    if (!numbers.includes(name) || value === "") return value || null;
    const number = Number(value.replace(",", "."));
    return number >= 0 && Number.isFinite(number) ? number : Number.NaN;
  };
  const apply = () => {
    const values = Object.fromEntries(MORE.map((name) => [name, read(name)]));
    const wrong = numbers.some((name) => Number.isNaN(values[name])) || (values.min_max !== null && values.max_max !== null && values.min_max > values.max_max);
    for (const name of numbers) {
      fields[name].setCustomValidity(wrong ? text.badMax : "");
      fields[name].setAttribute("aria-invalid", String(wrong));
    }
    if (wrong) fields.min_max.reportValidity();
    else step(values);
  };
  for (const input of Object.values(fields)) input.addEventListener("change", apply);
  const named = (label, ...inputs) => h("div", { class: "filter" }, h("span", { class: "filter-name", "aria-hidden": "true" }, label), inputs);
  const dash = h("span", { class: "muted", "aria-hidden": "true" }, "–");
  const element = h(
    "details",
    { class: "more-filters" },
    h("summary", null, text.more),
    h("div", { class: "more-fields" }, named(text.maximum, h("div", { class: "rate-range" }, fields.min_max, dash, fields.max_max)), named(text.token, fields.token), named(text.author, fields.author)),
  );
  return {
    element,
    show(query) {
      for (const name of MORE) if (document.activeElement !== fields[name]) fields[name].value = query[name] ?? "";
      if (MORE.some((name) => query[name])) element.open = true;
    },
  };
}

/** Two fields in per cent; the query speaks in shares of one. */
function rateRange(step) {
  const field = (name, label, placeholder) =>
    h("input", { type: "text", inputmode: "decimal", class: "rate-field num", "aria-label": label, placeholder, autocomplete: "off", dataset: { name } });
  const low = field("min_rate", text.minRate, text.min);
  const high = field("max_rate", text.maxRate, text.max);
  const read = (input) => {
    const value = input.value.trim().replace(",", ".").replace(/\s*%$/, "");
    if (value === "") return null;
    const share = Number(value) / 100;
    return share >= 0 && share <= 1 ? Number(share.toPrecision(6)) : Number.NaN;
  };
  const apply = () => {
    const [min, max] = [read(low), read(high)];
    const wrong = Number.isNaN(min) || Number.isNaN(max) || (min !== null && max !== null && min > max);
    for (const input of [low, high]) {
      input.setCustomValidity(wrong ? text.badRate : "");
      input.setAttribute("aria-invalid", String(wrong));
    }
    if (wrong) low.reportValidity();
    else step({ min_rate: min, max_rate: max });
  };
  for (const input of [low, high]) input.addEventListener("change", apply);
  const percent = (share) => (share === undefined ? "" : String(Number((Number(share) * 100).toPrecision(6))));
  return {
    element: h("div", { class: "rate-range" }, low, h("span", { class: "muted", "aria-hidden": "true" }, "–"), high, h("span", { class: "muted", "aria-hidden": "true" }, "%")),
    show(query) {
      if (document.activeElement !== low) low.value = percent(query.min_rate);
      if (document.activeElement !== high) high.value = percent(query.max_rate);
    },
  };
}
