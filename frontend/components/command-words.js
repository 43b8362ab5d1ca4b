/** Words with commands among them, which stand between `…`: as code that breaks between its words alone, not at hyphens. */

import { h } from "../lib/dom.js";

export function withCommands(words) {
  return words.split("`").map((part, place) => (place % 2 === 0 ? part : h("code", {}, part.split(" ").map((word, at) => [at > 0 && " ", h("span", { class: "unbroken" }, word)]))));
}
