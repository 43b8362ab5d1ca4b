/**
 * `<mfn-heat-strip>`: a text as a ribbon of tokens; under each stands one cell a layer, shaded by the strongest feature.
 * The ribbon wraps like text, so a long one needs no sideways scrolling and a right-to-left one reads as it should.
 *
 * One tab stop: left and right move between tokens, up and down between layers, Enter selects.
 * Events (bubbling): `tokenselect` {detail: {position, layer}}.
 *
 * @typedef {{tokens: {id: number, text: string}[], layers: {source: string, layer: number, fvu: number|null, error_kept: number|null,
 *   positions: {index: number, value: number, share: number|null, label: string|null, top_tokens: string[]}[][],
 *   fits: {explained: number, fixed: number, error: number}[]|null}[]}} Inspection
 */
import { fill, h } from "../lib/dom.js";
import { featureName, isSpecialToken, visible } from "../lib/format.js";
import { inspect as text } from "../pages/inspect-strings.js";
import { visibleText } from "./token-chip.js";
import { heatLevel } from "./token-strip.js";

export class HeatStrip extends HTMLElement {
  /** @type {Inspection|null} */ #shown = null;
  #metric = "value";
  #row = 0;
  #differing = new Set();
  /** @type {HTMLElement} */ #ribbon;
  /** @type {HTMLElement} */ #readout;

  /** What is shown; the parts that ask for it are there only with it. */
  get #data() {
    return /** @type {Inspection} */ (this.#shown);
  }

