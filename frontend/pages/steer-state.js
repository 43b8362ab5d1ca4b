/** The state of the Steer page: what it is (steer-model), as a link (steer-link) and back (steer-reading), as requests (steer-request). */
export * from "./steer-link.js";
export * from "./steer-model.js";
export * from "./steer-reading.js";
export * from "./steer-request.js";
export * from "../lib/value-range.js";
