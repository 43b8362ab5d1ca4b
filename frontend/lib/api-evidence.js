/** Calls to the server about what experiments found. As in lib/api.js. */

import { json } from "./api.js";

const url = (key) => `/api/evidence/${encodeURIComponent(key)}`;

export const evidenceApi = {
  all: (options) => json("/api/evidence", options),
  document: (key, options) => json(url(key), options),
  run: (key, options) => json(`/api/evidence/runs/${encodeURIComponent(key)}`, options),
  jsonPath: url,
  htmlPath: (key) => `${url(key)}/html`,
};
