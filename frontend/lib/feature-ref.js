/** The ways in which people write which feature they mean. */

const SHORT = /^\s*l?(\d{1,3})\s*(?:[·/.:#]|\s)\s*(\d+)\s*$/i;
const WHOLE = /^\s*([\w.-]*-[0-9a-f]{8,})\s*[/:]\s*(\d+)\s*$/;

/** "L3 · 812", "3/812", "l3 812" → {layer, index}; null for anything else. */
export function parseFeatureId(query) {
  const match = SHORT.exec(query);
  return match ? { layer: Number(match[1]), index: Number(match[2]) } : null;
}

/** "mfn.resid_mid.3-1a2b3c4d/812", or with ":" → {source, index}; null for anything else. */
export function parseFeatureKey(query) {
  const match = WHOLE.exec(query);
  return match ? { source: match[1], index: Number(match[2]) } : null;
}

/** Either of them → {source, layer, index} of a feature that these sources have; null for what none of them has. */
export function findReference(query, sources) {
  const key = parseFeatureKey(query);
  const id = key ? null : parseFeatureId(query);
  const source = sources.find((one) => (key ? one.key === key.source : id && one.layer === id.layer));
  const index = (key ?? id)?.index;
  return source && index !== undefined && index < source.n_features ? { source: source.key, layer: source.layer, index } : null;
}
