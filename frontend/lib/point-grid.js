/** Points of the unit square, sorted into cells, so that those near a place are found without looking at all. */

const PER_CELL = 8;

export class PointGrid {
  /** @param {Float32Array} x @param {Float32Array} y both from 0 to 1 */
  constructor(x, y) {
    this.x = x;
    this.y = y;
    this.side = Math.max(1, Math.min(256, Math.ceil(Math.sqrt(x.length / PER_CELL))));
    const cells = new Uint32Array(x.length);
    const starts = new Uint32Array(this.side * this.side + 1);
    for (let i = 0; i < x.length; i++) {
      cells[i] = this.#cell(y[i]) * this.side + this.#cell(x[i]);
      starts[cells[i] + 1]++;
    }
    for (let cell = 0; cell < this.side * this.side; cell++) starts[cell + 1] += starts[cell];
    this.starts = starts.slice();
    this.points = new Uint32Array(x.length);
    for (let i = 0; i < x.length; i++) this.points[starts[cells[i]]++] = i;
  }

  #cell(value) {
    return Math.max(0, Math.min(this.side - 1, Math.floor(value * this.side)));
  }

  /** Points of the cells that touch a rectangle: all that lie in it, and some around it. */
  *near(left, top, right, bottom) {
    for (let row = this.#cell(top); row <= this.#cell(bottom); row++) {
      const begin = this.starts[row * this.side + this.#cell(left)];
      const end = this.starts[row * this.side + this.#cell(right) + 1];
      for (let i = begin; i < end; i++) yield this.points[i];
    }
  }

  /** The nearest point within a distance, or -1. @param {(i: number) => boolean} [allowed] */
  nearest(x, y, within, allowed = () => true) {
    let best = -1;
    let least = within * within;
    for (const i of this.near(x - within, y - within, x + within, y + within)) {
      const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
      if (distance <= least && allowed(i)) [best, least] = [i, distance];
    }
    return best;
  }
}
