/**
 * <activation-histogram>: `show({ edges, counts })` draws a feature's activations as bars over a logarithmic axis, beside a
 * table of the same numbers; `mark(value)` shows where a value lies among them. Drawn here, not with Plotly: on the first
 * screen of a page that library's start alone would be its longest task.
 */

import { fill, h, svg } from "../lib/dom.js";
import { formatCompact, formatInteger, formatValue } from "../lib/format.js";
import { feature as strings } from "../pages/feature-strings.js";

const UNIT = 1000; // of the drawing, in either direction; it is stretched to the room that there is
/** @typedef {{ edges: number[], counts: number[] }} Histogram one edge more than counts; edges above 0 and rising */
const FEW = 3; // ticks of whole decades, below which there are ticks in between

class ActivationHistogram extends HTMLElement {
  /** @type {Histogram} */ #histogram = { edges: [], counts: [] };
  /** @type {AbortController} */ controller;

  connectedCallback() {
    const { signal } = (this.controller = new AbortController());
    this.bars = svg("svg", { class: "histogram-bars", viewBox: `0 0 ${UNIT} ${UNIT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.ticks = h("div", {});
    this.tried = h("div", { class: "histogram-tried", hidden: true }, h("span", {}, strings.histogram.tried));
    this.tip = h("div", { class: "histogram-tip num", hidden: true });
    this.area = h("div", { class: "histogram-area" }, this.ticks, this.bars, this.tried, this.tip);
    this.plot = h("div", { class: "plot histogram", role: "img" }, this.area, h("div", { class: "histogram-axis" }, strings.histogram.axis));
    this.table = h("details", { class: "plot-table" });
    this.table.addEventListener("toggle", () => this.table.open && this.#fillTable(), { signal });
    this.area.addEventListener("pointermove", (event) => this.#point(event), { signal });
    this.area.addEventListener("pointerleave", () => this.#leave(), { signal });
    this.append(this.plot, this.table);
  }

  disconnectedCallback() {
    this.controller.abort();
    this.replaceChildren();
  }

  show(histogram) {
    this.#histogram = trim(histogram);
    this.mark(null);
    this.#leave();
    const { edges, counts } = this.#histogram;
    const total = counts.reduce((a, b) => a + b, 0);
    this.plot.setAttribute("aria-label", strings.histogram.summary(total, edges[0], edges.at(-1)));
    fill(this.table, h("summary", {}, strings.histogram.table));
    if (this.table.open) this.#fillTable();
    const most = Math.max(1, ...counts);
    fill(this.bars, counts.map((count, i) => this.#bar(edges[i], edges[i + 1], count / most)));
    const across = ticksAcross(edges).map((value) => h("span", { class: "histogram-x", style: { left: percent(this.#place(value)) } }, formatValue(value)));
    const up = ticksUp(most).map((value) => h("div", { class: "histogram-y", style: { bottom: percent(value / most) } }, h("span", {}, formatCompact(value))));
    fill(this.ticks, across, up);
  }

  /** `tried`: the strongest activation in the reader's own text; null or 0 for none. */
  mark(tried) {
    this.tried.hidden = !(tried > 0 && this.#histogram.counts.length);
    if (this.tried.hidden) return;
    const place = Math.min(1, Math.max(0, this.#place(tried)));
    this.tried.style.left = percent(place);
    this.tried.classList.toggle("is-late", place > 0.8); // its words stand before it
  }

  /** From 0 to 1: where a value lies along the axis. */
  #place(value) {
    const { edges } = this.#histogram;
    const [low, high] = [Math.log(edges[0]), Math.log(edges[edges.length - 1])];
    return (Math.log(value) - low) / (high - low);
  }

  #bar(from, to, share) {
    const [left, right] = [this.#place(from) * UNIT, this.#place(to) * UNIT];
    return svg("rect", { x: left, width: right - left, y: (1 - share) * UNIT, height: share * UNIT });
  }

  /** The numbers of the bar under the pointer. */
  #point(event) {
    const { edges, counts } = this.#histogram;
    const box = this.area.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width;
    const bin = edges.slice(1).findIndex((edge) => at < this.#place(edge));
    if (at < 0 || bin < 0) return this.#leave();
    this.tip.hidden = false;
    this.tip.textContent = strings.histogram.bin(formatValue(edges[bin]), formatValue(edges[bin + 1]), formatInteger(counts[bin]));
    this.tip.classList.toggle("is-late", at > 0.5);
    for (const [i, bar] of [...this.bars.children].entries()) bar.classList.toggle("is-pointed", i === bin);
  }

  #leave() {
    this.tip.hidden = true;
    this.bars.querySelector(".is-pointed")?.classList.remove("is-pointed");
  }

  #fillTable() {
    const { edges, counts } = this.#histogram;
    const text = strings.histogram;
    const rows = counts.map((count, i) => h("tr", {}, [formatValue(edges[i]), formatValue(edges[i + 1]), formatInteger(count)].map((cell) => h("td", { class: "num" }, cell))));
    const head = h("thead", {}, h("tr", {}, [text.from, text.to, text.count].map((name) => h("th", { scope: "col" }, name))));
    fill(this.table, h("summary", {}, text.table), h("div", { class: "plot-rows", tabindex: 0, role: "region", "aria-label": text.table }, h("table", {}, head, h("tbody", {}, rows))));
  }
}

const percent = (share) => `${(100 * share).toFixed(3)}%`;

/** Without the empty bins at both ends. */
function trim({ edges, counts }) {
  const first = counts.findIndex((count) => count > 0);
  if (first < 0) return { edges: edges.slice(0, 2), counts: counts.slice(0, 1) };
  const last = counts.findLastIndex((count) => count > 0);
  return { edges: edges.slice(first, last + 2), counts: counts.slice(first, last + 1) };
}

/** Powers of ten among the edges; where there are few, twice and five times these, too; where these are few, some edges. */
function ticksAcross(edges) {
  const [low, high] = [edges[0], edges[edges.length - 1]];
  const between = (multiples) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const multiple of multiples) found.push(Number(`${multiple}e${power}`));
    }
    return found.filter((value) => value >= low && value <= high);
  };
  const decades = between([1]);
  if (decades.length >= FEW) return decades;
  const more = between([1, 2, 5]);
  const step = Math.ceil((edges.length - 1) / FEW);
  return more.length > 1 ? more : edges.filter((_, i) => i % step === 0);
}

/** Two to four round numbers above 0, up to `most`. */
function ticksUp(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [0.2, 0.5, 1, 2, 5].map((multiple) => multiple * power).find((size) => size >= 1 && most / size < 5) ?? power;
  const found = [];
  for (let value = step; value <= most; value += step) found.push(value);
  return found;
}

customElements.define("activation-histogram", ActivationHistogram);
