/** The address of a comparison: `/compare?f=SOURCE:INDEX&f=…`, two to four features. */

export const FEWEST = 2;
export const MOST = 4;

/** @param {{ source: string, index: number }[]} features */
export function comparePath(features) {
  const query = features.slice(0, MOST).map(({ source, index }) => `f=${encodeURIComponent(source)}:${index}`);
  return query.length ? `/compare?${query.join("&")}` : "/compare";
}

/** @returns {{ features: { source: string, index: number }[], problems: string[] }} each feature once; what cannot be read. */
export function parseCompare(query) {
  const features = new Map();
  const problems = [];
  for (const asked of query.getAll("f")) {
    const cut = asked.lastIndexOf(":");
    const index = asked.slice(cut + 1);
    if (cut < 1 || !/^\d{1,9}$/.test(index)) problems.push(asked);
    else features.set(`${asked.slice(0, cut)}:${Number(index)}`, { source: asked.slice(0, cut), index: Number(index) });
  }
  return { features: [...features.values()], problems };
}
