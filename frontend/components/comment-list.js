/** The discussion of a feature: comments, each with its answers below it. */

import { h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { labels as text } from "../pages/label-strings.js";

/**
 * @param {any[]} comments - in order
 * @param {object} me - who is asking
 * @param {{ say: (event: object) => void, reply: (comment: any) => void }} act - what the buttons do
 */
export function commentList(comments, me, act) {
  const known = new Set(comments.map(({ stream }) => stream));
  const below = (parent) => comments.filter(({ reply_to: to }) => (known.has(to) ? to : null) === parent);
  const list = (parent) => {
    const found = below(parent);
    return found.length > 0 && h("ol", { class: "comments" }, found.map((comment) => item(comment, me, act, list(comment.stream))));
  };
  return list(null) || null;
}

function item(comment, me, act, answers) {
  const gone = comment.redacted ? text.redacted : comment.retracted ? text.retracted : null;
  const mine = comment.person.id === me.id || me.permissions.includes("review");
  return h("li", {},
    h("p", { class: "muted small" }, h("bdi", { class: "comment-author" }, comment.person.name), " · ", h("time", { datetime: comment.created_at }, formatTime(comment.created_at))),
    h("p", { class: gone ? "comment-text muted" : "comment-text", dir: "auto" }, gone ?? comment.text),
    me.permissions.includes("label") && h("div", { class: "label-buttons" },
      h("button", { type: "button", class: "quiet small", dataset: { key: `reply:${comment.stream}` }, "aria-label": text.replyTo(comment.person.name), onclick: () => act.reply(comment) }, text.reply),
      mine && !gone && h("button", { type: "button", class: "quiet small", onclick: () => act.say({ kind: "retract", target: comment.stream }) }, text.retract)),
    answers);
}
