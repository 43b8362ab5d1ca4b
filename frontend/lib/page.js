/** What all pages share. A page is one custom element; the router gives it the URL through `onRoute`. */

import { announce } from "./dom.js";
import { strings } from "./strings.js";

export class Page extends HTMLElement {
  #controller = new AbortController();

  /** Aborts when the page leaves the document: pass it to fetches, listeners, subscriptions and shortcuts. */
  get signal() {
    return this.#controller.signal;
  }

  /** Set the document's title, and tell screen readers where they are. */
  setTitle(title) {
    document.title = title ? `${title} · ${strings.appName}` : strings.appName;
    if (title) announce(title);
  }

  /** Override: { params, query: URLSearchParams, path }. Called on arrival and on each change of the page's URL. */
  onRoute(_route) {}

  /** Build the page here when it enters the document; call super when overriding. */
  connectedCallback() {
    if (this.#controller.signal.aborted) this.#controller = new AbortController();
  }

  disconnectedCallback() {
    this.#controller.abort();
  }
}
