/** Numbers and cells of evidence documents, as mfn_core.evidence.cells writes them in reports. */

import { featureId } from "./format.js";

const LOCALE = "en-GB";
const NOTHING = "–";
const minus = (text) => text.replace(/^-/, "−");

/** Three decimals, or three digits below 0.01; whole numbers with commas: 0.843, 0.0012, 12,345. */
export function number(value) {
  const size = Math.abs(value);
  if (!Number.isFinite(size)) return NOTHING;
  if (Number.isInteger(value) || size >= 1000) return minus(Math.round(value).toLocaleString(LOCALE));
  if (size >= 100) return minus(value.toFixed(1));
  return minus(size >= 0.01 ? value.toFixed(3) : value.toLocaleString(LOCALE, { maximumSignificantDigits: 3 }));
}

/** As per cent, to a tenth: 84.3%. */
export function share(value) {
  const percent = 100 * value;
  const small = percent !== 0 && Math.abs(percent) < 0.1;
  return minus(small ? `${percent.toLocaleString(LOCALE, { maximumSignificantDigits: 2 })}%` : `${percent.toFixed(1)}%`);
}

/** One cell, as plain text. What is of another kind than its column says is shown as it is. */
export function cell(value, kind) {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (kind === "feature" && isFeature(value)) return featureId(value[0], value[1]);
  if (typeof value === "number") return kind === "share" ? share(value) : number(value);
  if (Array.isArray(value)) return value.map((each) => cell(each, "number")).join(", ");
  if (typeof value === "object") return Object.entries(value).map(([key, each]) => `${key} ${cell(each, "number")}`).join(", ");
  return String(value);
}

/** The interval beside a column's number: "0.81 to 0.87"; empty where there is none. */
export function interval(row, { key, kind }) {
  const [low, high] = [row[`${key}_low`], row[`${key}_high`]];
  return Number.isFinite(low) && Number.isFinite(high) ? `${cell(low, kind)} to ${cell(high, kind)}` : "";
}

export const isFeature = (value) => Array.isArray(value) && value.length === 2 && value.every(Number.isInteger);
