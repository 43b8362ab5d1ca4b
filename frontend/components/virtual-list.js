/**
 * <mfn-virtual-list>: a list of any length, of which only the rows in sight are in the document, as an ARIA grid.
 *
 * Rows stand by rank in one layer. While somebody scrolls, the browser moves the layer and rows are only added at its
 * edges; drawing is cut into pieces, the rows in sight first, so that no frame waits for all of them. What has not come
 * yet is a grey bar of the same height. One row is the current one and takes the tab stop; it stays in the document while
 * it holds the focus, wherever the list goes.
 *
 * Keys in the list: arrows, PageUp, PageDown, Home, End move; Space and x choose, with Shift all up to there.
 *
 * Events: "move" when the list stands somewhere else or another row is current (not for each pixel), "settle" after it
 * was drawn with everything in sight, "failure" when rows cannot be had.
 */

import { h } from "../lib/dom.js";
import { ScrollScale } from "../lib/scroll-scale.js";
import { featureKey } from "../lib/selection.js";

const OVERSCAN = 12;
const FRAME_MS = 6;
const SETTLED_MS = 120;
const MOVE_MS = 250;

export class VirtualList extends HTMLElement {
  /** @type {any} */ #options = null;
  /** @type {import("../lib/ranked-rows.js").RankedRows|null} */ #rows = null;
  #leaving = new AbortController();
  #scale = new ScrollScale(0, 1);
  #row = 36;
  #place = 0; // of the upper edge, in pixels of the whole list
  #scroll = 0;
  #origin = 0; // the rank at the layer's upper edge
  #direction = 1;
  /** @type {Map<number, HTMLElement>} */ #elements = new Map();
  /** @type {number|null} */ #current = null;
  /** @type {number|null} */ #anchor = null;
  /** @type {HTMLElement|null} what Tab comes to */ #stop = null;
  #frame = 0;
  #settling = 0;
  #telling = 0;

