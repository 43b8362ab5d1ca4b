/**
 * <mfn-effect-plot>: set `.sweep` (an answer of /api/effect/sweep) for chances and KL over strengths, or `.spot` (of
 * /api/effect/sweet-spot) for concept against perplexity. Drawn with Plotly's SVG traces; the same numbers stand in a table
 * beside it.
 */

import { fill, h } from "../lib/dom.js";
import { formatValue, visible } from "../lib/format.js";
import { loadPlotly, plotStyle } from "../lib/plotly.js";
import { onThemeChange, themeColor } from "../lib/theme.js";
import { effect as text } from "../pages/effect-strings.js";

const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

class EffectPlot extends HTMLElement {
  /** @type {AbortController} */ controller;
  /** @type {((style: any) => {traces: any[], layout: any})|null} */ #figure = null;
  #label = "";

  connectedCallback() {
    const { signal } = (this.controller = new AbortController());
    this.plot = h("div", { class: "plot", role: "img", "aria-label": this.#label });
    this.append(this.plot);
    onThemeChange(() => this.#draw(), { signal });
    this.#draw();
  }

  disconnectedCallback() {
    this.controller.abort();
    globalThis.Plotly?.purge(this.plot);
    this.replaceChildren();
  }

  set sweep(found) {
    const names = found.tokens.map((token) => visible(token.text));
    const doses = found.points.map(({ dose }) => dose);
    this.#label = text.plotLabel(names, doses[0], doses.at(-1));
    this.#figure = (style) => sweepFigure(found, names, doses, style);
    this.#draw();
  }

  set spot(found) {
    this.#label = text.axisConcept;
    this.#figure = (style) => spotFigure(found, style);
    this.#draw();
  }

  async #draw() {
    if (!this.#figure || !this.plot) return;
    try {
      const { newPlot, react } = await loadPlotly();
      if (!this.isConnected) return;
      const { traces, layout } = this.#figure(plotStyle(this));
      const draw = this.plot.dataset.drawn ? react : newPlot;
      this.plot.dataset.drawn = "true";
      await draw(this.plot, traces, layout, { displayModeBar: false, responsive: true });
    } catch {
      if (this.isConnected) fill(this.plot, h("p", { class: "muted small" }, text.plotFailed));
    }
  }
}

/** Two panels over the same strengths: chances of the tokens, and KL. Tokens differ by dash as well as by shade. */
function sweepFigure(found, names, doses, { axis, layout }) {
  const [heat, accent, muted] = ["--heat-line", "--accent", "--muted"].map(themeColor);
  const chance = found.tokens.map((_, place) => ({
    type: "scatter",
    mode: "lines+markers",
    name: names[place] || "␣",
    x: doses,
    y: found.points.map(({ logprobs }) => 100 * Math.exp(logprobs[place])),
    line: { width: place === 0 ? 2.5 : 1.5, dash: DASHES[place % DASHES.length], color: place === 0 ? heat : place % 2 ? accent : muted },
    marker: { size: 4 },
    hovertemplate: "%{y:.3g}%<extra>%{fullData.name}</extra>",
  }));
  const kl = {
    type: "scatter", mode: "lines+markers", name: text.change, x: doses, y: found.points.map((point) => point.kl), yaxis: "y2", showlegend: false,
    line: { width: 2, color: heat }, marker: { size: 4 }, hovertemplate: `%{y:.3g}<extra>${text.change}</extra>`,
  };
  const small = { size: 11 };
  return {
    traces: [...chance, kl],
    layout: {
      ...layout,
      height: 320,
      margin: { l: 46, r: 8, t: 8, b: 40 },
      hovermode: "x unified",
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: small },
      xaxis: { ...axis, anchor: "y2", title: { text: text.dose(found.swept), font: small, standoff: 6 } },
      yaxis: { ...axis, domain: [0.42, 1], ticksuffix: "%", rangemode: "tozero", nticks: 5, title: { text: text.chance, font: small } },
      yaxis2: { ...axis, domain: [0, 0.32], rangemode: "tozero", nticks: 4, title: { text: text.change, font: small } },
    },
  };
}

/** Concept against perplexity: what was tried, the frontier, the cost that is allowed. */
function spotFigure(found, { axis, layout }) {
  const [heat, accent, muted, surface] = ["--heat-line", "--accent", "--muted", "--surface"].map(themeColor);
  const points = (trials) => ({ x: trials.map(({ ratio }) => ratio), y: trials.map(({ concept }) => 100 * concept), text: trials.map(({ dose }) => formatValue(dose)) });
  const drawn = found.trials.filter(({ ratio }) => ratio !== null);
  const hover = `${text.trial.dose} %{text}<br>%{x:.2f}×, %{y:.0f}%<extra></extra>`;
  const traces = [
    { type: "scatter", mode: "lines", name: text.frontier, ...points(found.frontier), line: { shape: "hv", width: 1.5, color: heat }, hoverinfo: "skip" },
    { type: "scatter", mode: "markers", name: text.within, ...points(drawn.filter(({ affordable }) => affordable)), marker: { size: 8, color: accent }, hovertemplate: hover },
    { type: "scatter", mode: "markers", name: text.over, ...points(drawn.filter(({ affordable }) => !affordable)), marker: { size: 8, symbol: "x-thin", line: { width: 1.5, color: muted } }, hovertemplate: hover },
  ];
  if (found.best) {
    traces.push({ type: "scatter", mode: "markers", name: text.bestMark, ...points([found.best]), marker: { size: 13, symbol: "star", color: heat, line: { width: 1, color: surface } }, hovertemplate: hover });
  }
  const small = { size: 11 };
  return {
    traces,
    layout: {
      ...layout,
      height: 260,
      margin: { l: 46, r: 8, t: 8, b: 40 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: small },
      xaxis: { ...axis, type: "log", ticksuffix: "×", nticks: 6, title: { text: text.axisRatio, font: small, standoff: 6 } },
      yaxis: { ...axis, range: [-4, 104], ticksuffix: "%", nticks: 5, title: { text: text.axisConcept, font: small } },
    },
  };
}

customElements.define("mfn-effect-plot", EffectPlot);
