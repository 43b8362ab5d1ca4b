/** The previews of feature-preview.js, whose code is fetched when somebody first points at a row or comes to it. */

import { withSheets } from "../lib/sheets.js";

/**
 * @param {HTMLElement} within @param {AbortSignal} signal when the page is left
 * @returns {{hide: () => void}}
 */
export function previews(within, signal) {
  /** @type {{hide: () => void}|null} */ let there = null;
  const fetched = new AbortController();
  const fetchIt = async (/** @type {Event} */ event) => {
    if (event instanceof PointerEvent && event.pointerType === "touch") return;
    fetched.abort();
    const loaded = await withSheets(import("./feature-preview.js"), "preview").catch(() => null); // without it the list is as good
    if (loaded && !signal.aborted) there = loaded.previews(within, signal, event);
  };
  for (const name of ["pointerover", "focusin"]) within.addEventListener(name, fetchIt, { signal: AbortSignal.any([signal, fetched.signal]) });
  return { hide: () => there?.hide() };
}
