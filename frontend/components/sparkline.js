/** A histogram as small as a word: bars in one SVG path. Decoration beside numbers, so hidden from screen readers. */

import { svg } from "../lib/dom.js";

const WIDTH = 64;
const HEIGHT = 18;

/** counts: number[]; heights go with the square root, so that rare strong firings stay visible. Size in CSS pixels. */
export function sparkline(counts, { width = WIDTH, height: full = HEIGHT } = {}) {
  const top = Math.sqrt(Math.max(1, ...counts));
  const step = width / counts.length;
  const bars = counts.map((count, i) => {
    if (count <= 0) return "";
    const height = Math.max(1, (Math.sqrt(count) / top) * full);
    return `M${(i * step).toFixed(2)} ${full}v-${height.toFixed(2)}h${(step - 1).toFixed(2)}v${height.toFixed(2)}z`;
  });
  return svg(
    "svg",
    { class: "sparkline", viewBox: `0 0 ${width} ${full}`, width, height: full, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { d: bars.join("") }),
  );
}
