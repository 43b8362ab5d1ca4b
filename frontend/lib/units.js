/**
 * Units of reading. A byte-level tokenizer cuts many characters into several tokens, none of which is a character: the
 * server shows them as "⟨c3⟩", "⟨b6⟩". In running text such neighbours are joined back into what they spell ("ö").
 */

import { isPartialBytes } from "./tokens.js";

const LONGEST = 6;
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * @typedef {{ text: string, value: number, isPeak: boolean, parts: [string, number][] }} Unit
 *   `parts` are the tokens it is made of with their values; `value` is the largest of them.
 * @returns {Unit[]} one for each token, or for several byte tokens that make whole characters together. Bytes that make none stay as they are.
 */
export function readingUnits(tokens, values, peak) {
  const units = [];
  for (let i = 0; i < tokens.length; ) {
    const [text, length] = joined(tokens, i);
    /** @type {[string, number][]} */ const parts = [];
    for (let k = i; k < i + length; k++) parts.push([tokens[k], values[k]]);
    units.push({ text, value: Math.max(...parts.map(([, value]) => value)), isPeak: peak !== null && peak >= i && peak < i + length, parts });
    i += length;
  }
  return units;
}

/** The shortest run of byte tokens from `start` on that is valid UTF-8: [its text, its length]. */
function joined(tokens, start) {
  let bytes = [];
  for (let k = start; k < tokens.length && k - start < LONGEST && isPartialBytes(tokens[k]); k++) {
    bytes = bytes.concat(tokens[k].slice(1, -1).split(" ").map((byte) => Number.parseInt(byte, 16)));
    if (!endsWithCharacter(bytes)) continue;
    try {
      return [decoder.decode(Uint8Array.from(bytes)), k - start + 1];
    } catch {
      // no characters, whatever comes: it is not tried again, for an error takes its time
      break;
    }
  }
  return [tokens[start], 1];
}

/** Whether the lengths that leading bytes announce come out even. */
function endsWithCharacter(bytes) {
  let at = 0;
  while (at < bytes.length) at += bytes[at] < 0x80 ? 1 : bytes[at] < 0xe0 ? 2 : bytes[at] < 0xf0 ? 3 : 4;
  return at === bytes.length;
}
