/**
 * From a scrollbar to a place in a list that may be longer than any element can be high (browsers stop at some 17 to 33
 * million pixels). Both ends of the bar run pixel for pixel, so that the first and the last rows scroll like any page; the
 * stretch between is scaled, and by it a short movement is still meant in pixels: see `moved`.
 */

const MOST_PX = 4_000_000;
const END_PX = 100_000;
/** A scroll event that moves further than so many views is a jump: the thumb was dragged, or the bar was clicked. */
const JUMP_VIEWS = 3;

export class ScrollScale {
  /** @param {number} length pixels of all rows @param {number} view pixels that are seen of them */
  constructor(length, view) {
    this.length = length;
    this.view = view;
    /** Pixels of the element that scrolls. */
    this.height = Math.min(length, MOST_PX);
  }

  get isScaled() {
    return this.length > this.height;
  }

  /** The last place from which a view is full. */
  get last() {
    return Math.max(0, this.length - this.view);
  }

  #between() {
    return (this.length - 2 * END_PX) / (this.height - 2 * END_PX);
  }

  /** The place in the list that a scroll position stands for. */
  toPlace(scroll) {
    if (!this.isScaled || scroll <= END_PX) return scroll;
    if (scroll >= this.height - END_PX) return this.length - (this.height - scroll);
    return END_PX + (scroll - END_PX) * this.#between();
  }

  /** The scroll position that stands for a place in the list. */
  toScroll(place) {
    if (!this.isScaled || place <= END_PX) return place;
    if (place >= this.length - END_PX) return this.height - (this.length - place);
    return END_PX + (place - END_PX) / this.#between();
  }

  /** The place after a scroll event: short ways are meant in pixels, long ones as a share of the bar. */
  moved(place, from, to) {
    const short = this.isScaled && Math.abs(to - from) <= JUMP_VIEWS * this.view;
    return Math.min(this.last, Math.max(0, short ? place + to - from : this.toPlace(to)));
  }

  /** Whether the bar no longer stands where the place is (after short ways), so that it should be put there. */
  hasDrifted(place, scroll) {
    return this.isScaled && Math.abs(this.toScroll(place) - scroll) > 1;
  }

  /** Whether the bar is at an end of its way, and the list is not: the next short way could not be gone. */
  isStuck(place, scroll) {
    if (!this.hasDrifted(place, scroll)) return false;
    const room = 2 * this.view;
    return (scroll < room && place > scroll) || (scroll > this.height - this.view - room && place < this.last);
  }
}
