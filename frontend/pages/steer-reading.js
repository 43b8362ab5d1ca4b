/** Links of the Steer page, read back: state, colouring, features to be added. Nothing here touches the document. */
import { LIMITS, MODES, SETTINGS, emptyState, intervention, rampable } from "./steer-model.js";

const LAST_TOKEN_ID = 2 ** 31 - 1;

/** "both" | "prompt" | "generation" | "generation:0-8" | "3-7" → Scope; null when it is none of these. */
export function parseScope(text) {
  if (["both", "prompt", "generation"].includes(text)) return { kind: text };
  const span = /^(generation:)?(\d+)-(\d*)$/.exec(text ?? "");
  if (!span) return null;
  const start = Number(span[2]);
  const stop = span[3] === "" ? null : Number(span[3]);
  return stop !== null && stop <= start ? null : { kind: span[1] ? "generation" : "range", start, stop };
}

/** "SOURCE/INDEX,MODE,VALUE,SCOPE,…" → Intervention; null when it is none. */
export function parseIntervention(text) {
  const [target, mode = "set", value = "", scope = "both", ...more] = text.split(",");
  const feature = parseTarget(target);
  const parsedScope = parseScope(scope);
  const number = value === "" ? null : Number(value);
  if (!feature || !MODES.includes(mode) || parsedScope === null || (number !== null && !Number.isFinite(number))) return null;
  const found = intervention({ ...feature, mode, value: number, scope: parsedScope });
  for (const word of more) {
    if (word.startsWith("ramp:")) found.ramp = parseRamp(word.slice(5));
    else if (word.startsWith("if:")) found.condition = parseCondition(word.slice(3));
    else return null;
    if ((word.startsWith("ramp:") && !found.ramp) || (word.startsWith("if:") && !found.condition)) return null;
  }
  return found.ramp && !rampable(found) ? null : found;
}

/** "SOURCE/INDEX" → {source, index}, or null. */
function parseTarget(text) {
  const cut = text.lastIndexOf("/");
  const index = Number(text.slice(cut + 1));
  return cut < 1 || !Number.isInteger(index) || index < 0 || text.endsWith("/") ? null : { source: text.slice(0, cut), index };
}

/** "1.5:8" → {start, steps}, or null. */
function parseRamp(text) {
  const [start, steps] = text.split(":").map((word) => (word === "" ? NaN : Number(word)));
  return Number.isFinite(start) && Number.isInteger(steps) && steps >= 1 ? { start, steps } : null;
}

/** "7", "7:0.5", "SOURCE/7:0.5" → Condition, or null. */
function parseCondition(text) {
  const [target, above = "0"] = text.split(":");
  const found = target.includes("/") ? parseTarget(target) : /^\d+$/.test(target) ? { index: Number(target) } : null;
  return found && above !== "" && Number(above) >= 0 ? { source: null, ...found, above: Number(above) } : null;
}

/**
 * Read the state out of a query string. What cannot be read is left out and named in `problems`, so that a damaged link
 * still opens and says what it lost.
 * @param {string} search
 * @returns {{state: import("./steer-model.js").SteerState, problems: string[]}}
 */
export function parseQuery(search) {
  const params = new URLSearchParams(search);
  const state = emptyState();
  const problems = [];
  state.prompt = params.get("p") ?? "";
  for (const text of params.getAll("f")) {
    const parsed = parseIntervention(text);
    if (parsed) state.interventions.push(parsed);
    else problems.push(`“${text}” in the link is not a feature and what to do with it.`);
  }
  for (const [name, { param, min, max, label }] of Object.entries(SETTINGS)) {
    if (!params.has(param)) continue;
    const number = params.get(param)?.trim() ? Number(params.get(param)) : NaN;
    if (number >= min && number <= max) state.settings[name] = number;
    else problems.push(`${label} in the link must lie between ${min} and ${max}.`);
  }
  state.settings.stop = params.getAll("stop").filter((stop) => stop.length > 0 && stop.length <= LIMITS.stopLength).slice(0, LIMITS.stops);
  for (const text of params.getAll("bias").slice(0, LIMITS.biases)) {
    const bias = parseBias(text);
    if (bias) state.settings.logit_bias.push(bias);
    else problems.push(`“${text}” in the link is not a token's number and its bias.`);
  }
  return { state, problems };
}

/** "262:-5: the" → TokenBias, or null. */
function parseBias(text) {
  const [, id, bias, name = ""] = /^(\d{1,10}):(-?\d+(?:\.\d+)?)(?::([\s\S]*))?$/.exec(text) ?? [];
  if (id === undefined || Number(id) > LAST_TOKEN_ID || Math.abs(Number(bias)) > LIMITS.bias) return null;
  return { id: Number(id), bias: Number(bias), text: name };
}

/** `add=SOURCE/INDEX`, repeated: features to turn beside what the page showed last. @param {URLSearchParams} params */
export const parseAdded = (params) => params.getAll("add").map(parseTarget).filter((feature) => feature !== null);

/** `c=…`: what shades mean, as components/token-colour.js has it. @param {URLSearchParams} params */
export function parseColour(params) {
  const colour = params.get("c") ?? "";
  return colour === "probability" || colour === "kl" || parseTarget(colour) ? colour : "none";
}
