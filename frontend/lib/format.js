/** Numbers, names and paths as people read them. */

import { pieces } from "./tokens.js";

const LOCALE = "en-GB";
const integer = new Intl.NumberFormat(LOCALE);
const compact = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const significant = new Map();

function rounded(value, digits) {
  if (!significant.has(digits)) significant.set(digits, new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: digits }));
  return significant.get(digits).format(value);
}

/** 12345 -> "12,345" */
export const formatInteger = (value) => (Number.isFinite(value) ? integer.format(value) : "–");

/** plural(2, "token", "tokens") -> "2 tokens" */
export const plural = (count, one, many) => `${formatInteger(count)} ${count === 1 ? one : many}`;

/** 6400000 -> "6.4M" */
export const formatCompact = (value) => (Number.isFinite(value) ? compact.format(value).replace(/m$/, "M") : "–");

/** An activation or another quantity without a unit, to two decimals or two significant digits: 3.14, 0.0042. */
export function formatValue(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  return size >= 0.1 ? value.toFixed(size >= 100 ? 0 : 2) : rounded(value, 2);
}

/** +1.23 or −0.40, with a true minus sign. */
export function formatSigned(value) {
  if (!Number.isFinite(value)) return "–";
  return `${value < 0 ? "−" : "+"}${formatValue(Math.abs(value))}`;
}

/** Token R² or another share of variance, which may be negative: 0.23, −0.04; null where it is not known. */
export const formatR2 = (value) => (Number.isFinite(value) ? value.toFixed(2).replace(/^-0\.00$/, "0.00").replace("-", "−") : "–");

/** A share of one as a percentage, about two significant digits: 0.000123 -> "0.012%", 0.0999 -> "10.0%", −0.02 -> "−2.0%". */
export function formatPercent(share) {
  if (!Number.isFinite(share)) return "–";
  if (share === 0) return "0%";
  if (share < 0) return `−${formatPercent(-share)}`;
  const percent = share * 100;
  if (percent < 0.001) return "<0.001%";
  const digits = percent >= 1 ? 1 : percent >= 0.1 ? 2 : 3;
  return `${percent.toFixed(digits)}%`;
}

/** "2026-11-21T10:00:00Z" -> "21 Nov 2026, 10:00" in the reader's time zone. */
export function formatTime(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString(LOCALE, { dateStyle: "medium", timeStyle: "short" });
}

/** "L3 · 812": how a feature is called everywhere it has no room for more. */
export const featureId = (layer, index) => `L${layer} · ${index}`;

/** The block number in a source key: "mfn.resid_mid.3-1a2b3c4d" -> 3. */
export function layerOf(source) {
  const match = /\.(\d+)-[0-9a-f]+$/.exec(source);
  return match ? Number(match[1]) : null;
}

export const featurePath = (source, index) => `/feature/${encodeURIComponent(source)}/${index}`;

/**
 * What to call a feature in running text: its label, else the tokens it fires on most.
 * @param {{label?: string|null, top_tokens?: (string|{text: string})[]}} feature
 */
export function featureName({ label, top_tokens: tokens }) {
  if (label) return label;
  return (tokens ?? [])
    .slice(0, 3)
    .map((token) => visible(typeof token === "string" ? token : token.text).trim() || "␣")
    .join(", ");
}

/** "no such feature" -> "No such feature.": the server's messages are clauses, the page shows sentences. */
export function sentence(text) {
  const first = text.charAt(0).toLocaleUpperCase(LOCALE) + text.slice(1);
  return /[.!?…:)]$/.test(first) ? first : `${first}.`;
}

/** @type {Record<string, string>} */
const SIGNS = { break: "↵", tab: "⇥", blank: "⍽" };

/** A token's text with the characters nobody sees made visible, for where there is only plain text: a tooltip, a plot. */
export function visible(text) {
  return pieces(text)
    .map(({ kind, text: part, name }) => (kind === "control" ? `‹${name}›` : (SIGNS[kind] ?? part)))
    .join("");
}

export { isPartialBytes, isSpecialToken } from "./tokens.js";
