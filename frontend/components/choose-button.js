/** The button of a row in a list with which its feature is chosen. */

import { h } from "../lib/dom.js";
import { strings } from "../lib/strings.js";

/** Pressed when the row is chosen; by keyboard, Space does the same on the row. */
export function chooseButton(id) {
  return h("button", { type: "button", class: "choose", tabindex: "-1", "aria-pressed": "false", "aria-label": strings.list.choose(id), title: strings.list.chooseTitle });
}
