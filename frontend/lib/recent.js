/** Where the reader was lately: features that were looked at, newest first. Kept in localStorage where that is allowed. */

const KEY = "mfn-recent";
const KEPT = 12;

/** [{ source, index, name }] */
export function recentFeatures() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return kept.filter((one) => typeof one?.source === "string" && Number.isInteger(one.index) && typeof one.name === "string").slice(0, KEPT);
  } catch {
    return []; // storage is switched off, or holds what nobody here wrote
  }
}

export function noteFeature({ source, index, name }) {
  const others = recentFeatures().filter((one) => one.source !== source || one.index !== index);
  try {
    localStorage.setItem(KEY, JSON.stringify([{ source, index, name: name.slice(0, 120) }, ...others].slice(0, KEPT)));
  } catch {
    // storage is switched off: nothing is remembered
  }
}
