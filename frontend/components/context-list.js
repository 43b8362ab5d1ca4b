/** Contexts of a feature: one line each around the peak, to open one by one or all at once. */

import { h } from "../lib/dom.js";
import { formatInteger, formatValue } from "../lib/format.js";
import { feature as strings } from "../pages/feature-strings.js";
import { concordance, tokenStrip } from "./token-strip.js";
import { stepThroughValues } from "./value-tip.js";

const SAME_AROUND_PEAK = 6;

/**
 * contexts: the API's Context objects; `max` is the value shaded strongest; `full` opens all of them; `most` of them are shown.
 * Contexts with the same text around the peak are folded into the strongest of them.
 */
export function contextList(contexts, { max, full = false, label, most = Infinity }) {
  return h("ol", { class: "contexts", "aria-label": label }, fold(contexts).slice(0, most).map(([context, count]) => contextItem(context, { max, full, count })));
}

/** [[first context, number of contexts with the same text around the peak]], in order. */
export function fold(contexts) {
  const groups = new Map();
  for (const context of contexts) {
    const { tokens, peak } = context;
    const key = JSON.stringify(tokens.slice(Math.max(0, peak - SAME_AROUND_PEAK), peak + SAME_AROUND_PEAK + 1));
    const group = groups.get(key);
    if (group) group[1] += 1;
    else groups.set(key, [context, 1]);
  }
  return [...groups.values()];
}

function contextItem(context, { max, full, count }) {
  const text = strings.contexts;
  const { tokens, values, peak } = context;
  const body = h("div", { class: "context-body" });
  const toggle = h("button", { type: "button", class: "icon-button context-toggle" });
  const show = (open) => {
    toggle.setAttribute("aria-expanded", String(open));
    toggle.setAttribute("aria-label", open ? text.collapse : text.expand);
    toggle.title = `${open ? text.collapse : text.expand} ${text.keys}`;
    body.replaceChildren(open ? whole(context, max) : concordance(tokens, values, { max, peak }));
  };
  const flip = () => show(toggle.getAttribute("aria-expanded") !== "true");
  toggle.addEventListener("click", flip);
  body.addEventListener("click", () => getSelection()?.toString() || flip());
  show(full);
  stepThroughValues(toggle, () => body);
  return h(
    "li",
    { class: "context" },
    h("span", { class: "context-value num", title: text.peak }, formatValue(context.peak_value)),
    body,
    count > 1 && h("span", { class: "tag", title: text.foldedTitle(count) }, text.folded(count)),
    toggle,
  );
}

function whole(context, max) {
  const { tokens, values, peak, title, tags = [], document: ordinal, start } = context;
  return h(
    "div",
    { class: "context-whole" },
    context.truncated_left && h("span", { class: "cut" }, "…"),
    tokenStrip(tokens, values, { max, peak, multiline: true }),
    context.truncated_right && h("span", { class: "cut" }, "…"),
    h(
      "p",
      { class: "context-meta" },
      title && h("span", { dir: "auto" }, title),
      ordinal !== undefined && h("span", { class: "num" }, strings.contexts.where(formatInteger(ordinal), formatInteger(start))),
      tags.map((tag) => h("span", { class: "tag", dir: "auto" }, tag)),
    ),
  );
}
