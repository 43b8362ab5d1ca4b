/**
 * What the field of a feature picker finds: the list opens while typing, arrow keys move, Enter picks, Escape closes. An
 * Enter that comes before the results of what was typed waits for them, unless another key follows or the field is left.
 */
import { api, isAbort } from "../lib/api.js";
import { announce, debounce, fill, h } from "../lib/dom.js";
import { parseFeatureId } from "../lib/feature-ref.js";
import { featureId, formatPercent, visible } from "../lib/format.js";
import { loadModel } from "../lib/store.js";
import { picker as text } from "../pages/picker-strings.js";
import { featureNameNodes } from "./feature-name.js";

const LIMIT = 12;

/** What stands for an answer where the model has no index: a feature can be turned though nobody knows what it is. */
function unindexed(error, instead) {
  if (error.code === "index_not_ready") return instead;
  throw error;
}

export class FeatureSearch {
  #features = [];
  #active = -1;
  #moved = false; // whether the reader has chosen the active row, which Enter then picks at once
  #entered = false; // whether an Enter waits for results
  #finding = false;
  #request = new AbortController();
  #picker;
  #input;
  #list;
  #search = debounce(() => this.#find(), 150);

  /** @param {HTMLElement} picker says what is picked (`featurepick`) @param {HTMLInputElement} input @param {HTMLElement} list */
  constructor(picker, input, list) {
    this.#picker = picker;
    this.#input = input;
    this.#list = list;
    input.addEventListener("input", () => this.#typed());
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("focus", () => input.value && this.#search());
    picker.addEventListener("focusout", (event) => {
      if (!picker.contains(/** @type {Node|null} */ (event.relatedTarget))) this.#close();
    });
  }

  /** Find what was typed before this listened. @param {boolean} entered whether an Enter has followed it */
  begin(entered) {
    this.#search();
    if (entered) this.#enter();
  }

  /** Nobody waits for an answer any more. */
  leave() {
    this.#search.cancel();
    this.#request.abort();
  }

  #typed() {
    this.#entered = false; // what was pasted or spoken, too
    this.#moved = false;
    this.#search();
  }

  async #find() {
    this.#request.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    const query = this.#input.value.trim();
    if (!query) return this.#close();
    this.#finding = true;
    try {
      const id = parseFeatureId(query);
      const [byId, found] = await Promise.all([
        id ? this.#byId(id, signal) : null,
        api.features({ q: query, limit: LIMIT }, { signal }).catch((error) => (id ? unindexed(error, { items: [] }) : Promise.reject(error))),
      ]);
      if (signal.aborted) return;
      const others = found.items.filter((item) => item.source !== byId?.source || item.index !== byId?.index);
      this.#features = byId ? [byId, ...others] : others;
      this.#show(this.#features.length ? null : text.nothing(query));
      announce(text.found(this.#features.length));
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      this.#features = [];
      this.#show(error.message);
    }
    this.#finding = false;
    if (this.#entered) this.#pick(0);
    this.#entered = false;
  }

  async #byId({ layer, index }, signal) {
    const { sources } = await loadModel();
    const source = sources.find((item) => item.layer === layer);
    if (!source || index >= source.n_features) return null;
    return api.feature(source.key, index, { signal }).catch((error) =>
      unindexed(error, { source: source.key, layer, index, label: null, top_tokens: [], promoted: [], rate: NaN }));
  }

  #show(message) {
    this.#active = -1;
    this.#moved = false;
    const rows = this.#features.map((feature, place) => this.#row(feature, place));
    fill(this.#list, message ? h("li", { class: "picker-message", role: "presentation" }, message) : rows);
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
    if (!message) this.#activate(0);
  }

  #row(feature, place) {
    return h(
      "li",
      {
        class: "picker-row", role: "option", id: `${this.#list.id}-${place}`, "aria-selected": "false",
        onpointerdown: (event) => event.preventDefault(), onclick: () => this.#pick(place), onpointermove: () => this.#activate(place),
      },
      h("span", { class: "picker-name", dir: "auto" }, featureNameNodes(feature)),
      h("span", { class: "picker-id" }, featureId(feature.layer, feature.index)),
      h("span", { class: "picker-facts" }, Number.isNaN(feature.rate) ? text.unindexed : text.facts(
        feature.promoted.slice(0, 3).map((token) => visible(token.text).trim()).join(" "), formatPercent(feature.rate))),
    );
  }

  #activate(place) {
    const rows = this.#list.querySelectorAll("[role=option]");
    rows[this.#active]?.setAttribute("aria-selected", "false");
    this.#active = place;
    rows[place]?.setAttribute("aria-selected", "true");
    rows[place]?.scrollIntoView({ block: "nearest" });
    if (rows[place]) this.#input.setAttribute("aria-activedescendant", rows[place].id);
  }

  #close() {
    this.#search.cancel();
    this.#request.abort();
    this.#finding = false;
    this.#entered = false;
    this.#features = [];
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }

  #pick(place) {
    const feature = this.#features[place];
    if (!feature) return;
    this.#input.value = "";
    this.#close();
    this.#picker.dispatchEvent(new CustomEvent("featurepick", { bubbles: true, detail: { feature } }));
  }

  #move(place) {
    this.#moved = true;
    this.#activate(place);
  }

  #enter() {
    if (this.#moved || (!this.#search.pending() && !this.#finding)) return this.#pick(this.#active);
    this.#entered = true;
    this.#search.flush();
  }

  #key(event) {
    const last = this.#features.length - 1;
    if (event.key !== "Enter") this.#entered = false;
    if (event.key === "Escape" && !this.#list.hidden) {
      event.stopPropagation();
      this.#close();
    } else if (event.key === "ArrowDown" && this.#list.hidden) this.#search();
    else if (event.key === "ArrowDown") this.#move(Math.min(this.#active + 1, last));
    else if (event.key === "ArrowUp") this.#move(Math.max(this.#active - 1, 0));
    else if (event.key === "Enter") this.#enter();
    else return;
    event.preventDefault();
  }
}
