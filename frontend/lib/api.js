/**
 * Calls to the server; those that a page or a click needs later are in the files api-….js beside this one. Each function returns parsed JSON or throws `ApiError`; pass `{ signal }` to cancel.
 * The shapes are the server's schemas (see /openapi.json).
 *
 * @typedef {{signal?: AbortSignal}} Options
 */

import { sentence } from "./format.js";
import { strings } from "./strings.js";

/** Told to the window when a request was not served (no answer, or 503): whoever watches over the server looks at once. */
export const NOT_SERVED = "mfn:notserved";

/** A request that did not give an answer: `status` 0 means that the server was not reached at all. */
export class ApiError extends Error {
  /**
   * @param {{status: number, code: string, message: string, hint?: string|null, field?: string|null,
   *   retryAfter?: number|null, conflict?: any}} answer
   */
  constructor({ status, code, message, hint = null, field = null, retryAfter = null, conflict = null }) {
    super(sentence(message));
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.hint = hint && sentence(hint);
    this.field = field;
    /** What happened meanwhile, where what was sent rests on a state that is no longer so. */
    this.conflict = conflict;
    /** Seconds to wait before another try, when the server said so. */
    this.retryAfter = retryAfter;
  }
}

/** True for the error that `AbortController.abort()` causes: nobody waits for that answer any more. */
export function isAbort(error) {
  return error?.name === "AbortError";
}

async function errorOf(response) {
  const fallback = { status: response.status, code: "http_error", message: strings.errors.status(response.status) };
  const retryAfter = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  /** @type {any} */ let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
  }
  return new ApiError({
    ...fallback,
    ...(typeof body?.error?.message === "string" ? body.error : {}),
    conflict: body?.conflict ?? null,
    status: response.status,
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : null,
  });
}

/** @type {(() => Promise<boolean>)|null} */ let logIn = null;

/** `handler()` is called when the server asks who one is; where it resolves to true, the request is sent once more. */
export function onLoginNeeded(handler) {
  logIn = handler;
}

/**
 * `also`: statuses beside 2xx whose body is an answer and no error. `ask`: whether to have people log in where the server
 * wants that; what was to be sent is sent afterwards.
 */
export async function send(path, /** @type {Options & {method?: string, body?: any, accept?: string, also?: number[], ask?: boolean}} */ options = {}) {
  const { method = "GET", body, signal, accept = "application/json", also = [], ask = true } = options;
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (isAbort(error)) throw error;
    dispatchEvent(new CustomEvent(NOT_SERVED));
    throw new ApiError({ status: 0, code: "unreachable", message: strings.errors.unreachable, hint: strings.errors.unreachableHint });
  }
  if (response.ok || also.includes(response.status)) return response;
  if (response.status === 401 && ask && logIn) {
    const error = await errorOf(response);
    if (!(await logIn())) throw error;
    return send(path, { ...options, ask: false });
  }
  if (response.status === 503) dispatchEvent(new CustomEvent(NOT_SERVED));
  throw await errorOf(response);
}

/** A request whose answer is JSON; for the files beside this one. */
export async function json(path, options) {
  const response = await send(path, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError({ status: response.status, code: "bad_answer", message: strings.errors.badAnswer });
  }
}

