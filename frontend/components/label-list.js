/** The names of a feature: which one holds, who wrote them, votes, and what can be done with each. */

import { h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { labels as text } from "../pages/label-strings.js";
import { automaticBadge } from "./automatic-badge.js";
import { labelScores } from "./label-scores.js";

/**
 * @param {any} state - a Discussion's state
 * @param {object} me - who is asking: { id, permissions }
 * @param {(event: object, options?: object) => Promise<object|null>} say - says something; null where it was not taken in
 * @param {Map<number, object[]>} scores - what labels score, by their stream
 */
export function labelList(state, me, say, scores = new Map()) {
  if (state.labels.length === 0) return h("p", { class: "muted small" }, text.none);
  return h("ol", { class: "proposals" }, state.labels.map((label) => row(label, me, say, state.version, scores.get(label.stream))));
}

function row(label, me, say, version, scores) {
  const automatic = label.origin === "automatic";
  const mine = (label.revised_by ?? label.author).id === me.id || me.permissions.includes("review");
  const said = label.redacted ? text.redacted : label.unclear ? text.unclear : label.text;
  const words = h("span", { class: label.text ? "proposal" : "proposal muted", dir: "auto" }, said, " ", automaticBadge(label.origin), label.accepted && h("span", { class: "accepted" }, text.accepted));
  const item = h("li", { class: label.shown ? "is-shown" : null });
  const buttons = me.permissions.includes("label") && h("div", { class: "label-buttons" },
    votes(label, me, say),
    me.permissions.includes("review") && !label.accepted && label.text && button("accept", label, text.accept, () => say({ kind: "accept", label: label.stream })),
    !automatic && button("revise", label, text.revise, () => edit(item, label, say, version)),
    !automatic && mine && button("retract", label, text.retract, () => say({ kind: "retract", target: label.stream })));
  item.append(...[words, facts(label, automatic), label.reason && h("span", { class: "small", dir: "auto" }, label.reason), labelScores(label.stream, scores), buttons].filter(Boolean));
  return item;
}

function facts(label, automatic) {
  return h("span", { class: "muted small" },
    h("bdi", {}, automatic && label.author.name === "atlas" ? text.fromAtlas : label.author.name || text.anonymous), " · ",
    label.confidence && `${text.confidence[label.confidence]} · `,
    h("time", { datetime: label.created_at }, formatTime(label.created_at)),
    label.revised_by && [" · ", h("bdi", {}, text.revisedBy(label.revised_by.name, label.n_revisions))]);
}

function votes(label, me, say) {
  const mine = label.votes.find(({ person, stale }) => person.id === me.id && !stale)?.value ?? 0;
  const stale = label.votes.filter((vote) => vote.stale).length;
  const vote = (value, name, mark, count) => {
    const names = label.votes.filter((each) => each.value === value && !each.stale).map(({ person }) => person.name);
    return h("button", {
      type: "button", class: "chip vote", dataset: { key: `${name}:${label.stream}` }, "aria-label": text[name](count), "aria-pressed": String(mine === value), title: text.voters(names) || null,
      onclick: () => say({ kind: "vote", label: label.stream, value: mine === value ? "withdrawn" : name }),
    }, `${mark} ${count}`);
  };
  return h("span", { class: "votes", role: "group", "aria-label": text.votes },
    vote(1, "up", "▲", label.up), vote(-1, "down", "▼", label.down), stale > 0 && h("span", { class: "muted small" }, text.earlier(stale)));
}

/**
 * The row becomes a field. It is not filled anew while somebody writes in it (the label box looks for `.is-edited`), so
 * what is stored rests on the version that they saw when they began.
 */
function edit(item, label, say, version) {
  const before = [...item.childNodes];
  const field = h("input", { value: label.text, maxlength: "500", required: true, "aria-label": text.label, dir: "auto" });
  const close = () => {
    item.classList.remove("is-edited");
    item.replaceChildren(...before);
  };
  const form = h("form", { class: "reword" }, field, h("button", { class: "primary" }, text.save), button("cancel", label, text.cancel, close));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!field.value.trim()) return;
    await say({ kind: "revise", label: label.stream, text: field.value.trim() }, { version, stored: () => item.classList.remove("is-edited") });
  });
  item.classList.add("is-edited");
  item.replaceChildren(form);
  field.focus();
}

function button(act, { stream }, words, onclick) {
  return h("button", { type: "button", class: "quiet small", dataset: { key: `${act}:${stream}` }, onclick }, words);
}
