/**
 * `<mfn-token-detail>`: everything known about one token of a stream: its probability, what else was considered, and the
 * features that fired, each of which can be added to the ones that are turned.
 *
 * Events (bubbling): `featureadd`, `featurecolour` {detail: {source, index}}; `detailclose`.
 */
import { fill, h } from "../lib/dom.js";
import { featureId, formatPercent, formatValue, layerOf } from "../lib/format.js";
import { detail as text } from "../pages/stream-strings.js";
import { featureHits, withName } from "./feature-hits.js";
import { detailHint } from "./stream-frame.js";
import { tokenChip } from "./token-chip.js";

export class TokenDetail extends HTMLElement {
  #shown = 0;

  connectedCallback() {
    this.classList.add("detail");
    if (!this.firstChild) this.clear();
  }

  clear() {
    this.#shown += 1;
    this.dataset.empty = "";
    delete this.dataset.pinned;
    fill(this, detailHint());
  }

  /**
   * @param {{token: {text: string}, where: string, logprob?: number, kl?: number|null,
   *   alternatives?: {id: number, text: string, logprob: number}[], chosen?: number,
   *   watched?: {source: string, index: number, value: number, untouched: number}[],
   *   hits: Promise<import("./feature-hits.js").Hit[]>|import("./feature-hits.js").Hit[],
   *   turned: (hit: {source: string, index: number}) => boolean, pinned: boolean}} facts
   *   `pinned`: it was chosen, and may take the room that it needs; what is only pointed at must not move the page
   */
  async show({ token, where, logprob, kl = null, alternatives = [], chosen, hits, watched = [], turned, pinned }) {
    this.#shown += 1;
    const shown = this.#shown;
    delete this.dataset.empty;
    this.toggleAttribute("data-pinned", pinned);
    const list = h("div", { class: "detail-hits" }, h("p", { class: "muted" }, text.loading));
    const generated = logprob !== undefined;
    fill(
      this,
      h("header", { class: "detail-head" },
        h("h2", {}, tokenChip(token.text)),
        h("span", { class: "muted small" }, where),
        generated && h("span", { class: "detail-fact", title: text.logprob(logprob) },
          h("span", { class: "muted" }, text.probability), " ", h("b", {}, formatPercent(Math.exp(logprob)))),
        kl !== null && h("span", { class: "detail-fact" }, h("span", { class: "muted" }, text.kl), " ", h("b", {}, text.klValue(kl))),
        h("button", { class: "icon-button detail-close", type: "button", "aria-label": text.close,
          onclick: () => this.dispatchEvent(new CustomEvent("detailclose", { bubbles: true })) }, "✕")),
      h("div", { class: "detail-body" },
        generated && h("section", { class: "detail-alternatives" },
          h("h3", {}, text.alternatives), this.#alternatives(alternatives, { id: chosen, text: token.text, logprob })),
        h("section", {}, h("h3", {}, generated ? text.fired : text.firedPrompt), list),
        watched.length > 0 && h("section", { class: "detail-watched" }, h("h3", {}, text.watched), this.#watched(watched))),
    );
    try {
      const named = await Promise.all((await hits).map(withName));
      if (shown === this.#shown) {
        fill(list, named.length ? featureHits(named, { action: (hit) => this.#buttons(hit, turned(hit), generated) }) : text.nothing);
      }
    } catch (error) {
      if (shown === this.#shown) fill(list, h("p", { class: "error-text" }, error.message));
    }
  }

  /** What the features that are turned, or asked by a condition, do here; what they would have done, where that differs. */
  #watched(watched) {
    return h("ul", { class: "watched" }, watched.map(({ source, index, value, untouched }) =>
      h("li", {}, h("span", { class: "hit-id" }, featureId(layerOf(source), index)), " ", h("b", { class: "num" }, formatValue(value)),
        value !== untouched && h("span", { class: "muted" }, " ", text.untouched(formatValue(untouched))))));
  }

  #alternatives(alternatives, taken) {
    const known = alternatives.some((other) => other.id === taken.id);
    const all = [...alternatives, ...(known ? [] : [taken])].sort((a, b) => b.logprob - a.logprob);
    return h("ol", { class: "alternatives" }, all.map((other) =>
      h("li", { class: "alternative" },
        tokenChip(other.text),
        h("span", { class: "hit-bar", "aria-hidden": "true", style: { "--part": Math.exp(other.logprob) } }),
        h("span", { class: "num" }, formatPercent(Math.exp(other.logprob))),
        h("span", { class: "muted small" }, other.id === taken.id ? text.chosen : ""))));
  }

  #buttons(hit, turned, generated) {
    const feature = { source: hit.source, index: hit.index };
    const say = (name) => this.dispatchEvent(new CustomEvent(name, { bubbles: true, detail: feature }));
    const add = (event) => {
      event.currentTarget.disabled = true;
      event.currentTarget.textContent = text.already;
      say("featureadd");
    };
    return h("span", { class: "hit-actions" },
      generated && h("button", { class: "hit-action", type: "button", title: text.colourTitle, onclick: () => say("featurecolour") }, text.colour),
      h("button", { class: "hit-action", type: "button", disabled: turned, title: text.addTitle, onclick: add }, turned ? text.already : text.add));
  }
}

customElements.define("mfn-token-detail", TokenDetail);
