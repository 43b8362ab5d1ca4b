/** A small drawing of an interval against its bound. The numbers stand beside it in words. */

import { svg } from "../lib/dom.js";

const [WIDTH, HEIGHT, EDGE, MARGIN] = [200, 22, 6, 0.12];

/** The interval as a bar, its number as a dot, the bound as a line, and where the condition holds as a tint. Null where a number is missing. */
export function intervalMark({ value, low, high, bound, sense }) {
  if (![value, low, high, bound].every(Number.isFinite)) return null;
  const ends = [Math.min(low, bound, value), Math.max(high, bound, value)];
  const room = (ends[1] - ends[0]) * MARGIN || 1;
  const at = (number) => EDGE + ((WIDTH - 2 * EDGE) * (number - ends[0] + room)) / (ends[1] - ends[0] + 2 * room);
  const [from, to] = sense === "at least" || sense === "above" ? [at(bound), WIDTH] : [0, at(bound)];
  const middle = HEIGHT / 2;
  return svg(
    "svg",
    { class: "interval-mark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
    svg("rect", { class: "where", x: from, y: 2, width: to - from, height: HEIGHT - 4 }),
    svg("line", { class: "bound", x1: at(bound), x2: at(bound), y1: 0, y2: HEIGHT }),
    svg("line", { class: "span", x1: at(low), x2: at(high), y1: middle, y2: middle }),
    svg("circle", { class: "value", cx: at(value), cy: middle, r: 4 }),
  );
}
