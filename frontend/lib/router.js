/**
 * Routes over the History API. A URL holds the whole state of its page: navigation inside one page calls the page's
 * `onRoute` again on the same element; navigation to another page replaces the element.
 */

import { reducedMotion } from "./settings.js";

const CHANGE = "mfn:locationchange";
const SLOW_MS = 200; // until it is said that something is being fetched

/** Go to a path of this app: `navigate("/browse?layer=3")`. `state` is kept beside the address in the history entry. */
export function navigate(path, { replace = false, state = {} } = {}) {
  const url = new URL(path, location.href);
  if (url.href === location.href) replace = true;
  if (replace) history.replaceState({ ...state, scroll: 0 }, "", url);
  else history.pushState({ ...state, scroll: 0 }, "", url);
  dispatchEvent(new CustomEvent(CHANGE));
}

/**
 * Change some of the query, keeping the rest; `null`, `undefined` and "" remove a key.
 * `replace` (default) makes no history entry: use it for typing. `silent` does not call `onRoute` (the page already shows it).
 */
export function setQuery(patch, { replace = true, silent = false } = {}) {
  const url = new URL(location.href);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || value === undefined || value === "") url.searchParams.delete(key);
    else url.searchParams.set(key, String(value));
  }
  if (url.href === location.href) return;
  if (replace) history.replaceState(history.state, "", url);
  else history.pushState({ scroll: 0 }, "", url);
  if (!silent) dispatchEvent(new CustomEvent(CHANGE));
}

/** A place in a list, counted from 0, as a query has it; 0 for what is none. */
export function rankOf(value) {
  const rank = Number(value);
  return Number.isInteger(rank) && rank > 0 ? rank : 0;
}

/** "/feature/:source/:index" against a path -> { source, index } or null. */
export function matchPath(pattern, path) {
  const names = pattern.split("/");
  const parts = path.replace(/\/+$/, "").split("/");
  if (pattern === "/") return path === "/" ? {} : null;
  if (names.length !== parts.length) return null;
  const params = {};
  for (const [i, name] of names.entries()) {
    if (name.startsWith(":")) {
      if (!parts[i]) return null;
      try {
        params[name.slice(1)] = decodeURIComponent(parts[i]);
      } catch {
        return null; // "%zz" is no page of ours
      }
    } else if (name !== parts[i]) return null;
  }
  return params;
}

export class Router {
  #outlet;
  #routes;
  #visit = 0;

  /**
   * routes: [{ path, tag, load, nav }]. `load()` imports the module that defines custom element `tag`.
   * onChange(route | null) runs after each change of page or URL; onError(error, retry) when a page's module cannot be loaded.
   */
  constructor(outlet, routes, { notFound, onChange, onError }) {
    this.#outlet = outlet;
    this.#routes = routes;
    this.notFound = notFound;
    this.onChange = onChange;
    this.onError = onError;
  }

  start() {
    history.scrollRestoration = "manual";
    addEventListener(CHANGE, () => this.#show({ moved: true }));
    history.replaceState({ ...history.state }, ""); // every entry of ours has a state
    addEventListener("popstate", (event) => {
      if (event.state !== null) this.#show({ moved: true }); // an entry without one: a link within the page, which has nothing new to show
    });
    addEventListener("scrollend", () => history.replaceState({ ...history.state, scroll: scrollY }, ""));
    document.addEventListener("click", (event) => this.#onClick(event));
    return this.#show({ moved: false });
  }

  #onClick(event) {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[href]");
    if (!link || link.target || link.hasAttribute("download")) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || (url.hash && url.pathname === location.pathname && url.search === location.search)) return;
    if (!this.#find(url.pathname).route) return;
    event.preventDefault();
    navigate(url.pathname + url.search + url.hash);
  }

  #find(path) {
    for (const route of this.#routes) {
      const params = matchPath(route.path, path);
      if (params) return { route, params };
    }
    return { route: null, params: {} };
  }

  async #show({ moved }) {
    const visit = ++this.#visit;
    const { route, params } = this.#find(location.pathname);
    const tag = route?.tag ?? this.notFound;
    const scroll = history.state?.scroll ?? 0;
    const slow = setTimeout(() => document.documentElement.toggleAttribute("data-fetching", true), SLOW_MS);
    const done = () => {
      clearTimeout(slow);
      if (visit === this.#visit) document.documentElement.removeAttribute("data-fetching");
    };
    try {
      await route?.load();
    } catch (error) {
      done();
      if (visit === this.#visit) this.onError(error, () => this.#show({ moved }));
      return;
    }
    if (visit !== this.#visit) return done();
    let ready;
    let samePath = true;
    const change = () => {
      if (visit !== this.#visit) return;
      let page = this.#outlet.firstElementChild;
      samePath = page?.dataset.path === location.pathname;
      if (page?.localName !== tag) {
        page = document.createElement(tag);
        this.#outlet.replaceChildren(page);
      }
      page.dataset.path = location.pathname;
      if (moved && !samePath) this.#outlet.focus({ preventScroll: true });
      this.onChange(route);
      ready = page.onRoute?.({ params, query: new URLSearchParams(location.search), path: location.pathname });
      if (!samePath) scrollTo(0, scroll);
    };
    if (moved && this.#outlet.firstElementChild?.localName !== tag) await withTransition(change);
    else change();
    try {
      await ready;
    } finally {
      done();
    }
    if (visit === this.#visit && moved && !samePath && scroll > 0) scrollTo(0, scroll);
  }
}

/** Makes a change of page; the old one fades into the new one where the browser can do that and the reader wants it. */
async function withTransition(change) {
  if (!document.startViewTransition || document.hidden || reducedMotion()) return change();
  const root = document.documentElement;
  root.toggleAttribute("data-changing", true);
  const { updateCallbackDone, ready, finished } = document.startViewTransition(change);
  ready.catch(() => {}); // another change came in between, or the window was hidden: the page is there all the same
  finished.catch(() => {}).finally(() => root.removeAttribute("data-changing"));
  await updateCallbackDone;
}
