/** A histogram as small as a word: bars in one SVG path. Decoration beside numbers, so hidden from screen readers. */

import { svg } from "../lib/dom.js";

const WIDTH = 64;
const HEIGHT = 18;

/** counts: number[]; heights go with the square root, so that rare strong firings stay visible. */
export function sparkline(counts) {
  const top = Math.sqrt(Math.max(1, ...counts));
  const step = WIDTH / counts.length;
  const bars = counts.map((count, i) => {
    if (count <= 0) return "";
    const height = Math.max(1, (Math.sqrt(count) / top) * HEIGHT);
    return `M${(i * step).toFixed(2)} ${HEIGHT}v-${height.toFixed(2)}h${(step - 1).toFixed(2)}v${height.toFixed(2)}z`;
  });
  return svg(
    "svg",
    { class: "sparkline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
    svg("path", { d: bars.join("") }),
  );
}
