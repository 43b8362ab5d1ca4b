/**
 * Paints points into pixels, without the help of a graphics card: a small round stamp with a soft edge is blended into an
 * image, point by point, some milliseconds for 100,000. It looks the same on every machine and needs no shader.
 */

/** How far a pixel is from the middle: a disc, or a square on its corner, which is told from a disc without its colour. */
const DISTANCE = { disc: (dx, dy) => Math.hypot(dx, dy), diamond: (dx, dy) => Math.abs(dx) + Math.abs(dy) };

/** A shape of a radius in pixels, as [dx, dy, 0…256] of each pixel that it touches. */
function stamp(radius, distance) {
  const reach = Math.ceil(radius);
  const cells = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.max(0, Math.min(1, radius + 0.5 - distance(dx, dy)));
      if (cover > 0) cells.push(dx, dy, Math.round(cover * 256));
    }
  }
  return Int32Array.from(cells);
}

/**
 * How a point looks.
 * @typedef {{rgb: number[], opacity: number, factor?: number, shape?: "disc"|"diamond", above?: boolean}} Look
 *   `factor` makes it larger or smaller than the others; those `above` are painted last
 */

/**
 * @param {ImageData} image painted over
 * @param {number[]} background [r, g, b]
 */
export function clear(image, [r, g, b]) {
  new Uint32Array(image.data.buffer).fill((255 << 24) | (b << 16) | (g << 8) | r);
}

/**
 * @param {ImageData} image
 * @param {Iterable<number>} points in the order in which they are painted
 * @param {Float32Array} x @param {Float32Array} y of the unit square
 * @param {{scale: number, left: number, top: number}} place pixels of the unit, and of its origin
 * @param {(i: number) => number} lookOf an index into `looks`; below 0, it is not painted
 * @param {Look[]} looks
 * @param {number} radius in pixels
 */
export function paint(image, points, x, y, { scale, left, top }, lookOf, looks, radius) {
  const { width, height, data } = image;
  const stamps = looks.map(({ factor = 1, shape = "disc" }) => stamp(radius * factor, DISTANCE[shape]));
  for (const i of points) {
    const which = lookOf(i);
    if (which < 0) continue;
    const cx = Math.round(x[i] * scale + left);
    const cy = Math.round(y[i] * scale + top);
    if (cx < -20 || cy < -20 || cx > width + 20 || cy > height + 20) continue;
    const { rgb, opacity } = looks[which];
    const [r, g, b] = rgb;
    const cells = stamps[which];
    for (let c = 0; c < cells.length; c += 3) {
      const px = cx + cells[c];
      const py = cy + cells[c + 1];
      if (px < 0 || py < 0 || px >= width || py >= height) continue;
      const alpha = (cells[c + 2] * opacity) / 256;
      const at = (py * width + px) * 4;
      data[at] += (r - data[at]) * alpha;
      data[at + 1] += (g - data[at + 1]) * alpha;
      data[at + 2] += (b - data[at + 2]) * alpha;
    }
  }
}
