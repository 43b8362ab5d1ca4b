/** What the list of runs that were kept says. */

import { formatSigned, formatValue } from "../lib/format.js";

export const runs = {
  note: "What you had written, kept in this browser alone.",
  clear: "Clear history",
  cleared: "The history is empty.",
  removed: "Run removed.",
  restore: (prompt) => `Show again: “${prompt}”`,
  remove: (prompt) => `Remove from the history: “${prompt}”`,
  untouched: "nothing turned",
  turned: (mode, value) => ({ set: `= ${formatValue(value ?? NaN)}`, add: formatSigned(value ?? NaN), scale: `× ${formatValue(value ?? NaN)}`, ablate: "off" })[mode],
  moved: (count) => (count === 1 ? "moved once" : `moved ${count} times`),
};
