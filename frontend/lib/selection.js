/**
 * Features that were chosen to do something with together. A feature is written SOURCE:INDEX, in URLs too.
 *
 * @typedef {{source: string, index: number}} Feature
 */

import { featurePath } from "./format.js";

/** As many as fit into a link that others can open. */
export const MOST_CHOSEN = 100;
/** As the server has it. */
export const MOST_STEERED = 16;
export const MOST_COLLECTED = 2_000;

/** @param {Feature} feature */
export const featureKey = ({ source, index }) => `${source}:${index}`;

/** @returns {Feature|null} */
export function parseKey(text) {
  const match = /^([^:]{1,200}):(\d{1,10})$/.exec(text ?? "");
  return match && { source: match[1], index: Number(match[2]) };
}

/** Steer with all of them. @param {Iterable<string>} keys */
export const steerPath = (keys) => `/steer?${new URLSearchParams([...keys].flatMap((key) => parseKey(key) ?? []).map(({ source, index }) => ["f", `${source}/${index}`]))}`;

/** Have people label all of them. @param {Iterable<string>} keys */
export const labelPath = (keys) => `/label/new?${[...keys].map((key) => `f=${encodeURIComponent(key).replaceAll("%3A", ":")}`).join("&")}`;

/** @param {string} key as `featureKey` makes it */
export function pathOf(key) {
  const feature = parseKey(key);
  if (!feature) throw new TypeError(`no feature: ${key}`);
  return featurePath(feature.source, feature.index);
}

/** A set of features in the order in which they were chosen. Dispatches "change". */
export class Selection extends EventTarget {
  /** @type {Set<string>} */ #keys = new Set();

  get keys() {
    return [...this.#keys];
  }

  get size() {
    return this.#keys.size;
  }

  has(key) {
    return this.#keys.has(key);
  }

  /** @returns {boolean} whether all of them could be had: at most `MOST_CHOSEN` can be chosen */
  add(keys) {
    const before = this.size;
    let all = true;
    for (const key of keys) {
      if (this.#keys.has(key)) continue;
      if (this.size < MOST_CHOSEN) this.#keys.add(key);
      else all = false;
    }
    if (this.size !== before) this.dispatchEvent(new Event("change"));
    return all;
  }

  /** @returns {boolean} as `add` */
  toggle(key) {
    if (!this.#keys.delete(key)) return this.add([key]);
    this.dispatchEvent(new Event("change"));
    return true;
  }

  clear() {
    if (!this.size) return;
    this.#keys.clear();
    this.dispatchEvent(new Event("change"));
  }

  /** As a URL has it; "" for none. */
  toString() {
    return this.keys.join(" ");
  }

  /** Take over what a URL says; what is no feature is left out. */
  parse(text) {
    const keys = (text ?? "").split(/[ +]/).filter(parseKey).slice(0, MOST_CHOSEN);
    if (keys.join(" ") === this.toString()) return;
    this.#keys = new Set(keys);
    this.dispatchEvent(new Event("change"));
  }
}
