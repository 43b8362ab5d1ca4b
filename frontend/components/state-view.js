/**
 * <state-view kind="loading|empty|error" heading hint action href>: what stands where content is not there (yet).
 * With `action`, a button (event "action") or, with `href` too, a link.
 */

import { fill, h } from "../lib/dom.js";
import { onceBack } from "../lib/store.js";
import { strings } from "../lib/strings.js";

class StateView extends HTMLElement {
  static observedAttributes = ["kind", "heading", "hint", "action", "href"];

  connectedCallback() {
    this.#render();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#render();
  }

  #render() {
    const [kind, heading, hint, action, href] = StateView.observedAttributes.map((name) => this.getAttribute(name));
    this.setAttribute("role", kind === "error" ? "alert" : "status");
    const press = () => this.dispatchEvent(new CustomEvent("action"));
    fill(
      this,
      heading && h("p", { class: "state-heading" }, heading),
      hint && h("p", { class: "state-hint" }, hint),
      action && (href ? h("a", { class: "button", href }, action) : h("button", { type: "button", onclick: press }, action)),
    );
  }
}

customElements.define("state-view", StateView);

/** Statuses after which the same question may get another answer. */
const PASSING = new Set([401, 408, 409, 425, 429]);

/**
 * What is said of an error. What is no `ApiError` is mostly code that could not be fetched, and says so in words that are
 * not for people.
 * @param {{status?: number|null, message?: string, hint?: string|null}} error
 * @returns {{message: string, hint: string|null}}
 */
export function saidOf({ status = null, message = "", hint = null }) {
  if (status === null) return { message: strings.errors.notFetched, hint: strings.errors.notFetchedHint };
  return { message: message || strings.errors.title, hint };
}

/**
 * A state-view for an error, with a button that calls `retry` where that may help. Where the server was away, nobody has to
 * press: once it is back, `retry` is called.
 */
export function errorView(error, retry) {
  const { status = null } = error;
  const said = saidOf(error);
  const again = retry && (status === null || status < 400 || status >= 500 || PASSING.has(status));
  const view = h("state-view", {
    kind: "error",
    heading: said.message,
    hint: said.hint,
    action: again ? strings.errors.retry : null,
  });
  if (!again) return view;
  const asked = new AbortController();
  const ask = () => {
    asked.abort();
    if (view.isConnected) retry();
  };
  view.addEventListener("action", ask, { once: true });
  if (!status || status === 503) onceBack(ask, asked);
  return view;
}

/** Grey bars where `lines` lines of text will stand; after some seconds, a word that this is slow. */
export function skeleton(lines, className = "") {
  return h(
    "div",
    { class: `skeleton ${className}`, role: "status", "aria-label": strings.states.loading },
    Array.from({ length: lines }, () => h("span", { class: "skeleton-line" })),
    h("p", { class: "skeleton-slow muted small" }, strings.states.slow),
  );
}
