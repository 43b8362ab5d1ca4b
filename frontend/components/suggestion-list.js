/** What programs suggest that a feature be called. None of it is a name until somebody adopts it. */

import { h } from "../lib/dom.js";
import { labels as text } from "../pages/label-strings.js";
import { automaticBadge } from "./automatic-badge.js";
import { labelScores } from "./label-scores.js";

const PREFIX = "suggest.";
const ORDER = ["high", "medium", "low", null];

/** Suggestions of a Discussion's state, the surest first. */
function suggestions(state) {
  const sure = ({ confidence }) => ORDER.indexOf(confidence);
  return (state?.labels ?? []).filter(({ suggestion }) => suggestion).sort((a, b) => sure(a) - sure(b) || a.stream - b.stream);
}

/** Those that nobody has adopted, the surest first. */
export function adoptable(state) {
  const named = new Set((state?.labels ?? []).filter(({ suggestion }) => !suggestion).map((label) => label.text));
  return suggestions(state).filter((label) => label.text && !named.has(label.text));
}

/** "patterns" of the author suggest.patterns */
export const wayOf = ({ author }) => author.name.slice(author.name.startsWith(PREFIX) ? PREFIX.length : 0);

/**
 * @param {object} state - a Discussion's state
 * @param {{ permissions: string[] }} me - who is asking
 * @param {(suggestion: object) => void} adopt
 * @param {Map<number, object[]>} scores - what labels score, by their stream
 */
export function suggestionList(state, me, adopt, scores = new Map()) {
  const all = suggestions(state);
  if (all.length === 0) return null;
  const open = adoptable(state);
  const row = (label) => {
    const mine = open.includes(label);
    const button = h("button", { type: "button", class: "quiet small", dataset: { key: `adopt:${label.stream}` }, "aria-label": text.adoptThis(label.text), onclick: () => adopt(label) }, text.adopt, label === open[0] && [" ", h("kbd", { "aria-hidden": "true" }, "a")]);
    return h("li", {},
      h("span", { class: "proposal", dir: "auto" }, label.text, " ", automaticBadge(label.origin)),
      h("span", { class: "muted small" }, [text.suggestedBy[wayOf(label)] ?? wayOf(label), label.confidence && text.confidence[label.confidence]].filter(Boolean).join(" · ")),
      label.reason && h("span", { class: "small", dir: "auto" }, label.reason),
      labelScores(label.stream, scores.get(label.stream)),
      me.permissions.includes("label") && (mine ? h("div", { class: "label-buttons" }, button) : h("span", { class: "muted small" }, text.adopted)));
  };
  return [h("h3", {}, text.suggestions), h("ol", { class: "proposals suggestions" }, all.map(row))];
}
