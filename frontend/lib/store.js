/** State that outlives one page: what the server told us about itself, and answers worth keeping. */

import { NOT_SERVED, api } from "./api.js";

/** A value object with listeners. `set` merges a patch and tells every subscriber the new state. */
export class Store {
  #state;
  #listeners = new Set();

  constructor(state) {
    this.#state = Object.freeze({ ...state });
  }

  get state() {
    return this.#state;
  }

  set(patch) {
    this.#state = Object.freeze({ ...this.#state, ...patch });
    for (const listener of [...this.#listeners]) listener(this.#state);
  }

  /** Call `listener(state)` on each change until `signal` aborts. */
  subscribe(listener, /** @type {{signal?: AbortSignal}} */ { signal } = {}) {
    if (signal?.aborted) return;
    this.#listeners.add(listener);
    signal?.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
  }
}

/** The `capacity` most recently used promises by key. A rejected promise is forgotten, so that a retry asks again. */
export class PromiseCache {
  #entries = new Map();

  constructor(capacity) {
    this.capacity = capacity;
  }

  get(key, load) {
    let entry = this.#entries.get(key);
    if (entry) this.#entries.delete(key);
    else {
      entry = load();
      entry.catch(() => {
        if (this.#entries.get(key) === entry) this.#entries.delete(key);
      });
    }
    this.#entries.set(key, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.capacity) this.#entries.delete(oldest);
    return entry;
  }

  delete(key) {
    this.#entries.delete(key);
  }

  clear() {
    this.#entries.clear();
  }
}

/**
 * health: last answer of /api/health or null; offline: the server did not answer; model: /api/model or null;
 * epoch: grows when everything read from the index became stale, and pages should read it again;
 * wasLoaded: the model was there once, so that one that is not is started again; began: the version that served this page.
 */
export const session = new Store({ health: null, model: null, offline: false, epoch: 0, wasLoaded: false, began: null });

const features = new PromiseCache(64);
/** @type {Promise<any>|null} */ let modelRequest = null;

/** One feature, kept: hovering over a link or standing next to a feature fetches it ahead of the click. */
export function loadFeature(source, index) {
  return features.get(`${source}/${index}`, () => api.feature(source, index));
}

export function forgetFeature(source, index) {
  features.delete(`${source}/${index}`);
}

/** What the model is; asked once, again after an error. */
export function loadModel() {
  modelRequest ??= api.model().then(
    (model) => {
      session.set({ model });
      return model;
    },
    (error) => {
      modelRequest = null;
      throw error;
    },
  );
  return modelRequest;
}

/** Everything read from the index is stale: it was rebuilt, or the server restarted, perhaps with another model. */
function forgetEverything() {
  features.clear();
  modelRequest = null;
  session.set({ epoch: session.state.epoch + 1 });
}

/** Call `listener()` when what a page shows should be read again. */
export function onStale(listener, { signal }) {
  let { epoch } = session.state;
  session.subscribe(
    (state) => {
      if (state.epoch === epoch) return;
      epoch = state.epoch;
      listener();
    },
    { signal },
  );
}

/** Call `listener()` once, when the server and its model are there again, after one of them was not. */
export function onceBack(listener, { signal }) {
  let away = false;
  session.subscribe(
    ({ offline, health }) => {
      const here = !offline && health?.model_loaded;
      if (here && away) listener();
      away = !here;
    },
    { signal },
  );
}

/**
 * Polls /api/health: every second while the index is being built or the server is away, else every 20 s and only
 * while somebody looks at the page; at once when a request was not served.
 */
export function watchHealth({ signal }) {
  let timer = 0;
  let asking = false;
  const check = async () => {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    const before = session.state;
    try {
      const health = await api.health({ signal });
      const rebuilt = before.health && before.health.index.state !== "ready" && health.index.state === "ready";
      session.set({ health, offline: false, wasLoaded: before.wasLoaded || health.model_loaded, began: before.began ?? health.version });
      if (rebuilt || before.offline) forgetEverything();
    } catch (error) {
      if (signal.aborted) return;
      session.set({ offline: error.status === 0 });
    } finally {
      asking = false;
    }
    const { health, offline } = session.state;
    const busy = offline || !health?.model_loaded || health.index.state === "building";
    timer = setTimeout(check, document.hidden ? 60_000 : busy ? 1_000 : 20_000);
  };
  document.addEventListener("visibilitychange", () => !document.hidden && check(), { signal });
  addEventListener("online", check, { signal });
  addEventListener(NOT_SERVED, check, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  return check();
}
