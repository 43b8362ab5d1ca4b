/**
 * <mfn-evidence-figure>: `.figure = { title, caption, figure }` draws a figure of an evidence document in the colours of the
 * theme, with its caption, and its numbers as a table for whoever does not see it.
 */

import { fill, h } from "../lib/dom.js";
import { figureNumbers } from "../lib/figure-numbers.js";
import { loadPlotly, plotStyle } from "../lib/plotly.js";
import { currentTheme, onThemeChange, themeColor } from "../lib/theme.js";
import { evidence as text } from "../pages/evidence-strings.js";
import { evidenceTable } from "./evidence-table.js";

/** Each with 3:1 and more against the ground, and told apart without red and green; as in reports. @type {Record<string, string[]>} */
const SERIES = {
  light: ["#3455c4", "#b4530f", "#1b7a45", "#8f3f9c", "#0f7484", "#8a6500", "#b3261e", "#5b5f66"],
  dark: ["#93abff", "#f0a15e", "#74d39c", "#d79be0", "#6cc9d8", "#d9c25a", "#ff9a8f", "#a4a9b1"],
};
const coloured = { autocolorscale: true };
const TEMPLATE = { data: { heatmap: [coloured], contour: [coloured], histogram2d: [coloured], scatter: [{ marker: coloured }], bar: [{ marker: coloured }] } };

class EvidenceFigure extends HTMLElement {
  /** @type {AbortController} */ controller;
  /** @type {any} */ #given = null;

  set figure(given) {
    this.#given = given;
    if (this.isConnected) this.#render();
  }

  connectedCallback() {
    this.controller = new AbortController();
    this.classList.add("panel", "evidence-figure");
    onThemeChange(() => this.#draw(), { signal: this.controller.signal });
    this.#render();
  }

  disconnectedCallback() {
    this.controller.abort();
    globalThis.Plotly?.purge(this.plot);
    this.replaceChildren();
  }

  #render() {
    if (!this.#given) return;
    const { title, caption, figure } = this.#given;
    this.plot = h("div", { class: "plot evidence-plot", role: "img", "aria-label": `${title}. ${caption}` });
    const numbers = h("details", {}, h("summary", {}, text.numbers));
    numbers.addEventListener("toggle", () => {
      if (numbers.open && numbers.childElementCount === 1) numbers.append(evidenceTable(figureNumbers(figure)));
    });
    fill(this, h("h3", {}, title), this.plot, h("p", { class: "muted small" }, caption), numbers);
    this.#draw();
  }

  async #draw() {
    const { plot } = this;
    try {
      const { newPlot } = await loadPlotly();
      if (!this.isConnected || plot !== this.plot) return;
      // Plotly writes into what it is given
      const { data = [], layout = {}, frames = [] } = structuredClone(this.#given.figure);
      if (layout.height) plot.style.height = `${layout.height}px`;
      // cells without gaps are an image that plotly.js 4.1 gives a style which the content security policy refuses
      for (const trace of data) if (trace.type === "heatmap" && !trace.xgap && !trace.ygap) Object.assign(trace, { xgap: 0.1, ygap: 0.1 });
      await newPlot(plot, { data, layout: styled(layout, plotStyle(this)), frames, config: { displayModeBar: false, responsive: true } });
      plot.dataset.drawn = currentTheme();
    } catch {
      if (this.isConnected) fill(plot, h("p", { class: "muted small" }, text.plotFailed));
    }
  }
}

function styled({ images: _, ...given }, style) {
  const series = SERIES[currentTheme()];
  const [surface, line] = ["--surface", "--line"].map(themeColor);
  const axis = { ...style.axis, fixedrange: false, zeroline: true, zerolinecolor: line, automargin: true };
  const layout = {
    hovermode: "closest",
    dragmode: false,
    ...given,
    ...style.layout,
    margin: { l: 50, r: 12, t: 16, b: 48, ...given.margin },
    legend: { orientation: "h", y: -0.22, ...given.legend },
    colorway: series,
    template: TEMPLATE,
    colorscale: { sequential: [[0, surface], [1, series[0]]], diverging: [[0, series[1]], [0.5, surface], [1, series[0]]] },
  };
  for (const key of new Set(["xaxis", "yaxis", ...Object.keys(given).filter((name) => /^[xy]axis\d*$/.test(name))])) layout[key] = { ...axis, ...given[key] };
  return layout;
}

customElements.define("mfn-evidence-figure", EvidenceFigure);
