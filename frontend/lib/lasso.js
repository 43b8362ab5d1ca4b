/**
 * A line drawn around points of the unit square: closed, and with few enough corners to stand in a URL.
 *
 * @typedef {[number, number][]} Ring corners in order
 */

export const MOST_CORNERS = 60;
const STEPS = 9999; // a corner is written as two whole numbers up to this

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
