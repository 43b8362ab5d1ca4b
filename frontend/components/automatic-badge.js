/** Marks a label that a program wrote and no person has. */

import { h } from "../lib/dom.js";
import { strings } from "../lib/strings.js";

/**
 * The mark where `origin` is that of an automatic label, else null. `short` is for rows of a list.
 * @param {"human"|"automatic"|null|undefined} origin
 */
export function automaticBadge(origin, { short = false } = {}) {
  const { automatic, automaticShort, automaticTitle } = strings.label;
  return origin === "automatic" ? h("span", { class: "automatic", title: automaticTitle }, short ? automaticShort : automatic) : null;
}
