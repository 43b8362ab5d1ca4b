/**
 * <mfn-map-panel>: the features of a map that are in view, or in the lasso, as a list; the map for whoever does not see it.
 *
 * Events: "mark" {detail: SOURCE:INDEX or null} when a row is pointed at, "current" {detail: SOURCE:INDEX} when another row is
 * current, "drop" when the lasso is to go.
 */

import { collect } from "../lib/collect.js";
import { h } from "../lib/dom.js";
import { chosenList } from "../lib/feature-list.js";
import { navigate } from "../lib/router.js";
import { MOST_CHOSEN, MOST_COLLECTED, featureKey } from "../lib/selection.js";
import { map as text } from "../pages/map-strings.js";
import { previews } from "./preview-loader.js";
import { shortFeatureRow } from "./short-feature-row.js";
import { toast } from "./toast.js";
import "./virtual-list.js";

const USUAL = 10_000; // features, as wide as most counts are

export class MapPanel extends HTMLElement {
  /** @type {import("../lib/selection.js").Selection} */ selection;
  /** @type {AbortController} */ leaving;
  #shown = "";
  /** @type {(rank: number) => {source: string, index: number}} */ #featureAt = () => ({ source: "", index: 0 });
  #count = 0;

  /** @param {import("../lib/selection.js").Selection} selection */
  setup(selection) {
    this.selection = selection;
    this.classList.add("panel");
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", text.panel);
    this.heading = h("h2", { class: "map-heading" }, text.inView(USUAL)); // not seen before it is true, it keeps the room
    this.choose = h("button", { type: "button", class: "quiet", onclick: () => this.#chooseAll() });
    this.collect = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => collect(this.#first(MOST_COLLECTED)) });
    this.drop = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.dispatchEvent(new Event("drop")) }, text.dropLasso);
    this.list = h("mfn-virtual-list", { class: "map-list" });
    this.list.setup({ label: text.panel, render: shortFeatureRow, selection, tooMany: () => toast(text.tooMany(MOST_CHOSEN)) });
    this.none = h("p", { class: "map-none muted", hidden: true });
    this.append(h("header", { class: "is-coming" }, this.heading, h("p", { class: "muted small" }, text.order), h("div", { class: "map-panel-actions" }, this.collect, this.choose, this.drop)), this.list, this.none);
    const mark = (event) => this.dispatchEvent(new CustomEvent("mark", { detail: event.target.closest?.("[data-key]")?.dataset.key ?? null }));
    this.list.addEventListener("pointerover", mark);
    this.list.addEventListener("focusin", mark);
    this.list.addEventListener("pointerleave", () => this.dispatchEvent(new CustomEvent("mark", { detail: null })));
    this.list.addEventListener("move", () => this.list.currentRow && this.dispatchEvent(new CustomEvent("current", { detail: featureKey(this.list.currentRow) })));
    this.list.addEventListener("failure", () => this.#failed());
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest(".feature-row[data-href]");
      if (row && !event.target.closest("a, .preview")) navigate(row.dataset.href);
    });
  }

  connectedCallback() {
    this.leaving = new AbortController();
    previews(this.list, this.leaving.signal);
  }

  disconnectedCallback() {
    this.leaving.abort();
  }

  /**
   * @param {{count: number, featureAt: (rank: number) => {source: string, index: number}, inLasso: boolean, name: string}} what
   *   `name` is the same for the same features: the list then stays where it is
   */
  show({ count, featureAt, inLasso, name }) {
    this.heading.parentElement?.classList.remove("is-coming");
    this.heading.textContent = (inLasso ? text.inLasso : text.inView)(count);
    this.drop.hidden = !inLasso;
    this.choose.hidden = count === 0;
    this.choose.textContent = count > MOST_CHOSEN ? text.chooseFirst(MOST_CHOSEN) : text.chooseAll;
    this.collect.hidden = count === 0 || (count > MOST_COLLECTED && !inLasso);
    this.collect.textContent = count > MOST_COLLECTED ? text.collectFirst(MOST_COLLECTED) : text.collectAll;
    this.#showNone(count ? null : text.empty);
    if (name === this.#shown) return;
    this.#shown = name;
    this.#count = count;
    this.#featureAt = featureAt;
    this.list.show(chosenList(count, featureAt));
  }

  #showNone(why) {
    this.none.textContent = why ?? "";
    this.none.hidden = why === null;
    this.list.hidden = why !== null;
  }

  #chooseAll() {
    if (!this.selection.add(this.#first(MOST_CHOSEN).map(featureKey))) toast(text.tooMany(MOST_CHOSEN));
  }

  #first = (most) => Array.from({ length: Math.min(most, this.#count) }, (_, rank) => this.#featureAt(rank));

  #failed() {
    const { failed } = this.list.rows;
    if (failed.code === "index_not_ready") this.#showNone(failed.message);
    else toast(failed.message, { kind: "error" });
  }
}

customElements.define("mfn-map-panel", MapPanel);
