/** Which tokens two texts share, in order: a longest common subsequence, as `diff` finds it. */

const MOST_CELLS = 4_000_000; // of the table; beyond, what lies between the common ends counts as different

/**
 * @param {number[]} a token ids @param {number[]} b
 * @returns {(number|null)[]} for each place of `a` the place in `b` that it corresponds to, or null
 */
export function align(a, b) {
  const found = Array.from(a, () => /** @type {number|null} */ (null));
  let begin = 0;
  while (begin < a.length && begin < b.length && a[begin] === b[begin]) found[begin] = begin++;
  let end = 0;
  while (end < a.length - begin && end < b.length - begin && a[a.length - 1 - end] === b[b.length - 1 - end]) {
    found[a.length - 1 - end] = b.length - 1 - end;
    end++;
  }
  const n = a.length - begin - end;
  const m = b.length - begin - end;
  if (n === 0 || m === 0 || n * m > MOST_CELLS) return found;
  // longest[i][j]: of a[begin + i …] and b[begin + j …]
  const width = m + 1;
  const longest = new Uint16Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      longest[i * width + j] = a[begin + i] === b[begin + j]
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < n && j < m; ) {
    if (a[begin + i] === b[begin + j]) found[begin + i++] = begin + j++;
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++;
    else j++;
  }
  return found;
}

/** The same from the other text's side. @param {(number|null)[]} pairs @param {number} length of the other text */
export function inverse(pairs, length) {
  const found = Array.from({ length }, () => /** @type {number|null} */ (null));
  for (const [place, other] of pairs.entries()) if (other !== null) found[other] = place;
  return found;
}
