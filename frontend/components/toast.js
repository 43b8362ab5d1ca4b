/** A short message at the bottom of the window: `toast("Saved")`, `toast(error.message, { kind: "error" })`. */

import { h } from "../lib/dom.js";

const LIFETIME_MS = { info: 4_000, error: 9_000 };
/** There from the start: what comes into being together with its first message is not read aloud. */
const stack = document.body.appendChild(h("div", { class: "toasts", role: "status", "aria-live": "polite" }));

export function toast(message, { kind = "info" } = {}) {
  const item = h("p", { class: `toast is-${kind}` }, message);
  stack.append(item);
  setTimeout(() => item.remove(), LIFETIME_MS[kind]);
}
