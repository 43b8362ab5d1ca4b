/**
 * What happens while the page is open: one event stream for the tab, opened with its first listener and closed with its
 * last. The browser itself connects again after a break and is told what it missed.
 */

import { api } from "./api.js";
import { uuid } from "./dom.js";

/** Made anew with every page, so that two tabs are two, also where one is a copy of the other. */
const TAB = uuid();
const STILL_HERE_MS = 20_000;

const listeners = new Set();
/** @type {EventSource|null} */ let stream = null;
let tabs = [];
/** @type {{source: string|null, index: number|null, typing: boolean}} */ let here = { source: null, index: null, typing: false };
let timer = 0;

/**
 * Calls `listener({ kind, … })` until `signal` aborts: "said" with the `event`, "presence" with the other `tabs`,
 * "collections" where one has changed, and "renewed" where something may have been missed, so that what is shown should be read again.
 */
export function listen(listener, { signal }) {
  if (signal.aborted) return;
  listeners.add(listener);
  signal.addEventListener("abort", () => leave(listener), { once: true });
  if (stream === null) open();
  else listener({ kind: "presence", tabs });
}

/** Says where this tab is. */
export function show(source, index, typing = false) {
  if (source === here.source && index === here.index && typing === here.typing) return;
  here = { source, index, typing };
  tell();
}

function open() {
  const opened = (stream = new EventSource(`/api/live?tab=${TAB}`));
  opened.addEventListener("hello", () => {
    tell();
    send({ kind: "renewed" });
  });
  opened.addEventListener("reset", () => send({ kind: "renewed" }));
  opened.addEventListener("said", ({ data }) => send({ kind: "said", event: JSON.parse(data) }));
  opened.addEventListener("collections", () => send({ kind: "collections" }));
  opened.addEventListener("presence", ({ data }) => {
    tabs = JSON.parse(data).tabs.filter(({ tab }) => tab !== TAB);
    send({ kind: "presence", tabs });
  });
}

function leave(listener) {
  listeners.delete(listener);
  if (listeners.size > 0) return;
  clearTimeout(timer);
  stream?.close();
  stream = null;
  tabs = [];
  here = { source: null, index: null, typing: false };
}

function send(message) {
  for (const listener of [...listeners]) listener(message);
}

/** Nobody waits for it: if it fails, the others see this tab where it was, until it says so again. */
function tell() {
  clearTimeout(timer);
  if (stream === null) return;
  api.present({ tab: TAB, ...here }).catch(() => {});
  timer = setTimeout(tell, STILL_HERE_MS);
}
