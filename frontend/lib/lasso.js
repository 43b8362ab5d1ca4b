/**
 * A line drawn around points of the unit square: closed, and with few enough corners to stand in a URL.
 *
 * @typedef {[number, number][]} Ring corners in order
 */

const MOST_CORNERS = 60;
const STEPS = 9999; // a corner is written as two whole numbers up to this

/** Leave out the corners that matter least, until few remain. @param {Ring} ring @returns {Ring} */
export function simplified(ring) {
  const corners = ring.filter(([x, y], i) => i === 0 || Math.hypot(x - ring[i - 1][0], y - ring[i - 1][1]) > 1e-9);
  const area = ([ax, ay], [bx, by], [cx, cy]) => Math.abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay));
  while (corners.length > MOST_CORNERS) {
    // Visvalingam's measure: how much area goes with a corner. One in each of as many stretches as must go, at most.
    const step = Math.max(3, Math.floor(corners.length / (corners.length - MOST_CORNERS)));
    const gone = new Set();
    for (let begin = 0; begin + step <= corners.length && corners.length - gone.size > MOST_CORNERS; begin += step) {
      let [least, which] = [Number.POSITIVE_INFINITY, begin];
      for (let i = begin; i < begin + step; i++) {
        const lost = area(corners[(i || corners.length) - 1], corners[i], corners[(i + 1) % corners.length]);
        if (lost < least) [least, which] = [lost, i];
      }
      gone.add(which);
    }
    const kept = corners.filter((_, i) => !gone.has(i));
    corners.splice(0, corners.length, ...kept);
  }
  return corners;
}

/** "12.3400_..." for a URL. @param {Ring} ring */
export const formatRing = (ring) => ring.map((corner) => corner.map((value) => Math.round(Math.max(0, Math.min(1, value)) * STEPS)).join(".")).join("_");

/** @returns {Ring|null} null for what is no line around anything */
export function parseRing(text) {
  if (!/^\d{1,4}\.\d{1,4}(_\d{1,4}\.\d{1,4}){2,99}$/.test(text ?? "")) return null;
  return text.split("_").map((corner) => corner.split(".").map((value) => Number(value) / STEPS));
}

/** Is a place inside? By the even-odd rule, as the canvas fills it. @param {Ring} ring */
export function inside(ring, x, y) {
  let odd = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [ax, ay] = ring[i];
    const [bx, by] = ring[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

/** The least rectangle around it: [left, top, right, bottom]. @param {Ring} ring */
export function bounds(ring) {
  const [xs, ys] = [ring.map(([x]) => x), ring.map(([, y]) => y)];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}
