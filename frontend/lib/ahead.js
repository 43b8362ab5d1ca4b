/** Code that is fetched when it is first needed, or a moment before. */

import { NOT_SERVED } from "./api.js";

/**
 * `load()`, called once: whoever asks while it is on its way, or afterwards, gets the same. One that failed is tried anew.
 * @template T @param {() => Promise<T>} load @returns {() => Promise<T>}
 */
export function once(load) {
  /** @type {Promise<T>|null} */ let asked = null;
  return () => (asked ??= load().catch((error) => {
    asked = null;
    dispatchEvent(new CustomEvent(NOT_SERVED)); // most likely the server is away: whoever watches over it looks at once
    throw error;
  }));
}

const SIGNS = ["pointermove", "pointerdown", "keydown", "focusin"];
const whenIdle = globalThis.requestIdleCallback ?? setTimeout; // Safari has none

/**
 * Calls `load()` at the first sign that somebody is about to do something within an element. What fails then is tried
 * again, and told of, where it is needed.
 * @param {HTMLElement} within @param {() => Promise<any>} load @param {AbortSignal} signal when nobody can any more
 */
export function ahead(within, load, signal) {
  const seen = new AbortController();
  const go = () => {
    seen.abort();
    whenIdle(() => load().catch(() => {}));
  };
  for (const sign of SIGNS) within.addEventListener(sign, go, { signal: AbortSignal.any([signal, seen.signal]), passive: true });
}
