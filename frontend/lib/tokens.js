/**
 * What a token's text is made of, for those who show it: plain text, and what nobody would see or could read. Knows
 * nothing of elements, so that it can be tested alone.
 */

/** A token that is not whole UTF-8 characters comes as "⟨e2 96⟩". */
export const isPartialBytes = (text) => /^⟨[0-9a-f]{2}( [0-9a-f]{2})*⟩$/.test(text);

export const isSpecialToken = (text) => /^<\|[^|<>]+\|>$/.test(text);

/**
 * Line breaks; tabs; spaces of other widths; controls, which turn text around, hide or join it. The joiners (U+200C,
 * U+200D), variation selectors and tags stay where they are part of a character somebody sees: emoji, Indic scripts.
 */
const SIGNS = /(\r\n|[\n\r\u2028\u2029])|(\t)|([\u00a0\u2000-\u200a\u202f\u205f\u3000])|([\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb])/u;
const SIGNS_AND_SPACES = new RegExp(`${SIGNS.source}|( )`, "u");
/** @type {Piece["kind"][]} */
const KINDS = ["break", "tab", "blank", "control", "space"];

/**
 * @typedef {{ kind: "text"|"break"|"tab"|"blank"|"control"|"space"|"bytes"|"special", text: string, name?: string }} Piece
 *   `name` of a control or blank: "U+202E".
 * @param {string} text of one or more tokens
 * @param {{ spaces?: boolean }} options whether plain spaces are pieces of their own
 * @returns {Piece[]} whose texts make up `text`
 */
export function pieces(text, { spaces = false } = {}) {
  if (isPartialBytes(text)) return [{ kind: "bytes", text }];
  if (isSpecialToken(text)) return [{ kind: "special", text }];
  const sign = spaces ? SIGNS_AND_SPACES : SIGNS;
  /** @type {Piece[]} */ const found = [];
  for (let rest = text; rest; ) {
    const match = sign.exec(rest);
    const before = match ? rest.slice(0, match.index) : rest;
    if (before) found.push({ kind: "text", text: before });
    if (!match) break;
    const kind = KINDS[match.slice(1).findIndex((group) => group !== undefined)];
    found.push(kind === "control" || kind === "blank" ? { kind, text: match[0], name: codePoint(match[0]) } : { kind, text: match[0] });
    rest = rest.slice(match.index + match[0].length);
  }
  return found;
}

/** "U+200D" */
export const codePoint = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

const INK = /[^\p{C}\p{Z}]/u;

/** Whether there is anything to be seen of it. */
export const hasInk = (text) => INK.test(text);

/** "  " -> "␣␣", a zero-width joiner -> "U+200D": names for what leaves no ink. */
export const namesOf = (text) => Array.from(text, (c) => (c === " " ? "␣" : c === "\n" ? "↵" : c === "\t" ? "⇥" : codePoint(c))).join("");

/** A mark that combines with the letter before it, on its own: it is shown on a dotted circle. */
export const beginsWithMark = (text) => /^\p{M}/u.test(text);

/** Whether it mostly runs from right to left. */
export function runsRightToLeft(text) {
  const right = text.match(/[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/gu)?.length ?? 0;
  return right > 0 && right > (text.match(/\p{Letter}/gu)?.length ?? 0) / 2;
}