  connectedCallback() {
    if (this.#ribbon) return;
    this.#readout = h("p", { class: "heat-readout", dir: "auto" }, text.readout);
    this.#ribbon = h("div", { class: "heat-ribbon", dir: "auto", role: "group", "aria-label": this.getAttribute("label") ?? text.strip });
    this.append(this.#readout, this.#ribbon);
    this.#ribbon.addEventListener("pointerover", (event) => this.#point(event.target));
    this.#ribbon.addEventListener("pointerleave", () => this.#say(text.readout));
    this.#ribbon.addEventListener("click", (event) => this.#select(event.target));
    this.#ribbon.addEventListener("focusin", (event) => this.#point(event.target));
    this.#ribbon.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {Inspection} data @param {number[]} differing places of tokens that another text does not have */
  show(data, differing = []) {
    this.#shown = data;
    this.#differing = new Set(differing);
    this.#row = data.layers.length - 1;
    this.#say(text.readout);
    fill(this.#ribbon, data.tokens.map((token, position) => this.#column(token, position)));
    this.#ribbon.firstElementChild?.setAttribute("tabindex", "0");
    this.#shade();
  }

  /** @param {"value"|"share"|"error"} metric */
  set metric(metric) {
    this.#metric = metric;
    if (this.#shown) this.#shade();
  }

  /** @param {number|null} position the token whose features are listed */
  set selected(position) {
    this.#ribbon.querySelector("[aria-pressed=true]")?.setAttribute("aria-pressed", "false");
    const column = this.#ribbon.children[position ?? -1];
    if (!column) return;
    column.setAttribute("aria-pressed", "true");
    this.#reach(column);
  }

  /** Mark the token that corresponds to the chosen one of another text. @param {number|null} position */
  set counterpart(position) {
    for (const column of this.#ribbon.querySelectorAll(".is-counterpart")) column.classList.remove("is-counterpart");
    this.#ribbon.children[position ?? -1]?.classList.add("is-counterpart");
  }

  /** Mark the cells where a feature is among the strongest. @param {import("./feature-hits.js").Hit|null} feature */
  mark(feature) {
    for (const cell of this.#ribbon.querySelectorAll(".is-marked")) cell.classList.remove("is-marked");
    if (!feature) return this.#say(text.readout);
    const row = this.#data.layers.findIndex((layer) => layer.source === feature.source);
    const places = this.#data.layers[row].positions.flatMap((hits, position) => (hits.some((hit) => hit.index === feature.index) ? [position] : []));
    for (const position of places) this.#cell(position, row).classList.add("is-marked");
    this.#say(text.marked(featureName(feature), places.length));
  }

  #column(token, position) {
    const special = isSpecialToken(token.text);
    const classes = ["heat-token", special && "is-special", this.#differing.has(position) && "is-different"].filter(Boolean).join(" ");
    return h(
      "span",
      { class: classes, role: "button", tabindex: "-1", "aria-pressed": "false", dataset: { position } },
      h("span", { class: "heat-text" }, special ? token.text : visibleText(token.text)),
      h("span", { class: "heat-cells", "aria-hidden": "true" }, this.#data.layers.map((_, row) => h("i", { dataset: { row } }))),
    );
  }

  /** The heat of every cell; the first token, on which every model stores oddly large values, does not set the scale. */
  #shade() {
    const { tokens, layers } = this.#data;
    const from = tokens.length > 1 && isSpecialToken(tokens[0].text) ? 1 : 0;
    const measures = layers.map((layer) => tokens.map((_, position) => this.#measure(layer, position)));
    const tops = measures.map((row) => Math.max(0, ...row.slice(from)));
    for (const [row, values] of measures.entries()) {
      const top = { value: tops[row], share: 1, error: Math.max(...tops) }[this.#metric];
      for (const [position, value] of values.entries()) {
        this.#cell(position, row).dataset.heat = String(heatLevel(value, top));
      }
    }
    for (const column of this.#ribbon.children) this.#name(column);
  }

  #cell(position, row) {
    return /** @type {HTMLElement} */ (this.#ribbon.children[position].lastElementChild?.children[row]);
  }

  /** What a cell is shaded by; a strength counts by its size, since there are codes that fire below 0. */
  #measure({ positions, fits }, position) {
    if (this.#metric === "error") return fits?.[position].error ?? 0;
    const measure = positions[position][0]?.[this.#metric] ?? 0;
    return this.#metric === "value" ? Math.abs(measure) : measure;
  }

  #name(column) {
    const position = Number(column.dataset.position);
    const { layer, positions } = this.#data.layers[this.#row];
    const hit = positions[position][0];
    const only = this.#differing.has(position) ? text.onlyHere : "";
    column.setAttribute("aria-label", only + text.tokenLabel(visible(this.#data.tokens[position].text).trim() || "␣", layer, hit && featureName(hit)));
  }

  #point(target) {
    const column = target.closest(".heat-token");
    if (!column) return;
    if (target.dataset.row !== undefined) this.#row = Number(target.dataset.row);
    const position = Number(column.dataset.position);
    const { layer, positions, fits } = this.#data.layers[this.#row];
    const token = visible(this.#data.tokens[position].text);
    const hit = positions[position][0];
    if (this.#metric === "error" && fits) return this.#say(text.cellError(token, layer, fits[position].error));
    this.#say(hit ? text.cell(token, layer, featureName(hit), hit.value) : text.silent(token, layer));
  }

  #say(message) {
    this.#readout.textContent = message;
  }

  #select(target) {
    const column = target.closest(".heat-token");
    if (!column) return;
    if (target.dataset.row !== undefined) this.#row = Number(target.dataset.row);
    this.#reach(column);
    const detail = { position: Number(column.dataset.position), layer: this.#data.layers[this.#row].layer };
    this.dispatchEvent(new CustomEvent("tokenselect", { bubbles: true, detail }));
  }

  #reach(column) {
    this.#ribbon.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    column.setAttribute("tabindex", "0");
  }

  #key(event) {
    const column = event.target.closest(".heat-token");
    const columns = /** @type {HTMLElement[]} */ ([...this.#ribbon.children]);
    const here = columns.indexOf(column);
    const moves = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: columns.length - 1 };
    const rows = { ArrowUp: this.#row - 1, ArrowDown: this.#row + 1 };
    if (event.key in moves) {
      columns[moves[event.key]]?.focus();
    } else if (event.key in rows) {
      this.#row = Math.max(0, Math.min(this.#data.layers.length - 1, rows[event.key]));
      this.#name(column);
      this.#point(column.lastChild.children[this.#row]);
    } else if (event.key === "Enter" || event.key === " ") {
      this.#select(column);
    } else return;
    event.preventDefault();
  }
}

customElements.define("mfn-heat-strip", HeatStrip);
