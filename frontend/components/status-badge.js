/** How a prediction or a check stands, as a word in a frame. */

import { h } from "../lib/dom.js";

/** @type {Record<string, string>} */
const KINDS = { holds: "good", fails: "bad" };

/** @param {string} status @param {string|null} [title] */
export const statusBadge = (status, title = null) => h("span", { class: "verdict-mark", dataset: { verdict: KINDS[status] ?? "open" }, title }, status);
