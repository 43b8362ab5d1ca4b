/** What a token's text looks like where nothing is shaded: the characters that nobody sees get a sign; one token as a chip. */

import { h } from "../lib/dom.js";
import { visible } from "../lib/format.js";
import { setting } from "../lib/settings.js";
import { strings } from "../lib/strings.js";
import { beginsWithMark, hasInk, namesOf, pieces } from "../lib/tokens.js";

/**
 * Text nodes and glyph spans for a piece of text. Every character stays in the text, so that copying copies the truth;
 * those that nobody sees get a sign beside them, and those that turn text around do so in their span alone.
 */
export function visibleText(text) {
  return pieces(text, { spaces: setting("blanks") === "all" }).map(pieceNode);
}

/** @param {import("../lib/tokens.js").Piece} piece */
function pieceNode({ kind, text, name }) {
  switch (kind) {
    case "text":
      return text;
    case "break":
      return h("span", { class: "nl" }, "\n");
    case "tab":
      return h("span", { class: "tab" }, text);
    case "space":
      return h("span", { class: "space" }, text);
    case "blank":
      return h("span", { class: "space is-odd", title: name }, text);
    case "control":
      return h("span", { class: "control", title: strings.token.control(name), dataset: { name } }, text);
    default:
      return h("span", { class: kind, title: strings.token[kind] }, text);
  }
}

/** One token on its own, as a chip that shows its spaces. */
export function tokenChip(text) {
  const shown = hasInk(text) ? [beginsWithMark(text) && "◌", visibleText(text)] : namesOf(text);
  return h("span", { class: "token", title: visible(text), dir: "auto" }, shown);
}
