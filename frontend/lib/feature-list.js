/** Lists of features, read by rank. A list once read is kept, so that going back shows it at once, where it was. */

import { api } from "./api.js";
import { RankedRows } from "./ranked-rows.js";
import { session } from "./store.js";

const KEPT = 8;
/** @type {Map<string, RankedRows>} */
const kept = new Map();

/** The list for a query of `api.features` (without limit, cursor and rank). */
export function featureList(query) {
  const key = JSON.stringify([session.state.epoch, query]);
  const list = kept.get(key) ?? new RankedRows((at, limit, signal) => api.features({ ...query, limit, at }, { signal }));
  kept.delete(key);
  kept.set(key, list);
  const [oldest] = kept.keys();
  if (kept.size > KEPT) kept.delete(oldest);
  return list;
}

/** A list of features that are known already. @param {number} total @param {(rank: number) => {source: string, index: number}} featureAt */
export function chosenList(total, featureAt) {
  return new RankedRows(async (start, count, signal) => {
    const asked = Array.from({ length: Math.min(count, total - start) }, (_, i) => featureAt(start + i));
    const { items } = asked.length ? await api.featureRows(asked, { signal }) : { items: [] };
    return { items, total };
  }, total);
}

/** Show the label that a person has just given to a feature in the lists that are kept. */
export function relabel(source, index, label) {
  for (const list of kept.values()) {
    for (const row of list.here()) if (row.source === source && row.index === index) Object.assign(row, { label, label_origin: "human" });
  }
}
