/**
 * What the shade of a token in a stream means: its probability, what steering changed there, or one feature.
 *
 * A colour is written as "none", "probability", "kl", or "SOURCE/INDEX" for a feature.
 */
import { formatPercent, formatValue } from "../lib/format.js";

/** Upper bounds of the shades: probability falls from left to right, KL rises. */
export const PROBABILITY_STEPS = [0.05, 0.2, 0.5, 0.8];
export const KL_STEPS = [0.01, 0.1, 0.5, 1.5];
/** Lower bounds, as shares of the feature's strongest activation on the corpus; the first counts from above 0. */
export const FEATURE_STEPS = [0, 0.25, 0.5, 1];

/** @param {string} colour @returns {"none"|"probability"|"kl"|"feature"} */
export const kindOf = (colour) => (colour.includes("/") ? "feature" : /** @type {any} */ (colour));

/** "SOURCE/INDEX" → {source, index}. @param {string} colour */
export function featureOf(colour) {
  const cut = colour.lastIndexOf("/");
  return cut < 1 ? null : { source: colour.slice(0, cut), index: Number(colour.slice(cut + 1)) };
}

/** What a feature did where the token was predicted, or null where nobody followed it. */
export function valueOf(token, { source, index }) {
  const same = (other) => other.source === source && other.index === index;
  return (token.watched?.find(same) ?? token.fired?.find(same))?.value ?? null;
}

/**
 * Shade 0 (none) to 4 (strongest) of a token.
 * @param {import("../pages/steer-run.js").Token} token
 * @param {string} colour
 * @param {number} maximum the feature's strongest activation on the corpus; other colours need none
 */
export function shade(token, colour, maximum = NaN) {
  const kind = kindOf(colour);
  if (kind === "probability") {
    const probability = Math.exp(token.logprob);
    const step = PROBABILITY_STEPS.findIndex((bound) => probability < bound);
    return step < 0 ? 0 : PROBABILITY_STEPS.length - step;
  }
  const { kl } = token;
  if (kind === "kl" && kl !== null && kl !== undefined) {
    const step = KL_STEPS.findIndex((bound) => kl < bound);
    return step < 0 ? KL_STEPS.length : step;
  }
  if (kind === "feature") {
    const feature = featureOf(colour);
    const value = Math.abs((feature && valueOf(token, feature)) ?? 0);
    return value > 0 ? FEATURE_STEPS.filter((share) => value >= share * maximum).length : 0;
  }
  return 0;
}

/** The legend: what each shade, 1 to 4, stands for. @param {string} colour @param {number} maximum */
export function legendSteps(colour, maximum) {
  const kind = kindOf(colour);
  if (kind === "probability") return PROBABILITY_STEPS.toReversed().map((bound) => `<${formatPercent(bound).replace(".0", "")}`);
  if (kind === "kl") return KL_STEPS.map((bound) => `≥${bound}`);
  if (kind === "feature") return FEATURE_STEPS.map((share) => (share === 0 ? ">0" : `≥${formatValue(share * maximum)}`));
  return [];
}