  /**
   * Once, before `show`.
   * @param {{label: string, head?: HTMLElement|null, render: (row: any, rank: number) => HTMLElement,
   *   selection?: import("../lib/selection.js").Selection|null, tooMany?: () => void}} options
   *   `render` gives a row with a link `.row-link` in it and, if there is a `selection`, a button `.choose`.
   */
  setup({ label, head = null, render, selection = null, tooMany = () => {} }) {
    this.#options = { render, selection, tooMany };
    this.layer = h("div", { class: "vlist-layer", role: "presentation" });
    this.spacer = h("div", { class: "vlist-spacer", role: "rowgroup" }, this.layer);
    this.probe = h("div", { class: "vlist-probe", "aria-hidden": "true" });
    this.scroller = h("div", { class: "vlist-scroller", role: "grid", "aria-label": label, "aria-multiselectable": selection ? "true" : null }, head, this.spacer);
    this.head = head;
    this.append(this.scroller, this.probe);
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.scroller.addEventListener("keydown", (event) => this.key(event));
    this.scroller.tabIndex = -1; // it takes the focus when the row that had it is gone
    this.layer.addEventListener("focusin", (event) => this.#focused(event.target));
    this.layer.addEventListener("click", (event) => this.#clicked(event), { capture: true });
    selection?.addEventListener("change", () => this.#showSelection());
    this.observer = new ResizeObserver(() => this.#measure());
  }

  connectedCallback() {
    this.observer?.observe(this.scroller);
    this.observer?.observe(this.probe);
  }

  disconnectedCallback() {
    this.observer?.disconnect();
    this.#leaving.abort();
    this.#rows?.leave();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#settling);
    clearTimeout(this.#telling);
  }

  /**
   * Show other rows, from a rank on.
   * @param {import("../lib/ranked-rows.js").RankedRows} rows
   * @param {{at?: number}} options
   */
  show(rows, { at = 0 } = {}) {
    this.#leaving.abort();
    if (rows !== this.#rows) this.#rows?.leave();
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    rows.addEventListener("change", () => this.#came(), { signal });
    rows.addEventListener("failure", () => this.dispatchEvent(new Event("failure")), { signal });
    this.#rows = rows;
    this.#setCurrent(null);
    this.#anchor = null;
    this.#clear();
    this.#measure();
    this.goTo(at);
  }

  get rows() {
    return this.#rows;
  }

  /** The first rank that is wholly in sight. */
  get at() {
    return Math.ceil(this.#place / this.#row - 0.01);
  }

  /** The first and the last rank in sight, counted from 1. */
  get span() {
    const last = Math.floor((this.#place + this.#scale.view) / this.#row + 0.01);
    return [this.at + 1, Math.min(Math.max(last, this.at + 1), this.#rows?.total ?? 0)];
  }

  /** The rank of the current row, or null. */
  get current() {
    return this.#current;
  }

  /** The row that is current, if it is here. */
  get currentRow() {
    return this.#current === null ? undefined : this.#rows?.row(this.#current);
  }

  get #visible() {
    return Math.ceil(this.#scale.view / this.#row) + 1;
  }

  /** Put a rank at the upper edge. */
  goTo(rank) {
    this.#wish = this.#rows?.total === null ? rank : null;
    this.#moveTo(rank * this.#row);
  }

  /** @type {number|null} */ #wish = null; // where to go once the length is known

  /** Make a rank current, bring it into sight and, unless told otherwise, focus it. */
  select(rank, { focus = true } = {}) {
    if (!this.#rows?.total) return;
    const to = Math.max(0, Math.min(this.#rows.total - 1, rank));
    this.#setCurrent(to);
    const top = to * this.#row;
    if (top < this.#place) this.#moveTo(top);
    else if (top + this.#row > this.#place + this.#scale.view) this.#moveTo(top + this.#row - this.#scale.view);
    this.#draw();
    if (focus) this.#focus(to);
    this.#tell();
  }

  /** One step from the current row; from none, to the first in sight. */
  step(by) {
    this.select(this.#current === null ? this.at : this.#current + by);
  }

  /** Choose the current row, or give it up. */
  toggle() {
    const row = this.currentRow;
    if (!row || !this.#options.selection) return;
    this.#anchor = this.#current;
    if (!this.#options.selection.toggle(featureKey(row))) this.#options.tooMany();
  }

  /** Choose everything from where the last choice was made to a rank. */
  async extend(rank) {
    const { selection, tooMany } = this.#options;
    if (!selection) return;
    const from = this.#anchor ?? this.#current ?? rank;
    this.#anchor = from;
    this.select(rank);
    const rows = this.#rows;
    if (!rows) return;
    try {
      const [low, high] = [Math.min(from, rank), Math.max(from, rank)];
      const chosen = await rows.load(low, Math.min(high + 1, low + 500));
      if (rows === this.#rows && !selection.add(chosen.map(featureKey))) tooMany();
    } catch {
      this.dispatchEvent(new Event("failure"));
    }
  }

  /** Act on a key; others are left alone. */
  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || !this.#rows?.total) return;
    const page = Math.max(1, Math.floor(this.#scale.view / this.#row) - 1);
    const here = this.#current ?? this.at;
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + page, PageUp: here - page, Home: 0, End: this.#rows.total - 1 }[event.key];
    if (to !== undefined) {
      if (event.shiftKey && this.#options.selection) this.extend(Math.max(0, Math.min(this.#rows.total - 1, to)));
      else if (this.#current === null && event.key.startsWith("Arrow")) this.select(this.at);
      else this.select(to);
    } else if (this.#options.selection && (event.key === " " || event.key === "x" || event.key === "X") && this.#current !== null) {
      if (event.shiftKey) this.extend(this.#current);
      else this.toggle();
    } else return;
    event.preventDefault();
  }

  #clear() {
    const focused = this.layer.contains(document.activeElement);
    this.layer.replaceChildren();
    this.#elements.clear();
    if (focused) this.scroller.focus({ preventScroll: true });
  }

  #came() {
    if (this.#rows?.total !== this.#total) {
      this.#measure();
      if (this.#wish !== null) this.#moveTo(this.#wish * this.#row);
      this.#wish = null;
    }
    this.#draw();
  }

  /** @type {number|null} */ #total = null;

  /** Sizes have changed, or the number of rows: keep the same rank at the upper edge. */
  #measure() {
    const rank = this.#place / this.#row;
    const row = this.#row;
    this.#row = this.probe.offsetHeight || row;
    const view = Math.max(this.#row, this.scroller.clientHeight - (this.head?.offsetHeight ?? 0));
    this.#total = this.#rows?.total ?? null;
    const total = this.#total ?? 0;
    this.#scale = new ScrollScale(total * this.#row, view);
    this.spacer.style.height = `${Math.max(this.#scale.height, this.#total === null ? view : 0)}px`;
    this.scroller.setAttribute("aria-rowcount", String(this.#total === null ? -1 : total + (this.head ? 1 : 0)));
    if (row !== this.#row) for (const [each, element] of this.#elements) this.#position(element, each);
    this.#moveTo(rank * this.#row);
  }

  #moveTo(place) {
    this.#direction = place < this.#place ? -1 : 1;
    this.#place = Math.max(0, this.#total === null ? place : Math.min(this.#scale.last, place));
    this.#putBar();
    this.#schedule();
    this.#tell();
  }

  /** Put the bar where the place is, and the layer where the bar is. */
  #putBar() {
    const wanted = Math.round(this.#scale.toScroll(this.#place));
    if (Math.abs(this.scroller.scrollTop - wanted) >= 1) this.scroller.scrollTop = wanted;
    this.#scroll = this.scroller.scrollTop;
    this.#putLayer();
  }

  #putLayer() {
    const origin = Math.floor(this.#place / this.#row);
    // Rows stand at distances from the layer's edge that stay small; it moves only if that, or the bar's scale, asks for it.
    if (Math.abs(origin - this.#origin) > 20_000) {
      this.#origin = origin;
      for (const [rank, element] of this.#elements) this.#position(element, rank);
    }
    const offset = Math.round(this.#scroll - this.#place + this.#origin * this.#row);
    if (offset === this.#offset) return;
    this.#offset = offset;
    this.layer.style.transform = `translateY(${offset}px)`;
  }

  #offset = Number.NaN;

  #position(element, rank) {
    const steps = Math.max(-40_000, Math.min(40_000, rank - this.#origin)); // one that holds the focus may be far away
    element.style.top = `${steps * this.#row}px`; // not a transform: each would be a layer's edge, which costs a frame more than its layout
  }

  #scrolled() {
    const to = this.scroller.scrollTop;
    if (to === this.#scroll) return;
    this.#direction = to < this.#scroll ? -1 : 1;
    this.#wish = null;
    this.#place = this.#scale.moved(this.#place, this.#scroll, to);
    this.#scroll = to;
    if (this.#scale.isStuck(this.#place, to)) this.#putBar();
    else this.#putLayer();
    this.#schedule();
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#scale.hasDrifted(this.#place, this.#scroll) && this.#putBar(), SETTLED_MS);
    this.#tell();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** Draw for a few milliseconds; what remains comes with the next frame. */
  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (!this.#rows || !this.isConnected) return;
    const total = this.#total ?? Number.POSITIVE_INFINITY;
    const first = Math.floor(this.#place / this.#row);
    const end = Math.min(total, first + this.#visible);
    this.#rows.want(first, end, this.#direction);
    const [from, to] = [Math.max(0, first - OVERSCAN), Math.min(total, end + OVERSCAN)];
    const kept = this.layer.contains(document.activeElement) ? this.#current : null;
    for (const [rank, element] of this.#elements) {
      if ((rank >= from && rank < to) || rank === kept) continue;
      element.remove();
      this.#elements.delete(rank);
    }
    const until = performance.now() + FRAME_MS;
    let rest = false;
    let missing = false;
    for (const rank of inSightFirst(from, first, end, to)) {
      const late = performance.now() > until;
      const inSight = rank >= first && rank < end;
      const row = this.#rows.row(rank);
      const element = this.#elements.get(rank);
      missing ||= inSight && row === undefined;
      if (element && (element.dataset.waiting === undefined || row === undefined)) continue;
      if (late && (element || !inSight || row !== undefined)) rest = true;
      if (late && (element || !inSight)) continue;
      this.#put(rank, late ? undefined : row);
    }
    this.#putStop();
    if (rest) this.#schedule();
    else if (!missing) this.dispatchEvent(new Event("settle"));
  }

  /** Put a row, or what stands for one that is not here, at its rank. */
  #put(rank, row) {
    const before = this.#elements.get(rank);
    const element = row === undefined ? waitingRow() : this.#options.render(row, rank);
    this.#position(element, rank);
    element.setAttribute("aria-rowindex", String(rank + (this.head ? 2 : 1)));
    element.dataset.rank = String(rank);
    this.#elements.set(rank, element);
    element.classList.toggle("is-current", rank === this.#current);
    if (row !== undefined && this.#options.selection) showChosen(element, this.#options.selection.has(featureKey(row)));
    const focused = before?.contains(document.activeElement);
    if (before) before.replaceWith(element);
    else this.#insert(element, rank);
    if (focused) this.#focus(rank);
  }

  /** Rows stand in the document in their order: that is how they are read aloud. */
  #insert(element, rank) {
    /** @type {Element|null} */ let next = null;
    for (let other = this.layer.lastElementChild; other && Number(other.dataset.rank) > rank; other = other.previousElementSibling) next = other;
    this.layer.insertBefore(element, next);
  }

  #focus(rank) {
    const element = this.#elements.get(rank);
    focusableOf(element)?.focus({ preventScroll: true });
  }

  #focused(target) {
    const rank = Number(target.closest("[data-rank]")?.dataset.rank);
    if (!Number.isInteger(rank) || rank === this.#current) return;
    this.#setCurrent(rank);
    this.#tell();
  }

  #setCurrent(rank) {
    this.#elements.get(this.#current ?? -1)?.classList.remove("is-current");
    this.#current = rank;
    this.#elements.get(rank)?.classList.add("is-current");
    this.#putStop();
  }

  /** One row can be reached with Tab: the current one or, where that is far away, the first in sight. */
  #putStop() {
    const stop = focusableOf(this.#elements.get(this.#current ?? -1) ?? this.#elements.get(this.at));
    if (stop === this.#stop) return;
    if (this.#stop) this.#stop.tabIndex = -1;
    if (stop) stop.tabIndex = 0;
    this.#stop = stop;
  }

  /** Clicks on a row's button, and with Shift on any of it, choose; all others are the page's. */
  #clicked(event) {
    const { selection } = this.#options;
    const element = event.target.closest("[data-rank]");
    if (element && this.#telling) this.#moved(); // before a link is followed, so that the way back leads here
    if (!selection || !element) return;
    if (!event.target.closest(".cell-choose") && !event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    const rank = Number(element.dataset.rank);
    if (event.shiftKey) {
      getSelection()?.removeAllRanges();
      this.extend(rank);
    } else {
      this.#setCurrent(rank);
      this.toggle();
    }
  }

  #showSelection() {
    const { selection } = this.#options;
    for (const [rank, element] of this.#elements) {
      const row = this.#rows?.row(rank);
      if (row) showChosen(element, selection.has(featureKey(row)));
    }
  }

  #tell() {
    clearTimeout(this.#telling);
    this.#telling = setTimeout(() => this.#moved(), MOVE_MS);
  }

  #moved() {
    clearTimeout(this.#telling);
    this.#telling = 0;
    this.dispatchEvent(new Event("move"));
  }
}

function* inSightFirst(from, first, end, to) {
  for (let rank = first; rank < end; rank++) yield rank;
  for (let rank = end; rank < to; rank++) yield rank;
  for (let rank = first - 1; rank >= from; rank--) yield rank;
}

/** What of a row takes the focus: its link or, while it is not here, itself. @param {HTMLElement|undefined} element */
function focusableOf(element) {
  return /** @type {HTMLElement|null} */ (element?.querySelector(".row-link")) ?? element ?? null;
}

function waitingRow() {
  const props = { role: "row", class: "waiting-row", tabindex: "-1", "aria-busy": "true", dataset: { waiting: "" } };
  return h("div", props, h("span", { role: "gridcell" }), h("span", { role: "gridcell" }));
}

function showChosen(element, chosen) {
  element.setAttribute("aria-selected", String(chosen));
  element.querySelector(".choose")?.setAttribute("aria-pressed", String(chosen));
}

customElements.define("mfn-virtual-list", VirtualList);
