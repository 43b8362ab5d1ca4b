/** Curves of one or more training runs over their steps. */

import { h } from "../lib/dom.js";
import { evidence as text } from "../pages/evidence-strings.js";
import "./evidence-figure.js";

const FIRST = ["loss", "utility", "fvu", "dead", "valid loss"]; // that are shown before anybody chooses
const SYMBOLS = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

/** @param {any[]} runs as the server has them @param {string[]} chosen names of curves @param {(curves: string[]) => string} pathOf */
export function runsView(runs, chosen, pathOf) {
  const names = [...new Set(runs.flatMap((run) => run.curves.map(({ name }) => name)))];
  const first = names.filter((name) => FIRST.includes(name));
  const shown = chosen.length ? names.filter((name) => chosen.includes(name)) : first.length ? first : names.slice(0, 3);
  const toggled = (name) => (shown.includes(name) ? shown.filter((each) => each !== name) : [...shown, name]);
  return h("section", { class: "evidence-runs", "aria-label": text.runs }, h("h2", {}, text.curvesOf(runs.map(({ name }) => name))),
    h("nav", { class: "evidence-sections", "aria-label": text.curves }, names.map((name) => h("a", { href: pathOf(toggled(name)), "aria-current": shown.includes(name) ? "true" : null, "data-key": `curve-${name}` }, name))),
    shown.map((name) => Object.assign(h("mfn-evidence-figure", {}), { figure: figureOf(runs, name) })),
    runs.map((run) => h("details", {}, h("summary", {}, text.configOf(run.name)), h("pre", { class: "evidence-config", tabindex: 0 }, JSON.stringify(run.config, null, 2)))));
}

/** Runs differ by dash as well as by colour; layers by their names. */
function figureOf(runs, name) {
  const data = runs.flatMap((run, place) => (run.curves.find((curve) => curve.name === name)?.series ?? []).map((series) => ({
    type: "scatter", mode: series.steps.length < 30 ? "lines+markers" : "lines", name: [runs.length > 1 && run.name, series.name && text.layer(series.name)].filter(Boolean).join(", ") || run.name,
    x: series.steps, y: series.values, line: { width: 1.75, dash: SYMBOLS[place % SYMBOLS.length] }, marker: { size: 5 },
  })));
  return { title: name, caption: text.overSteps(name), figure: { data, layout: { xaxis: { title: { text: text.step } }, yaxis: { title: { text: name } }, showlegend: data.length > 1 } } };
}
