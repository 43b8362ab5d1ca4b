/**
 * The state of the Steer page as plain data: what there is to set, and complete settings out of any part of them. Nothing
 * here touches the document.
 *
 * @typedef {{kind: "both"|"prompt"|"generation"|"range", start?: number|null, stop?: number|null}} Scope
 * @typedef {{index: number, above: number, source: string|null}} Condition `source` null: the intervention's own
 * @typedef {{start: number, steps: number}} Ramp
 * @typedef {{source: string, index: number, mode: string, value: number|null, scope: Scope, condition: Condition|null,
 *   ramp: Ramp|null}} Intervention
 *   `value` is in units of the code; null means "not chosen yet" and becomes the feature's maximum once that is known.
 * @typedef {{id: number, bias: number, text: string}} TokenBias `text`: how the token reads, "" where nobody knows
 * @typedef {{stop: string[], logit_bias: TokenBias[]} & Record<string, any>} Settings the others, of SETTINGS, are numbers
 * @typedef {{prompt: string, interventions: Intervention[], settings: Settings}} SteerState
 * @typedef {Partial<Intervention> & {source: string, index: number}} SomeIntervention what is not said is as `intervention` has it
 */

export const MODES = ["set", "add", "scale", "ablate"];
/** What the server takes: stop strings, their length, biases of tokens, and how large one may be. */
export const LIMITS = { stops: 16, stopLength: 256, biases: 1024, bias: 100 };

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
  return { prompt: "", interventions: [], settings: settingsOf({}) };
}

/**
 * Complete settings from any part of them; biases also as the API has them, {id: bias}.
 * @param {{stop?: string[]|string, logit_bias?: TokenBias[]|Record<string, number>} & Record<string, any>} some
 * @returns {Settings}
 */
export function settingsOf({ stop = [], logit_bias: biases = [], ...numbers }) {
  const initial = Object.fromEntries(Object.entries(SETTINGS).map(([name, setting]) => [name, setting.initial]));
  const listed = Array.isArray(biases) ? biases : Object.entries(biases).map(([id, bias]) => ({ id: Number(id), bias, text: "" }));
  return { ...initial, ...numbers, stop: typeof stop === "string" ? [stop] : stop, logit_bias: listed };
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
