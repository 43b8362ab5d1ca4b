/**
 * Rows of a list by rank, read in blocks: those in sight first, then the next in the direction of travel. What was
 * scrolled past before it came is given up. The blocks used last are kept.
 *
 * @typedef {{source: string, index: number, layer: number} & Record<string, any>} Row
 * @typedef {{items: Row[], total: number}} Block
 */

import { isAbort } from "./api.js";

const BLOCK = 50;
const KEPT = 80;

export class RankedRows extends EventTarget {
  /** Rows of the whole list; null until it is known. @type {number|null} */
  total = null;
  /** What kept a block from coming, until `retry`. @type {import("./api.js").ApiError|null} */
  failed = null;
  /** @type {Map<number, Row[]>} */ #blocks = new Map();
  /** @type {Map<number, AbortController>} */ #requests = new Map();
  #wanted = [0, 0, 1];
  #read;

  /**
   * @param {(start: number, count: number, signal: AbortSignal) => Promise<Block>} read
   * @param {number|null} total where it is known beforehand
   */
  constructor(read, total = null) {
    super();
    this.#read = read;
    this.total = total;
  }

  /** @returns {Row|undefined} a row that is here */
  row(rank) {
    return this.#blocks.get(Math.floor(rank / BLOCK))?.[rank % BLOCK];
  }

  /** All rows that are here. */
  *here() {
    for (const rows of this.#blocks.values()) yield* rows;
  }

  /**
   * Ranks `from` up to, not including, `to` are in sight, and the list moves up (-1) or down (1). "change" is dispatched
   * when rows come, "failure" when they cannot be had.
   */
  want(from, to, direction = 1) {
    this.#wanted = [from, to, direction];
    const end = this.total ?? to;
    const first = Math.floor(Math.max(0, from) / BLOCK);
    const last = Math.floor((Math.max(1, Math.min(to, end)) - 1) / BLOCK);
    const ahead = direction < 0 ? [first - 1, last + 1, first - 2] : [last + 1, first - 1, last + 2];
    const inSight = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    const wanted = new Set([...inSight, ...(this.total === null ? [] : ahead)].filter((block) => block >= 0 && block * BLOCK < Math.max(1, end)));
    for (const [block, request] of this.#requests) {
      if (wanted.has(block)) continue;
      request.abort();
      this.#requests.delete(block);
    }
    if (this.failed) return;
    const complete = inSight.every((block) => this.#blocks.has(block)); // what is ahead must not delay what is in sight
    for (const block of complete ? wanted : inSight) {
      const rows = this.#blocks.get(block);
      if (rows) {
        this.#blocks.delete(block); // used last, kept longest
        this.#blocks.set(block, rows);
      } else if (!this.#requests.has(block)) this.#ask(block);
    }
  }

  /** Resolves when these ranks are here, whatever is in sight. @returns {Promise<Row[]>} */
  async load(from, to) {
    const found = [];
    for (let block = Math.floor(from / BLOCK); block * BLOCK < to; block++) {
      const rows = this.#blocks.get(block) ?? (await this.#read(block * BLOCK, BLOCK, new AbortController().signal)).items;
      found.push(...rows.filter((_, i) => block * BLOCK + i >= from && block * BLOCK + i < to));
    }
    return found;
  }

  /** Ask again for what failed. */
  retry() {
    this.failed = null;
    this.want(...this.#wanted);
  }

  /** Nobody looks at this list now. */
  leave() {
    for (const request of this.#requests.values()) request.abort();
    this.#requests.clear();
  }

  async #ask(block) {
    const request = new AbortController();
    this.#requests.set(block, request);
    try {
      const { items, total } = await this.#read(block * BLOCK, BLOCK, request.signal);
      if (request.signal.aborted) return;
      this.#requests.delete(block);
      const changed = this.total !== null && this.total !== total;
      if (changed) this.#blocks.clear(); // the list is another: ranks mean other rows
      this.total = total;
      this.#blocks.set(block, items);
      const [oldest] = this.#blocks.keys();
      if (this.#blocks.size > KEPT) this.#blocks.delete(oldest);
      this.dispatchEvent(new Event("change"));
      if (changed) this.want(...this.#wanted);
    } catch (error) {
      if (request.signal.aborted || isAbort(error)) return;
      this.#requests.delete(block);
      this.failed = error;
      this.dispatchEvent(new Event("failure"));
    }
  }
}
