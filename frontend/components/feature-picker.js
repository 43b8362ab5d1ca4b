/**
 * `<mfn-feature-picker>`: find a feature by its label, its tokens, the texts it fires in, or its id, and pick it.
 *
 * A combobox (ARIA 1.2). What searches (feature-search.js) is fetched when somebody points at the field or comes to it; what
 * was typed before it is there is searched then, and an Enter among it is not lost.
 * `label` says what it is for. Event (bubbling): `featurepick` {detail: {feature}} with a row of /api/features.
 */
import { fill, h } from "../lib/dom.js";
import { once } from "../lib/ahead.js";
import { withSheets } from "../lib/sheets.js";
import { picker as text } from "../pages/picker-strings.js";
import { errorView } from "./state-view.js";

const code = once(() => withSheets(import("./feature-search.js"), "feature-search"));
let count = 0;

export class FeaturePicker extends HTMLElement {
  #input;
  #list;
  #entered = false; // whether an Enter was the last key, before there was anything to take it
  /** @type {AbortController|null} */ #early = null; // of what listens until the search does
  /** @type {import("./feature-search.js").FeatureSearch|null} */ #search = null;

  connectedCallback() {
    if (this.#input) return;
    count += 1;
    const listId = `picker-list-${count}`;
    const inputId = `picker-input-${count}`;
    this.#list = h("ul", { class: "picker-list", id: listId, role: "listbox", "aria-label": text.results, hidden: true });
    this.#input = h("input", {
      id: inputId, class: "picker-input", type: "search", autocomplete: "off", spellcheck: "false", placeholder: text.placeholder,
      role: "combobox", "aria-expanded": "false", "aria-controls": listId, "aria-autocomplete": "list",
    });
    this.append(h("label", { class: "picker-label", for: inputId }, this.getAttribute("label") ?? text.label), this.#input, this.#list);
    this.#listen();
  }

  disconnectedCallback() {
    this.#search?.leave();
  }

  focus() {
    this.#input.focus();
  }

  #listen() {
    this.#early = new AbortController();
    const { signal } = this.#early;
    this.#input.addEventListener("keydown", (event) => (this.#entered = event.key === "Enter"), { signal });
    for (const lost of ["focusout", "input"]) this.#input.addEventListener(lost, () => (this.#entered = false), { signal });
    for (const sign of ["pointerover", "focusin", "input"]) this.#input.addEventListener(sign, () => this.#fetch(), { signal });
  }

  async #fetch() {
    try {
      const { FeatureSearch } = await code();
      if (this.#search) return;
      this.#early?.abort();
      const search = new FeatureSearch(this, this.#input, this.#list);
      this.#search = search;
      if (this.#input.value && this.#input === document.activeElement) search.begin(this.#entered);
    } catch (error) {
      if (this.#input !== document.activeElement) return; // it was only pointed at: it is tried again
      this.#list.hidden = false;
      fill(this.#list, h("li", { class: "picker-message", role: "presentation" }, errorView(error, () => {
        if (this.contains(document.activeElement)) this.#input.focus(); // it goes from the button back to the field
        this.#list.hidden = true;
        this.#fetch();
      })));
    }
  }
}

customElements.define("mfn-feature-picker", FeaturePicker);
