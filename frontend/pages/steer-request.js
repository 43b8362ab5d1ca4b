/** The state of the Steer page as requests to the server. Nothing here touches the document. */
import { rampable } from "./steer-model.js";

const MOST_WATCHED = 32; // as the server has it

/** Settings as the API takes them; what says nothing is left out. @param {Partial<import("./steer-model.js").Settings>} settings */
export function requestSettings({ stop = [], logit_bias: biases = [], ...numbers }) {
  const body = { ...numbers };
  if (stop.length) body.stop = stop;
  if (biases.length) body.logit_bias = Object.fromEntries(biases.map(({ id, bias }) => [id, bias]));
  return body;
}

/** Interventions as the API takes them and says them; one whose value is not chosen yet does nothing and is left out. */
export function requestInterventions(interventions) {
  return interventions.filter(({ mode, value }) => mode === "ablate" || value !== null).map((item) => ({
    source: item.source,
    index: item.index,
    mode: item.mode,
    value: item.mode === "ablate" ? 0 : item.value,
    scope: { kind: item.scope.kind, start: item.scope.start ?? null, stop: item.scope.stop ?? null },
    condition: item.condition?.source === item.source ? { ...item.condition, source: null } : item.condition,
    ramp: rampable(item) ? item.ramp : null,
  }));
}

/** The features whose values are followed from token to token: what is turned, what conditions ask for, and `more`. */
export function watchedFeatures(interventions, more = []) {
  const turned = interventions.flatMap(({ source, index, condition }) => [
    { source, index },
    ...(condition ? [{ source: condition.source ?? source, index: condition.index }] : []),
  ]);
  const all = [...more, ...turned];
  const found = new Map(all.map((feature) => [`${feature.source}/${feature.index}`, feature]));
  return [...found.values()].slice(0, MOST_WATCHED);
}

/**
 * The body of POST /api/generate.
 * @param {Omit<import("./steer-model.js").SteerState, "settings"> & {settings: Partial<import("./steer-model.js").Settings>}} state
 * @param {{changes?: {step: number, interventions: object[]}[], watch?: {source: string, index: number}[]}} options
 *   `changes`: what the interventions become on the way, a run's record; `watch`: features to follow beside those turned
 */
export function requestBody({ prompt, interventions, settings }, { changes = [], watch = [] } = {}) {
  /** @type {Record<string, any>} */
  const body = { prompt, ...requestSettings(settings), compare: true, interventions: requestInterventions(interventions) };
  const watched = watchedFeatures(interventions, watch);
  if (watched.length) body.watch = watched;
  if (changes.length) body.changes = changes;
  return body;
}
