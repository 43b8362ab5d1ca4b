/** Calls about collections, which only pages that show some fetch. */

import { json, queryString } from "./api.js";

const urlOf = (id) => `/api/collections/${encodeURIComponent(id)}`;

export const collectionPath = (id) => `/collection/${encodeURIComponent(id)}`;

export const collections = {
  /** All of them: { items }; params: feature (SOURCE:INDEX: those that it is in), deleted. */
  list: (params, options) => json(`/api/collections${queryString(params)}`, options),
  /** One with its features; params: at. */
  one: (id, params, options) => json(`${urlOf(id)}${queryString(params)}`, options),
  /** { id, name, description, items: [{ source, index, note }] }; `id` is a client UUID. Gives the collection. */
  make: (body, options) => json("/api/collections", { ...options, method: "POST", body }),
  /** { id, base_version, event: { kind, … } }. Gives the collection as it stands then. */
  act: (id, body, options) => json(`${urlOf(id)}/events`, { ...options, method: "POST", body }),
  /** { id, event: { kind: "redact", target }, reason }, for admins. Gives the collection as it stands then. */
  redact: (id, body, options) => json(`${urlOf(id)}/redactions`, { ...options, method: "POST", body }),
  /** What was done to it, the latest first; params: before, limit. */
  history: (id, params, options) => json(`${urlOf(id)}/history${queryString(params)}`, options),
};
