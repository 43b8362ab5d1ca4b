/**
 * The state of the Steer page as a link; steer-reading.js reads it back.
 *
 * It reads `/steer?p=PROMPT&f=SOURCE/INDEX,MODE,VALUE,SCOPE,ramp:START:STEPS,if:INDEX:ABOVE&n=80`; `f` repeats, one an
 * intervention, and everything after the index may be left out (`if:SOURCE/INDEX` asks another source). `stop=TEXT` and
 * `bias=ID:BIAS:TOKEN` repeat, too. Settings that have their default value are left out.
 */
import { encode } from "../lib/steer-feature.js";
import { SETTINGS, intervention, rampable, settingsOf } from "./steer-model.js";


/** @param {import("./steer-model.js").Scope} scope */
export function formatScope(scope) {
  const span = `${scope.start ?? 0}-${scope.stop ?? ""}`;
  if (scope.kind === "range") return span;
  return scope.kind === "generation" && span !== "0-" ? `generation:${span}` : scope.kind;
}

function formatCondition({ index, above, source }) {
  return `if:${source ? `${source}/` : ""}${index}${above ? `:${above}` : ""}`;
}

/** `SOURCE/INDEX,MODE,VALUE,…`, without what says nothing. @param {import("./steer-model.js").Intervention} item */
export function formatIntervention({ source, index, mode, value, scope, condition, ramp }) {
  const words = [`${source}/${index}`, mode, value === null ? "" : String(value), formatScope(scope)];
  const plain = ["", "set", "", "both"];
  if (ramp && rampable({ mode, scope })) words.push(`ramp:${ramp.start}:${ramp.steps}`);
  if (condition) words.push(formatCondition(condition));
  while (words.length > 1 && words.at(-1) === plain[words.length - 1]) words.pop();
  return words.join(",");
}

/** The state as a path with query, `/steer` alone for the empty state. @param {{prompt?: string, interventions?: import("./steer-model.js").SomeIntervention[], settings?: Partial<import("./steer-model.js").Settings>}} state */
export function steerPath({ prompt = "", interventions = [], settings = {} }) {
  const parts = [];
  if (prompt) parts.push(`p=${encode(prompt)}`);
  for (const part of interventions) parts.push(`f=${encode(formatIntervention(intervention(part)))}`);
  for (const [name, { param, initial }] of Object.entries(SETTINGS)) {
    const value = settings[name] ?? initial;
    if (value !== initial) parts.push(`${param}=${encode(String(value))}`);
  }
  for (const stop of settings.stop ?? []) parts.push(`stop=${encode(stop)}`);
  for (const { id, bias, text } of settingsOf(settings).logit_bias) parts.push(`bias=${encode([id, bias, ...(text ? [text] : [])].join(":"))}`);
  return parts.length ? `/steer?${parts.join("&")}` : "/steer";
}

/** The address that turns one more feature of what the Steer page showed last in this tab. */
export const steerAddPath = ({ source, index }) => `/steer?add=${encode(`${source}/${index}`)}`;

/** The same as part of a query, "" for none. @param {string} colour */
export const formatColour = (colour) => (colour === "none" ? "" : `c=${encode(colour)}`);
