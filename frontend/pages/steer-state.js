/**
 * The state of the Steer page as plain data, and its three other forms: a URL, a request body, a curl command.
 *
 * A URL reads `/steer?p=PROMPT&f=SOURCE/INDEX,MODE,VALUE,SCOPE,ramp:START:STEPS,if:INDEX:ABOVE&n=80`; `f` repeats, one an
 * intervention, and everything after the index may be left out (`if:SOURCE/INDEX` asks another source). Settings that have
 * their default value are left out too. Nothing here touches the document, so every form can be tested alone.
 *
 * @typedef {{kind: "both"|"prompt"|"generation"|"range", start?: number|null, stop?: number|null}} Scope
 * @typedef {{index: number, above: number, source: string|null}} Condition `source` null: the intervention's own
 * @typedef {{start: number, steps: number}} Ramp
 * @typedef {{source: string, index: number, mode: string, value: number|null, scope: Scope, condition: Condition|null,
 *   ramp: Ramp|null}} Intervention
 *   `value` is in units of the code; null means "not chosen yet" and becomes the feature's maximum once that is known.
 * @typedef {{prompt: string, interventions: Intervention[], settings: Record<string, number>}} SteerState
 */

export const MODES = ["set", "add", "scale", "ablate"];
const MOST_WATCHED = 32; // as the server has it

/** Name in the API → parameter in the URL, default, limits and step of the form field. */
export const SETTINGS = {
  max_new_tokens: { param: "n", initial: 80, min: 1, max: 400, step: 1, label: "Tokens" },
  temperature: { param: "t", initial: 0, min: 0, max: 5, step: 0.1, label: "Temperature" },
  top_p: { param: "top_p", initial: 1, min: 0.01, max: 1, step: 0.01, label: "Top-p" },
  top_k: { param: "top_k", initial: 0, min: 0, max: 100_000, step: 1, label: "Top-k" },
  min_p: { param: "min_p", initial: 0, min: 0, max: 1, step: 0.01, label: "Min-p" },
  repetition_penalty: { param: "rep", initial: 1, min: 0.1, max: 10, step: 0.05, label: "Repetition penalty" },
  frequency_penalty: { param: "freq", initial: 0, min: -5, max: 5, step: 0.1, label: "Frequency penalty" },
  presence_penalty: { param: "pres", initial: 0, min: -5, max: 5, step: 0.1, label: "Presence penalty" },
  seed: { param: "seed", initial: 0, min: 0, max: 2 ** 31 - 1, step: 1, label: "Seed" },
};

/** @returns {SteerState} nothing typed, nothing steered, default settings. */
export function emptyState() {
  const settings = Object.fromEntries(Object.entries(SETTINGS).map(([name, s]) => [name, s.initial]));
  return { prompt: "", interventions: [], settings };
}

/** A complete intervention from any part of one. */
export function intervention(part) {
  const { source, index, mode = "set", value = null, scope = { kind: "both" }, condition = null, ramp = null } = part;
  return { source, index, mode, value, scope, condition: conditionOf(condition), ramp };
}

/** A condition from any form that the API takes: a number of the same source, or an object. */
function conditionOf(condition) {
  if (condition === null) return null;
  const { index, above = 0, source = null } = typeof condition === "number" ? { index: condition } : condition;
  return { index, above, source };
}

/** Does a ramp go with this mode and scope? */
export const rampable = ({ mode, scope }) => mode !== "ablate" && scope.kind !== "prompt";

/** "both" | "prompt" | "generation" | "generation:0-8" | "3-7" → Scope; null when it is none of these. */
export function parseScope(text) {
  if (["both", "prompt", "generation"].includes(text)) return { kind: text };
  const span = /^(generation:)?(\d+)-(\d*)$/.exec(text ?? "");
  if (!span) return null;
  const start = Number(span[2]);
  const stop = span[3] === "" ? null : Number(span[3]);
  return stop !== null && stop <= start ? null : { kind: span[1] ? "generation" : "range", start, stop };
}

/** @param {Scope} scope */
export function formatScope(scope) {
  const span = `${scope.start ?? 0}-${scope.stop ?? ""}`;
  if (scope.kind === "range") return span;
  return scope.kind === "generation" && span !== "0-" ? `generation:${span}` : scope.kind;
}

function parseIntervention(text) {
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
  return found && above !== "" && Number(above) >= 0 ? conditionOf({ ...found, above: Number(above) }) : null;
}

function formatCondition({ index, above, source }) {
  return `if:${source ? `${source}/` : ""}${index}${above ? `:${above}` : ""}`;
}

