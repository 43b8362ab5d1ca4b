/**
 * <dose-response>: how the next token changes with the strength of one feature, as a plot and a table. `show(feature, prompt)`
 * says what of; it is worked out when the reader asks for it.
 */

import { isAbort } from "../lib/api.js";
import { steering } from "../lib/api-steer.js";
import { announce, fill, h } from "../lib/dom.js";
import { formatPercent, formatValue, visible } from "../lib/format.js";
import { feature as strings } from "../pages/feature-strings.js";
import { intervention } from "../pages/steer-model.js";
import { requestInterventions } from "../pages/steer-request.js";
import "./effect-plot.js";

const text = strings.sweep;

class DoseResponse extends HTMLElement {
  /** @type {AbortController|null} */ #request = null;
  /** @type {any} */ #asked = null;

  connectedCallback() {
    if (this.button) return;
    this.button = h("button", { type: "button", onclick: () => this.#run() }, text.run);
    this.note = h("span", { class: "muted small" }, text.hint);
    this.result = h("div", {});
    fill(this, h("div", { class: "sweep-head" }, this.button, this.note), this.result);
  }

  disconnectedCallback() {
    this.#request?.abort();
  }

  /** Of another feature or prompt, what is on screen says nothing any more. */
  show(feature, prompt) {
    const same = this.#asked?.feature.source === feature.source && this.#asked.feature.index === feature.index && this.#asked.prompt === prompt;
    this.#asked = { feature, prompt };
    if (same) return;
    this.#request?.abort();
    this.button.disabled = false;
    this.note.textContent = text.hint;
    fill(this.result);
  }

  async #run() {
    const { feature, prompt } = this.#asked;
    const request = new AbortController();
    this.#request = request;
    const { source, index, max } = feature;
    this.button.disabled = true;
    this.note.textContent = text.working;
    try {
      const interventions = requestInterventions([intervention({ source, index, value: max || 1 })]);
      const found = await steering.sweepEffect({ prompt, interventions, max_new_tokens: 0 }, { signal: request.signal });
      const plot = h("mfn-effect-plot", {});
      plot.sweep = found;
      fill(this.result, plot, table(found));
      this.note.textContent = text.done(found.points.length);
      announce(this.note.textContent);
    } catch (error) {
      if (isAbort(error)) return;
      this.note.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    } finally {
      if (request === this.#request) this.button.disabled = false;
    }
  }
}

/** The numbers of the plot. */
function table({ tokens, points }) {
  const head = [text.strength, ...tokens.map((token) => visible(token.text) || "␣"), text.kl];
  const rows = points.map(({ dose, logprobs, kl }) => [formatValue(dose), ...logprobs.map((logprob) => formatPercent(Math.exp(logprob))), formatValue(kl)]);
  return h(
    "details",
    { class: "plot-table" },
    h("summary", {}, strings.histogram.table),
    h("div", { class: "plot-rows", tabindex: 0, role: "region", "aria-label": text.run },
      h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", { class: "num" }, cell))))))),
  );
}

customElements.define("dose-response", DoseResponse);
