/** Lists of features, read page by page. A list once read is kept, so that going back shows it at once, where it was. */

import { api } from "./api.js";
import { session } from "./store.js";

const PAGE_SIZE = 50;
const KEPT = 8;
const kept = new Map();

class FeatureList {
  items = [];
  total = null;
  #cursor = null;
  #request = null;

  constructor(query) {
    this.query = query;
  }

  /** True while the server has more than `items`. */
  get hasMore() {
    return this.total === null || this.#cursor !== null;
  }

  /** Reads the next page and resolves to its rows; calls that overlap share one request. */
  more() {
    if (!this.hasMore) return Promise.resolve([]);
    this.#request ??= api
      .features({ ...this.query, limit: PAGE_SIZE, cursor: this.#cursor })
      .then((page) => {
        this.items.push(...page.items);
        this.total = page.total;
        this.#cursor = page.next_cursor;
        return page.items;
      })
      .finally(() => (this.#request = null));
    return this.#request;
  }
}

/** The list for a query of `api.features` (without limit and cursor). */
export function featureList(query) {
  const key = JSON.stringify([session.state.epoch, query]);
  const list = kept.get(key) ?? new FeatureList(query);
  kept.delete(key);
  kept.set(key, list);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return list;
}

/** Show the label that a person has just given to a feature in the lists that are kept. */
export function relabel(source, index, label) {
  for (const list of kept.values()) {
    const row = list.items.find((item) => item.source === source && item.index === index);
    if (row) Object.assign(row, { label, label_origin: "human" });
  }
}