/**
 * Read the state out of a query string. What cannot be read is left out and named in `problems`, so that a damaged link
 * still opens and says what it lost.
 * @param {string} search
 * @returns {{state: SteerState, problems: string[]}}
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
  return { state, problems };
}

/** encodeURIComponent, but what a query may carry as it is stays readable. */
function encode(text) {
  return encodeURIComponent(text).replace(/%20/g, "+").replace(/%2F/g, "/").replace(/%2C/g, ",").replace(/%3A/g, ":");
}

/** The state as a path with query, `/steer` alone for the empty state. @param {Partial<SteerState>} state */
export function steerPath({ prompt = "", interventions = [], settings = {} }) {
  const parts = [];
  if (prompt) parts.push(`p=${encode(prompt)}`);
  for (const part of interventions) {
    const { source, index, mode, value, scope, condition, ramp } = intervention(part);
    const words = [`${source}/${index}`, mode, value === null ? "" : String(value), formatScope(scope)];
    const plain = ["", "set", "", "both"];
    if (ramp && rampable({ mode, scope })) words.push(`ramp:${ramp.start}:${ramp.steps}`);
    if (condition) words.push(formatCondition(condition));
    while (words.length > 1 && words.at(-1) === plain[words.length - 1]) words.pop();
    parts.push(`f=${encode(words.join(","))}`);
  }
  for (const [name, { param, initial }] of Object.entries(SETTINGS)) {
    const value = settings[name] ?? initial;
    if (value !== initial) parts.push(`${param}=${encode(String(value))}`);
  }
  return parts.length ? `/steer?${parts.join("&")}` : "/steer";
}

/** Interventions as the API takes them; one whose value is not chosen yet does nothing and is left out. */
export function requestInterventions(interventions) {
  return interventions.filter(({ mode, value }) => mode === "ablate" || value !== null).map((item) => ({
    source: item.source,
    index: item.index,
    mode: item.mode,
    value: item.mode === "ablate" ? 0 : item.value,
    scope: { kind: item.scope.kind, start: item.scope.start ?? null, stop: item.scope.stop ?? null },
    condition: item.condition,
    ramp: rampable(item) ? item.ramp : null,
  }));
}

/** The features whose values are followed from token to token: what is turned, and what conditions ask for. */
export function watchedFeatures(interventions) {
  const all = interventions.flatMap(({ source, index, condition }) => [
    { source, index },
    ...(condition ? [{ source: condition.source ?? source, index: condition.index }] : []),
  ]);
  const found = new Map(all.map((feature) => [`${feature.source}/${feature.index}`, feature]));
  return [...found.values()].slice(0, MOST_WATCHED);
}

/**
 * The body of POST /api/generate.
 * @param {SteerState} state
 * @param {{step: number, interventions: object[]}[]} changes what the interventions become on the way: a run's record
 */
export function requestBody({ prompt, interventions, settings }, changes = []) {
  const body = { prompt, ...settings, compare: true, interventions: requestInterventions(interventions) };
  if (interventions.length) body.watch = watchedFeatures(interventions);
  if (changes.length) body.changes = changes;
  return body;
}

/** A shell command that sends the same request and prints the stream. @param {SteerState} state @param {string} origin */
export function curlCommand(state, origin) {
  const json = JSON.stringify(requestBody(state), null, 2).replaceAll("'", "'\\''");
  return [
    `curl -N '${origin}/api/generate'`,
    "-H 'Content-Type: application/json'",
    "-H 'Accept: text/event-stream'",
    `-d '${json}'`,
  ].join(" \\\n  ");
}

/**
 * Where a slider runs, from the feature's strongest activation in the corpus.
 * A set value cannot be negative (codes are ReLU) unless the source's values are signed; an added one can; a factor runs
 * from off to threefold and on.
 * @param {string} mode
 * @param {number} maximum
 * @param {boolean} signed
 * @returns {{min: number, max: number, step: number, initial: number}}
 */
export function valueRange(mode, maximum, signed = false) {
  if (mode === "scale") return { min: signed ? -8 : 0, max: 8, step: 0.05, initial: 2 };
  const top = maximum > 0 && Number.isFinite(maximum) ? maximum : 1;
  const end = roundUp(3 * top);
  const step = 10 ** Math.floor(Math.log10(end / 100));
  const initial = Math.round(top / step) * step;
  return { min: signed || mode === "add" ? -end : 0, max: end, step, initial: Number(initial.toPrecision(6)) };
}

/** The next number with two digits: 13.7 → 14, 0.237 → 0.24. */
function roundUp(value) {
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.ceil(value / unit) * unit).toPrecision(6));
}
