/**
 * `<mfn-run-history>`: what was written before, in this browser, to be had again; folded away, and its list (run-list.js)
 * is fetched when it is opened.
 *
 * Event (bubbling): `runrestore` {detail: {run}} with a `KeptRun` of lib/steer-history.js.
 */
import { fill, h } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { steerHistory } from "../lib/steer-history.js";
import { parts } from "../pages/steer-parts.js";
import { history as text } from "../pages/steer-strings.js";
import { errorView, skeleton } from "./state-view.js";

export class RunHistory extends HTMLElement {
  #controller = new AbortController();
  #count;
  #details;
  #place;

  connectedCallback() {
    this.#controller = new AbortController();
    if (!this.#details) this.#build();
    steerHistory.watch(() => this.#show(), { signal: this.#controller.signal });
    this.#show();
  }

  disconnectedCallback() {
    this.#controller.abort();
  }

  #build() {
    this.#count = h("span", { class: "muted small num" });
    this.#place = h("div", {});
    this.#details = h("details", { class: "run-history", ontoggle: () => this.#details.open && this.#fetchList() },
      h("summary", {}, h("h2", {}, text.title), this.#count), this.#place);
    this.append(this.#details);
  }

  #show() {
    const { length } = steerHistory.list();
    this.#count.textContent = length ? plural(length, text.run, text.runs) : text.empty;
  }

  async #fetchList() {
    if (this.#place.querySelector("mfn-run-list")) return;
    fill(this.#place, skeleton(2));
    try {
      await parts.runs();
      fill(this.#place, h("mfn-run-list"));
    } catch (error) {
      fill(this.#place, errorView(error, () => this.#fetchList()));
    }
  }
}

customElements.define("mfn-run-history", RunHistory);
