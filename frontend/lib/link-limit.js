/**
 * How long an address may be: the server takes requests of at most 16 KB up to their headers' end. What is longer stays in the
 * entry of the browser's history: Back, Forward and Reload still find it, a copied link does not.
 */

/** Characters of path and query. */
export const LONGEST_LINK = 12_000;

/** Does it fit? @param {string} path */
export const fitsLink = (path) => path.length <= LONGEST_LINK;

/** What an address could not hold. @param {string} key @returns {any} */
export const heldBack = (key) => history.state?.[key] ?? null;

/** Keeps it beside the address that is shown. @param {string} key @param {any} value null: nothing */
export function holdBack(key, value) {
  history.replaceState({ ...history.state, [key]: value }, "");
}
