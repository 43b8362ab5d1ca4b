/**
 * `<mfn-heat-table>`: what a heat strip shows, as a table: a row for each token, a column for each layer. It is made when it is
 * opened. Set `.data` to an inspection and `.metric` to what the strip's shades mean.
 */
import { fill, h } from "../lib/dom.js";
import { featureName, formatInteger, formatPercent, formatValue } from "../lib/format.js";
import { inspect as text } from "../pages/inspect-strings.js";
import { tokenChip } from "./token-chip.js";

export class HeatTable extends HTMLElement {
  /** @type {import("./heat-strip.js").Inspection|null} */ #data = null;
  #metric = "value";
  #details;
  #body;

  connectedCallback() {
    if (this.#details) return;
    this.#body = h("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": this.getAttribute("label") ?? text.table });
    this.#details = h("details", { class: "heat-table", ontoggle: () => this.#show() }, h("summary", { class: "muted small" }, text.table), this.#body);
    this.append(this.#details);
  }

  set data(data) {
    this.#data = data;
    this.#show();
  }

  set metric(metric) {
    this.#metric = metric;
    this.#show();
  }

  #show() {
    if (!this.#details?.open || !this.#data) {
      if (this.#body) fill(this.#body);
      return;
    }
    const { tokens, layers } = this.#data;
    fill(this.#body, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, text.place), h("th", { scope: "col" }, text.token),
        layers.map(({ layer }) => h("th", { scope: "col" }, text.layer(layer))))),
      h("tbody", {}, tokens.map((token, position) => h("tr", {}, h("td", { class: "num muted" }, formatInteger(position)),
        h("th", { scope: "row" }, tokenChip(token.text)), layers.map((layer) => this.#cell(layer, position)))))));
  }

  #cell({ positions, fits }, position) {
    if (this.#metric === "error") return h("td", { class: "num" }, fits ? formatPercent(fits[position].error) : "–");
    const hit = positions[position][0];
    if (!hit) return h("td", { class: "muted" }, "–");
    const figure = this.#metric === "share" ? formatPercent(hit.share ?? NaN) : formatValue(hit.value);
    return h("td", {}, h("b", { class: "num" }, figure), " ", h("span", { class: "muted small", dir: "auto" }, featureName(hit)));
  }
}

customElements.define("mfn-heat-table", HeatTable);