/** `{ a: 1, b: null, c: "" }` -> `"?a=1"`: values that say nothing are left out. */
export function queryString(params) {
  const entries = Object.entries(params ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(entries.map(([key, value]) => [key, String(value)])).toString();
  return query ? `?${query}` : "";
}

/** f=SOURCE:INDEX of each. */
const named = (features) => new URLSearchParams(features.map(({ source, index }) => ["f", `${source}:${index}`]));

const featureUrl = (source, index) => `/api/features/${encodeURIComponent(source)}/${encodeURIComponent(index)}`;

export const api = {
  health: (options) => json("/api/health", options),
  model: (options) => json("/api/model", options),
  /** How the server stands; also answered while it is not ready. */
  readiness: (options) => json("/readyz", { ...options, also: [503] }),

  /** params: those of FeatureQuery, such as source, layer, q, by, status, min_rate, sort, order, limit, cursor, at. */
  features: (params, options) => json(`/api/features${queryString(params)}`, options),
  /** Rows of these features, as lists have them, in this order: { items }. At most 100. */
  featureRows: (features, options) => json(`/api/features/rows?${named(features)}`, options),
  feature: (source, index, options) => json(featureUrl(source, index), options),

  /** The map as bytes: see lib/map-points.js. params: layer, method, site. @returns {Promise<ArrayBuffer>} */
  mapPoints: async (params, options) => (await send(`/api/map/points${queryString(params)}`, { ...options, accept: "application/vnd.mfn.map, application/json" })).arrayBuffer(),

  /** Cosines of what features write: { features, cosines: number[][] }. */
  cosines: (features, options) => json(`/api/cosines?${named(features)}`, options),

  /**
   * Says something of a feature: { id, event: { kind, … }, reason, base_version }. `id` is a client UUID: sending it
   * twice is saying it once. `base_version` is the version of the feature that it rests on.
   */
  say: (source, index, body, options) => json(`${featureUrl(source, index)}/events`, { ...options, method: "POST", body }),
  decide: (source, index, body, options) => json(`${featureUrl(source, index)}/decisions`, { ...options, method: "POST", body }),
  redact: (source, index, body, options) => json(`${featureUrl(source, index)}/redactions`, { ...options, method: "POST", body }),

  /** What stands of a feature; params: at. */
  discussion: (source, index, params, options) => json(`${featureUrl(source, index)}/labels${queryString(params)}`, options),
  /** What the labels of a feature score, and how far they agree: { labels: [{ label, scores }], agreement }. */
  scores: (source, index, options) => json(`${featureUrl(source, index)}/scores`, options),
  /** Everything said of a feature, the latest first; params: before, limit. */
  featureHistory: (source, index, params, options) => json(`${featureUrl(source, index)}/history${queryString(params)}`, options),
  /** Who has said something of features: { items: [{ id, name }] }. */
  /** Everything that somebody said, of all features; params: before, limit. */
  personHistory: (id, params, options) => json(`/api/labels/people/${encodeURIComponent(id)}/history${queryString(params)}`, options),
  authors: (options) => json("/api/labels/people", options),
  /** How far people agree; params: question, period, source, tag, since, until. */
  agreement: (params, options) => json(`/api/labels/agreement${queryString(params)}`, options),
  /** Labels by what they score: { items, total }; params: scorer, order, at, limit. */
  scoreList: (params, options) => json(`/api/labels/scores${queryString(params)}`, options),
  /** Runs that suggest names and score labels: { items, busy, held_out, reader, budget }; starting, stopping, going on. */
  runs: (options) => json("/api/labels/runs", options),
  startRun: (body, options) => json("/api/labels/runs", { ...options, method: "POST", body }),
  stopRun: (id, options) => json(`/api/labels/runs/${encodeURIComponent(id)}/stop`, { ...options, method: "POST" }),
  resumeRun: (id, options) => json(`/api/labels/runs/${encodeURIComponent(id)}/resume`, { ...options, method: "POST" }),
  /** Says where this tab is: { tab, source, index, typing }. */
  present: (body, options) => json("/api/live/presence", { ...options, method: "POST", body }),

  /** Campaigns and how far each is; lib/api-campaigns.js has the rest. */
  campaigns: (options) => json("/api/campaigns", options),

  /** Where one feature fires in a text: { tokens: [{ id, text }], values: [number] }. */
  activations: (source, index, text, options) =>
    json(`${featureUrl(source, index)}/activations`, { ...options, method: "POST", body: { text } }),

  inspect: ({ text, top }, options) => json("/api/inspect", { ...options, method: "POST", body: { text, top } }),

  /** Dashboards from elsewhere; pages/foreign.js has the rest. */
  foreign: (options) => json("/api/foreign", options),

  /** Who is in, what one is called without accounts, and leaving. lib/api-accounts.js has the rest of what accounts take. */
  session: (options) => json("/api/session", options),
  rename: (name, options) => json("/api/session", { ...options, method: "PUT", body: { name } }),
  logOut: (options) => json("/api/session", { ...options, method: "DELETE", ask: false }),

  presets: (options) => json("/api/presets", options),
  importPresets: (body, options) => json("/api/presets/import", { ...options, method: "POST", body }),
  deletePreset: (id, options) => json(`/api/presets/${encodeURIComponent(id)}`, { ...options, method: "DELETE" }),
};
