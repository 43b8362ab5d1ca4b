/** A line drawn around points, with fewer corners; fetched for the first one that is drawn. */

import { MOST_CORNERS } from "./lasso.js";

/** @typedef {import("./lasso.js").Ring} Ring */

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
