/**
 * <agreement-board>: how far people agree, on all questions, and one of them taken apart by tag, by two people and over
 * time. `show(query)` fills it; question and period stand in the page's query, which its buttons change, so the page
 * calls `show` from its `onRoute`. It reads anew while others label.
 */

import { api, isAbort } from "../lib/api.js";
import { debounce, fill, h, refill, svg } from "../lib/dom.js";
import { formatInteger, formatPercent } from "../lib/format.js";
import { listen } from "../lib/live.js";
import { setQuery } from "../lib/router.js";
import { agreement as text } from "../pages/agreement-strings.js";
import { errorView, skeleton } from "./state-view.js";

const SETTLE_MS = 1_000;
const LOW = -0.2; // where the scale of α begins; below it everything is worse than chance by far
const SCALE = { width: 120, height: 14 };
const FILTERS = ["question", "period", "source", "campaign", "tag", "since", "until"];

class AgreementBoard extends HTMLElement {
  #query = new URLSearchParams();
  #left = new AbortController();
  #again = debounce(() => this.#load(), SETTLE_MS);

  connectedCallback() {
    this.#left = new AbortController();
    listen((message) => message.kind !== "presence" && this.#again(), { signal: this.#left.signal });
  }

  disconnectedCallback() {
    this.#left.abort();
    this.#again.cancel();
  }

  /** @param {URLSearchParams} query - of the page */
  show(query) {
    this.#query = query;
    if (!this.firstChild) fill(this, skeleton(6));
    return this.#load();
  }

  async #load() {
    const query = this.#query;
    const params = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]));
    try {
      const report = await api.agreement(params, { signal: this.#left.signal });
      if (query === this.#query) this.#render(report);
    } catch (error) {
      if (isAbort(error) || query !== this.#query) return;
      const away = error.status === 0 || error.status === 503; // the banner says so, and what is known stays
      if (!away || !this.querySelector("table")) fill(this, errorView(error, () => this.#load()));
    }
  }

  #render(report) {
    const { question } = report;
    const period = this.#query.get("period") ?? "week";
    const total = report.questions.find((each) => each.question === question).total;
    refill(this,
      table(text.questions, report.questions.map((each) => [
        pressed(each.question, question, text.names[each.question], { question: each.question }), each.total, text.hints[each.question],
      ])),
      h("h2", {}, text.names[question]),
      total.units === 0 ? h("p", { class: "muted" }, text.nothing(total.single)) : [
        part(text.byPair, report.by_pair.map((each) => [h("bdi", {}, each.pair.map(({ name }) => name).join(text.and)), each])),
        part(text.byTag, report.by_tag.map((each) => [h("bdi", {}, each.tag), each])),
        h("div", { class: "chips", role: "group", "aria-label": text.byTime }, Object.entries(text.periods).map(([name, words]) => pressed(name, period, words, { period: name }))),
        part(text.byTime, report.by_time.map((each) => [text.from(each.begins), each])),
      ],
      h("p", { class: "muted small note" }, text.note));
  }
}

/** A button that changes the page's query, pressed where that is what stands there. */
function pressed(name, chosen, words, patch) {
  return h("button", { type: "button", class: "chip", dataset: { key: name }, "aria-pressed": String(name === chosen), onclick: () => setQuery(patch, { replace: false }) }, words);
}

function part(title, rows) {
  return rows.length > 0 && table(title, rows);
}

/** rows: [what, figures, title?] */
function table(title, rows) {
  const { columns } = text;
  const row = ([what, found, hint]) => h("tr", { title: hint },
    h("th", { scope: "row" }, what),
    h("td", { class: "num" }, alpha(found)),
    h("td", { class: "agreement-scale" }, scale(found)),
    h("td", { class: "num" }, formatPercent(found.raw)),
    h("td", { class: "num" }, formatInteger(found.units)),
    h("td", { class: "num" }, formatInteger(found.people)),
    h("td", { class: "num" }, formatInteger(found.opinions)),
    h("td", { class: "num" }, found.units ? formatPercent(found.missing) : "–"),
    h("td", { class: "num" }, formatInteger(found.single)));
  return h("div", { class: "panel agreement-table", tabindex: "0", role: "region", "aria-label": title },
    h("table", {},
      h("caption", {}, title),
      h("thead", {}, h("tr", {}, Object.entries(columns).map(([name, words]) => (words ? h("th", { scope: "col", title: text.columnHints[name] ?? null }, words) : h("td", {}))))),
      h("tbody", {}, rows.map(row))));
}

/** "0.62 (0.41 to 0.79)" */
function alpha({ alpha: value, interval }) {
  if (value === null) return h("span", { title: text.undefined }, "–");
  const number = (x) => x.toFixed(2).replace("-", "−");
  return [number(value), interval && h("span", { class: "muted" }, ` (${text.interval(...interval.map(number))})`)];
}

/** α on a line from LOW to 1, with its interval and a mark at 0. The numbers stand beside it. */
function scale({ alpha: value, interval }) {
  const { width, height } = SCALE;
  if (value === null) return null;
  const at = (x) => (((Math.max(x, LOW) - LOW) / (1 - LOW)) * (width - 4) + 2).toFixed(1);
  const middle = height / 2;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
    svg("path", { class: "axis", d: `M2 ${middle}H${width - 2}M${at(0)} 2V${height - 2}` }),
    interval && svg("path", { class: "interval", d: `M${at(interval[0])} ${middle}H${at(interval[1])}` }),
    svg("circle", { cx: at(value), cy: middle, r: 3.5 }));
}

customElements.define("agreement-board", AgreementBoard);
