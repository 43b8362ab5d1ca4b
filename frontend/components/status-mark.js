/** Marks a feature that fires so seldom that this is worth saying. */

import { h } from "../lib/dom.js";
import { strings } from "../lib/strings.js";

/**
 * The mark of an ultra-rare feature, or of one of which nobody can tell; null of all others. A dead one says so itself.
 * @param {"alive"|"ultra_rare"|"undetermined"|"dead"} status
 */
export function statusMark(status) {
  const words = strings.rareness[status];
  return words ? h("span", { class: "status-mark", title: words.title }, words.mark) : null;
}
