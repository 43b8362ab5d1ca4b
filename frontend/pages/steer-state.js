/**
 * The state of the Steer page as plain data, and its three other forms: a URL, a request body, a curl command.
 *
 * A URL reads `/steer?p=PROMPT&f=SOURCE/INDEX,MODE,VALUE,SCOPE&n=80`; `f` repeats, one an intervention, and everything
 * after the index may be left out. Settings that have their default value are left out too. Nothing here touches the
 * document, so every form can be tested alone.
 *
 * @typedef {{kind: "both"|"prompt"|"generation"|"range", start?: number|null, stop?: number|null}} Scope
 * @typedef {{source: string, index: number, mode: string, value: number|null, scope: Scope, condition: number|null}} Intervention
 *   `value` is in units of the code; null means "not chosen yet" and becomes the feature's maximum once that is known.
 * @typedef {{prompt: string, interventions: Intervention[], settings: Record<string, number>}} SteerState
 */

export const MODES = ["set", "add", "scale", "ablate"];

/** Name in the API → parameter in the URL, default, limits and step of the form field. */
export const SETTINGS = {
  max_new_tokens: { param: "n", initial: 80, min: 1, max: 400, step: 1, label: "Tokens" },
  temperature: { param: "t", initial: 0, min: 0, max: 5, step: 0.1, label: "Temperature" },
  top_p: { param: "top_p", initial: 1, min: 0.01, max: 1, step: 0.01, label: "Top-p" },
  seed: { param: "seed", initial: 0, min: 0, max: 2 ** 31 - 1, step: 1, label: "Seed" },
};

/** @returns {SteerState} nothing typed, nothing steered, default settings. */
export function emptyState() {
  const settings = Object.fromEntries(Object.entries(SETTINGS).map(([name, s]) => [name, s.initial]));
  return { prompt: "", interventions: [], settings };
}

/** A complete intervention from any part of one. */
export function intervention(part) {
  const { source, index, mode = "set", value = null, scope = { kind: "both" }, condition = null } = part;
  return { source, index, mode, value, scope, condition };
}

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
  const [target, mode = "set", value = "", scope = "both"] = text.split(",");
  const cut = target.lastIndexOf("/");
  const source = target.slice(0, cut);
  const index = Number(target.slice(cut + 1));
  if (cut < 1 || !Number.isInteger(index) || index < 0 || target.endsWith("/")) return null;
  const parsedScope = parseScope(scope);
  const number = value === "" ? null : Number(value);
  if (!MODES.includes(mode) || parsedScope === null || (number !== null && !Number.isFinite(number))) return null;
  return intervention({ source, index, mode, value: number, scope: parsedScope });
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
    const { source, index, mode, value, scope } = intervention(part);
    const words = [`${source}/${index}`, mode, value === null ? "" : String(value), formatScope(scope)];
    const plain = ["", "set", "", "both"];
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
  return interventions.filter(({ mode, value }) => mode === "ablate" || value !== null).map(({ source, index, mode, value, scope, condition }) => ({
    source,
    index,
    mode,
    value: mode === "ablate" ? 0 : value,
    scope: { kind: scope.kind, start: scope.start ?? null, stop: scope.stop ?? null },
    condition,
  }));
}

/** The body of POST /api/generate. @param {SteerState} state */
export function requestBody({ prompt, interventions, settings }) {
  return { prompt, ...settings, compare: true, interventions: requestInterventions(interventions) };
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
 * A set value cannot be negative (codes are ReLU); an added one can; a factor runs from off to threefold and on.
 * @param {string} mode
 * @param {number} maximum
 * @returns {{min: number, max: number, step: number, initial: number}}
 */
export function valueRange(mode, maximum) {
  if (mode === "scale") return { min: 0, max: 8, step: 0.05, initial: 2 };
  const top = maximum > 0 && Number.isFinite(maximum) ? maximum : 1;
  const end = roundUp(3 * top);
  const step = 10 ** Math.floor(Math.log10(end / 100));
  const initial = Math.round(top / step) * step;
  return { min: mode === "add" ? -end : 0, max: end, step, initial: Number(initial.toPrecision(6)) };
}

/** The next number with two digits: 13.7 → 14, 0.237 → 0.24. */
function roundUp(value) {
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.ceil(value / unit) * unit).toPrecision(6));
}
