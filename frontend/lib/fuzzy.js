/** How well a few typed letters fit a text: all of them must come in it, in order. */

const START = 8; // of a word
const NEXT = 5; // right after the letter before
const GAP = 0.1; // for each letter passed over

/**
 * @returns {number|null} the greater the better; null where a letter is missing. Words may be typed in any order.
 */
export function fuzzyScore(query, text) {
  const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const letters = Array.from(text.toLocaleLowerCase());
  let total = 0;
  for (const word of words) {
    const score = wordScore(Array.from(word), letters);
    if (score === null) return null;
    total += score;
  }
  return total - letters.length * 0.01; // of two that fit alike, the shorter
}

/** The best over all places where the word's first letter stands; the others are then taken as soon as they come. */
function wordScore(word, letters) {
  /** @type {number|null} */ let best = null;
  for (let start = 0; start < letters.length; start++) {
    if (letters[start] !== word[0]) continue;
    const score = from(word, letters, start);
    if (score !== null && (best === null || score > best)) best = score;
  }
  return best;
}

function from(word, letters, start) {
  let score = 0;
  let at = start;
  for (const [number, letter] of word.entries()) {
    const found = letters.indexOf(letter, at);
    if (found < 0) return null;
    if (found === 0 || /[^\p{L}\p{N}]/u.test(letters[found - 1])) score += START;
    else if (number > 0 && found === at) score += NEXT;
    score -= (found - at) * GAP;
    at = found + 1;
  }
  return score;
}

/** The items whose `textOf` the query fits, the best first; equals stay in order. */
export function fuzzyFilter(items, query, textOf) {
  return items
    .map((item) => [fuzzyScore(query, textOf(item)), item])
    .filter(([score]) => score !== null)
    .sort(([a], [b]) => b - a)
    .map(([, item]) => item);
}
