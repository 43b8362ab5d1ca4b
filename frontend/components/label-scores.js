/** What labels score: a line with the figures, which opens into all that is known of them; and how far two labels agree. */

import { h } from "../lib/dom.js";
import { formatInteger, formatR2 as figure } from "../lib/format.js";
import { scores as text } from "../pages/score-strings.js";

/** Labels (by their stream) whose figures are open: what is shown is made anew whenever something is said. */
const opened = new Set();

/** Scores by the label that they are of, out of what `GET …/scores` gives. */
export const scoresByLabel = (found) => new Map((found?.labels ?? []).map(({ label, scores }) => [label, scores]));

/** The figures of one label; null where nobody has scored it. */
export function labelScores(label, scores) {
  if (!scores?.length) return null;
  const told = scores.filter(({ value }) => value !== null);
  const line = told.length
    ? told.map((score) => h("span", { class: "score", title: `${text.means[score.scorer]} ${interval(score)}` }, text.line(text.names[score.scorer], figure(score.value))))
    : h("span", { class: "score" }, `${text.none}: ${scores[0].why}`);
  const details = h("details", { class: "label-scores small", open: opened.has(label), ontoggle: () => (details.open ? opened.add(label) : opened.delete(label)) },
    h("summary", { class: "muted", dataset: { key: `scores:${label}` } }, line),
    table(scores), h("p", { class: "muted" }, text.about));
  return details;
}

function table(scores) {
  const { columns } = text;
  const cell = (content, title = null) => h("td", { class: "num", title }, content);
  const row = (score) => h("tr", {},
    h("th", { scope: "row", title: text.means[score.scorer] }, text.names[score.scorer]),
    score.value === null ? h("td", { colspan: "5" }, score.why) : [cell(figure(score.value)), cell(interval(score)), cell(figure(score.chance)), cell(figure(score.shuffled)), cell(figure(score.random))],
    cell([formatInteger(score.n), score.unread > 0 && ` (${text.unread(score.unread)})`]),
    h("td", { title: text.text(score), dir: "auto" }, score.reader || text.carriedOut));
  return h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": text.columns.scorer },
    h("table", { class: "scores-table" },
      h("thead", {}, h("tr", {}, [columns.scorer, columns.value, columns.interval, columns.chance, columns.shuffled, columns.random, columns.n, columns.reader].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, scores.map(row))));
}

const interval = ({ low, high }) => (low === null || low === undefined ? "" : text.interval(figure(low), figure(high)));

/** How far every two labels of a feature expect it in the same snippets. `labels`: those that stand. */
export function labelAgreement(agreement, labels) {
  const words = new Map(labels.map((label) => [label.stream, label.text]));
  const pairs = (agreement ?? []).filter((pair) => pair.labels.every((label) => words.get(label)));
  if (pairs.length === 0) return null;
  const item = ({ labels: [one, other], between, with_truth: [a, b], n }) => h("li", {},
    h("span", { dir: "auto" }, text.between(words.get(one), words.get(other))),
    h("span", { class: "muted small" }, [text.kappa(figure(between.value ?? Number.NaN), interval(between)), text.truth(figure(a.value ?? Number.NaN), figure(b.value ?? Number.NaN)), text.snippets(n)].join(" · ")));
  return h("details", { class: "label-agreement small", open: opened.has("agreement"), ontoggle: (event) => (event.target.open ? opened.add("agreement") : opened.delete("agreement")) },
    h("summary", { dataset: { key: "agreement" } }, text.agree),
    h("ul", { class: "proposals" }, pairs.map(item)), h("p", { class: "muted" }, text.aboutAgree));
}
