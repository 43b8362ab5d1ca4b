/**
 * <try-text>: type a text, see where one feature fires in it. Fires "try" with `detail: { text }` when the reader asks;
 * the page puts the text into its URL and calls `run(source, index, text, max)`. `run` resolves to the strongest
 * activation, or null when nothing was asked or the answer came too late.
 */

import { api, isAbort } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { feature as strings } from "../pages/feature-strings.js";
import { tokenStrip } from "./token-strip.js";

class TryText extends HTMLElement {
  /** @type {AbortController|null} */ #request = null;
  #ran = ""; // the text that the field was last filled with, or that was asked

  connectedCallback() {
    if (this.field) return;
    const text = strings.tryIt;
    this.field = h("textarea", { rows: 1, class: "try-field", "aria-label": text.label, placeholder: text.placeholder, spellcheck: "false" });
    this.button = h("button", { type: "submit" }, text.run);
    this.result = h("div", { class: "try-result", "aria-live": "polite" });
    const ask = (event) => {
      event.preventDefault();
      this.#ran = this.field.value;
      this.dispatchEvent(new CustomEvent("try", { detail: { text: this.field.value } }));
    };
    const form = h("form", { onsubmit: ask }, this.field, this.button);
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event);
      if (event.key === "Escape") this.field.blur();
    });
    this.append(form, this.result);
  }

  disconnectedCallback() {
    this.#request?.abort();
  }

  /** What stands in the field is left there if it was typed and not yet asked. */
  async run(source, index, text, max) {
    this.#request?.abort();
    if (this.field.value === this.#ran) this.field.value = text;
    this.#ran = text;
    if (text === "") {
      fill(this.result);
      return null;
    }
    const request = (this.#request = new AbortController());
    this.result.setAttribute("aria-busy", "true");
    try {
      const { tokens, values } = await api.activations(source, index, text, { signal: request.signal });
      fill(this.result, ...answer(tokens, values, max));
      return Math.max(0, ...values);
    } catch (error) {
      if (isAbort(error)) return null;
      fill(this.result, h("p", { class: "error-text" }, error.message, error.hint && ` ${error.hint}`));
      return null;
    } finally {
      if (request === this.#request) this.result.removeAttribute("aria-busy");
    }
  }
}

function answer(tokens, values, max) {
  const text = strings.tryIt;
  const strongest = values.reduce((a, b) => Math.max(a, b), 0);
  const firings = values.filter((value) => value > 0).length;
  const against = max > 0 && strongest > 0 ? text.against(strongest / max) : null;
  return [
    tokenStrip(tokens.map((token) => token.text), values, { max: Math.max(max, strongest), peak: strongest > 0 ? values.indexOf(strongest) : null, multiline: true }),
    h("p", { class: "muted small" }, firings ? text.result(firings, tokens.length, strongest) : text.silent, against && `, ${against}`, firings > 0 && "."),
  ];
}

customElements.define("try-text", TryText);
