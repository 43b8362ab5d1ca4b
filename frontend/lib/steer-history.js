/**
 * Runs of the Steer page that came to their end, the newest first. They are kept in this browser alone (localStorage), and
 * as long as the tab where that is switched off.
 *
 * @typedef {{id: string, at: string, path: string, colour: string, facts: import("../pages/steer-share.js").RunFacts|null,
 *   changes: {step: number, interventions: object[]}[], texts: {plain: string, steered: string}}} KeptRun
 *   `path`: of the state it was begun with; `facts`: its moves are empty, `changes` has them; null where the model was away
 */
import { uuid } from "./dom.js";

const KEY = "mfn-steer-history";
const DRAFT = "mfn-steer-draft";
const MOST = 40;
const LONGEST = 1_200; // characters of a text; what is kept is for reading, the run is written again
const LONGEST_PATH = 20_000;

let memory = null;

/** @returns {KeptRun[]} */
function read() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((run) => typeof run?.path === "string" && run.path.startsWith("/steer")) : [];
  } catch {
    return memory ?? [];
  }
}

/** As many of the newest as there is room for. */
function store(runs) {
  if (!runs.length) return localStorage.removeItem(KEY);
  try {
    localStorage.setItem(KEY, JSON.stringify(runs));
  } catch (error) {
    if (error.name !== "QuotaExceededError" || runs.length === 1) throw error;
    store(runs.slice(0, Math.ceil(runs.length / 2)));
  }
}

function write(runs) {
  memory = runs;
  try {
    store(runs);
  } catch {
    // storage is switched off: what is in memory holds as long as the tab
  }
  dispatchEvent(new CustomEvent("mfn:steer-history"));
}

export const steerHistory = {
  list: read,

  /** Keeps a run. One of the same state takes the place of the last. @param {Omit<KeptRun, "id"|"at">} run */
  add({ path, colour, facts, changes, texts }) {
    if (path.length > LONGEST_PATH) return;
    const cut = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
    const kept = { id: uuid(), at: new Date().toISOString(), path, colour, facts, changes, texts: { plain: cut(texts.plain), steered: cut(texts.steered) } };
    const rest = read().filter((other) => other.path !== path || other.changes.length > 0 || changes.length > 0);
    write([kept, ...rest].slice(0, MOST));
  },

  /** @param {string} id */
  remove(id) {
    write(read().filter((run) => run.id !== id));
  },

  clear() {
    write([]);
  },

  /** Call `listener()` after each change, in this tab or another one, until `signal` aborts. */
  watch(listener, { signal }) {
    addEventListener("mfn:steer-history", listener, { signal });
    addEventListener("storage", (event) => event.key === KEY && listener(), { signal });
  },
};

/** What the Steer page showed last in this tab, as a path: a feature from another page can be added to it. */
export const steerDraft = {
  /** @returns {string|null} */
  read() {
    try {
      return sessionStorage.getItem(DRAFT);
    } catch {
      return null;
    }
  },

  /** @param {string} path */
  keep(path) {
    try {
      sessionStorage.setItem(DRAFT, path);
    } catch {
      // without storage there is nothing to go on with
    }
  },
};
