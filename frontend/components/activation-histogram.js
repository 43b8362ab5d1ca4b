/**
 * <activation-histogram>: `show({ edges, counts })` draws a feature's activations with Plotly, beside a table of the same
 * numbers; `mark(value)` shows where a value lies among them. Plotly is fetched when the plot first comes into view.
 */

import { fill, h } from "../lib/dom.js";
import { formatInteger, formatValue } from "../lib/format.js";
import { loadPlotly, plotStyle } from "../lib/plotly.js";
import { onThemeChange, themeColor } from "../lib/theme.js";
import { feature as strings } from "../pages/feature-strings.js";

class ActivationHistogram extends HTMLElement {
  /** @type {AbortController} */ controller;
  /** @type {IntersectionObserver} */ observer;
  /** @type {any} */ #histogram = null;
  /** @type {number|null} */ #tried = null;
  #visible = false;
  #frame = 0;

  connectedCallback() {
    const { signal } = (this.controller = new AbortController());
    this.plot = h("div", { class: "plot", role: "img" });
    this.table = h("details", { class: "plot-table" });
    this.table.addEventListener("toggle", () => this.table.open && this.#fillTable(), { signal });
    this.append(this.plot, this.table);
    this.observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      this.observer.disconnect();
      this.#visible = true;
      this.#draw();
    });
    this.observer.observe(this.plot);
    onThemeChange(() => this.#draw(), { signal });
  }

  disconnectedCallback() {
    this.controller.abort();
    this.observer.disconnect();
    globalThis.Plotly?.purge(this.plot);
    this.replaceChildren();
  }

  show(histogram) {
    this.#histogram = trim(histogram);
    this.#tried = null;
    const { edges, counts } = this.#histogram;
    const total = counts.reduce((a, b) => a + b, 0);
    this.plot.setAttribute("aria-label", strings.histogram.summary(total, edges[0], edges.at(-1)));
    fill(this.table, h("summary", {}, strings.histogram.table));
    if (this.table.open) this.#fillTable();
    this.#draw();
  }

  /** `tried`: the strongest activation in the reader's own text; null or 0 for none. */
  mark(tried) {
    if ((tried || null) === (this.#tried || null)) return;
    this.#tried = tried;
    this.#draw();
  }

  /** Soon, and once: what can be read comes first, and drawing takes longer than all the rest of a page. */
  #draw() {
    this.#frame ||= requestAnimationFrame(() =>
      setTimeout(() => {
        this.#frame = 0;
        this.#paint();
      }),
    );
  }

  async #paint() {
    if (!this.#visible || !this.#histogram || !this.isConnected) return;
    try {
      const { newPlot, react } = await loadPlotly();
      if (!this.isConnected) return;
      const draw = this.plot.dataset.drawn ? react : newPlot;
      this.plot.dataset.drawn = "true";
      await draw(this.plot, [this.#trace()], this.#layout(), { displayModeBar: false, responsive: true });
    } catch {
      if (this.isConnected) fill(this.plot, h("p", { class: "muted small" }, strings.histogram.failed));
    }
  }

  /** A filled staircase: bars of equal width on a logarithmic axis. */
  #trace() {
    const { edges, counts } = this.#histogram;
    return {
      type: "scatter",
      mode: "lines",
      x: edges,
      y: [...counts, 0],
      line: { shape: "hv", width: 1, color: themeColor("--heat-line") },
      fill: "tozeroy",
      fillcolor: themeColor("--heat-fill"),
      hovertemplate: `%{x:.3g}<br>%{y:,} ${strings.histogram.count}<extra></extra>`,
    };
  }

  #layout() {
    const { axis, layout } = plotStyle(this);
    const muted = axis.color;
    const mark = this.#tried !== null && this.#tried > 0 ? [Math.log10(this.#tried)] : [];
    return {
      height: 170,
      margin: { l: 40, r: 8, t: 18, b: 40 },
      ...layout,
      showlegend: false,
      xaxis: { ...axis, type: "log", dtick: 1, minor: { dtick: "D1", ticks: "outside", ticklen: 3, tickcolor: muted }, tickcolor: muted, showgrid: false, title: { text: strings.histogram.axis, font: { size: 11 }, standoff: 6 } },
      yaxis: { ...axis, rangemode: "tozero", nticks: 4, tickformat: "~s" },
      shapes: mark.map((x) => ({ type: "line", x0: 10 ** x, x1: 10 ** x, y0: 0, y1: 1, yref: "paper", line: { color: themeColor("--accent"), width: 2, dash: "dot" } })),
      annotations: mark.map((x) => ({ x, y: 1, yref: "paper", yanchor: "bottom", text: strings.histogram.tried, showarrow: false, font: { color: themeColor("--accent"), size: 11 } })),
    };
  }

  #fillTable() {
    const { edges, counts } = this.#histogram;
    const text = strings.histogram;
    const rows = counts.map((count, i) => h("tr", {}, [formatValue(edges[i]), formatValue(edges[i + 1]), formatInteger(count)].map((cell) => h("td", { class: "num" }, cell))));
    const head = h("thead", {}, h("tr", {}, [text.from, text.to, text.count].map((name) => h("th", { scope: "col" }, name))));
    fill(this.table, h("summary", {}, text.table), h("div", { class: "plot-rows", tabindex: 0, role: "region", "aria-label": text.table }, h("table", {}, head, h("tbody", {}, rows))));
  }
}

/** Without the empty bins at both ends. */
function trim({ edges, counts }) {
  const first = counts.findIndex((count) => count > 0);
  if (first < 0) return { edges: edges.slice(0, 2), counts: counts.slice(0, 1) };
  const last = counts.findLastIndex((count) => count > 0);
  return { edges: edges.slice(first, last + 2), counts: counts.slice(first, last + 1) };
}

customElements.define("activation-histogram", ActivationHistogram);
