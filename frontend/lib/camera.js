/** What part of the unit square is seen, and how large: `x`, `y` in the middle of the view, `zoom` 1 where all of it fits. */

export const MOST_ZOOM = 400;
const LEAST_ZOOM = 0.8;
const MARGIN = 0.92; // so much of the shorter side the square takes at zoom 1

export class Camera {
  x = 0.5;
  y = 0.5;
  zoom = 1;
  width = 1;
  height = 1;

  /** Pixels that the side of the square takes. */
  get scale() {
    return Math.min(this.width, this.height) * MARGIN * this.zoom;
  }

  /** @returns {[number, number]} */
  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  /** @returns {[number, number]} */
  toMap(left, top) {
    return [(left - this.width / 2) / this.scale + this.x, (top - this.height / 2) / this.scale + this.y];
  }

  /** [left, top, right, bottom] of what is seen, with so many pixels around it. */
  view(around = 0) {
    return [...this.toMap(-around, -around), ...this.toMap(this.width + around, this.height + around)];
  }

  /** Move by pixels. */
  pan(dx, dy) {
    this.set({ x: this.x - dx / this.scale, y: this.y - dy / this.scale });
  }

  /** Come nearer by a factor; what is at this place of the screen stays there. */
  zoomAt(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = this.toMap(left, top);
    this.set({ zoom: this.zoom * factor });
    const [nowX, nowY] = this.toMap(left, top);
    this.set({ x: this.x + x - nowX, y: this.y + y - nowY });
  }

  /** Any of the three; they stay where something can be seen. */
  set({ x = this.x, y = this.y, zoom = this.zoom }) {
    const held = (value, least, most, initial) => (Number.isFinite(value) ? Math.max(least, Math.min(most, value)) : initial);
    this.zoom = held(zoom, LEAST_ZOOM, MOST_ZOOM, 1);
    this.x = held(x, 0, 1, 0.5);
    this.y = held(y, 0, 1, 0.5);
  }

  get isWhole() {
    return this.zoom === 1 && this.x === 0.5 && this.y === 0.5;
  }
}
