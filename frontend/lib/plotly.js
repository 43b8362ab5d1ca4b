/**
 * plotly.js, fetched when it is first needed. SVG traces only: the WebGL ones need eval, which the content security policy
 * refuses.
 */

import { h } from "./dom.js";
import { themeColor } from "./theme.js";

const SOURCE = "/vendor/plotly.min.js";
/** Where an element of this id exists, plotly.js 4.1 does not insert its map styles, which the policy would refuse with an error. */
const MAP_STYLES_ID = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";
/** @type {Promise<any>|null} */ let plotly = null;

/** The library, loaded once. */
export function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = h("script", { src: SOURCE, async: true });
    script.addEventListener("load", () => resolve(globalThis.Plotly));
    script.addEventListener("error", () => {
      script.remove();
      plotly = null;
      reject(new Error(SOURCE));
    });
    document.head.append(h("meta", { id: MAP_STYLES_ID }), script);
  });
  return plotly;
}

/** What all plots have in common, in the colours of the theme on screen. */
export function plotStyle(element) {
  const [text, muted, line] = ["--text", "--muted", "--line"].map(themeColor);
  return {
    axis: { color: muted, gridcolor: line, zeroline: false, fixedrange: true, tickfont: { size: 11 }, ticks: "outside", ticklen: 4, tickcolor: "rgba(0,0,0,0)" },
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(element).fontFamily, size: 11, color: text },
      hoverlabel: { bgcolor: themeColor("--surface"), font: { color: text } },
    },
  };
}
