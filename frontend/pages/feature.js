/** <feature-page>: one feature. What it fires on, what it writes, how strongly and how often, its name, and ways to act. */

import "../components/activation-histogram.js";
import "../components/feature-bench.js";
import "../components/feature-head.js";
import { contextList } from "../components/context-list.js";
import { featureBands } from "../components/feature-bands.js";
import { cofiringList, neighbourList } from "../components/feature-relations.js";
import { logitTable, nextTokens, quiet, shareTable, tokenR2Note } from "../components/feature-tables.js";
import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { connections, elsewhere, logitShape } from "../components/weight-facts.js";
import { fill, h } from "../lib/dom.js";
import { featureId, featureName, featurePath, layerOf } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { noteFeature } from "../lib/recent.js";
import { navigate, setQuery } from "../lib/router.js";
import { withSheets } from "../lib/sheets.js";
import { addShortcut } from "../lib/shortcuts.js";
import { steerFeaturePath } from "../lib/steer-feature.js";
import { forgetFeature, loadFeature, onStale } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { feature as text, weights as weightsText } from "./feature-strings.js";

/** What is next door is fetched a moment after a feature is shown, so that going there takes no time. */
const PREFETCH_MS = 60;

/** How soon to ask again for what the weights say, while it is being worked out: some seconds after the first start. */
const PENDING_MS = 5_000;

class FeaturePage extends Page {
  /** @type {HTMLElement} */ contexts;
  /** @type {HTMLElement} */ bands;
  /** @type {HTMLElement} */ logits;
  /** @type {HTMLElement} */ firesOn;
  /** @type {HTMLElement} */ firesBefore;
  /** @type {HTMLElement} */ cofiring;
  /** @type {HTMLElement} */ neighbours;
  /** @type {HTMLElement} */ logitShape;
  /** @type {HTMLElement} */ connections;
  /** @type {HTMLElement} */ elsewhere;
  /** @type {any} */ #feature = null;
  #labelled = false; // whether <label-box> has its code
  #query = new URLSearchParams();
  #asked = "";
  #reading = 0; // which of the answers that are waited for is the last that was asked for

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page", "feature-page");
    this.#build();
    fill(this, this.status);
    onStale(() => this.#load(), { signal });

    const group = strings.help.groups.feature;
    addShortcut(["]", "j"], strings.help.nextFeature, () => this.#goTo(this.#feature?.next), { group, signal });
    addShortcut(["[", "k"], strings.help.previousFeature, () => this.#goTo(this.#feature?.previous), { group, signal });
    addShortcut("e", strings.help.nameFeature, () => this.#feature && this.#toggleLabels(true), { group, signal });
    addShortcut("x", strings.help.tryFeature, () => this.#feature && this.bench.open("try"), { group, signal });
    addShortcut("u", strings.help.turnFeature, () => this.#feature && this.bench.open("turn"), { group, signal });
    addShortcut("v", strings.help.viewFeature, () => setQuery({ view: this.#query.get("view") ? null : "full" }), { group, signal });
    addShortcut("s", strings.help.steerFeature, () => this.#feature && navigate(steerFeaturePath(this.#feature)), { group, signal });
  }

  onRoute({ params, query }) {
    const asked = featurePath(params.source, params.index);
    const before = this.#query;
    this.#query = query;
    if (asked === this.#asked && this.#feature) {
      if (before.get("view") !== query.get("view")) this.#showContexts(this.#feature);
      this.bench.show(this.#feature, query);
      this.head.showNeighbours(this.#feature, (index) => this.#pathTo(index));
      return undefined;
    }
    this.#asked = asked;
    this.params = params;
    return this.#load();
  }

  /** The fixed parts of the page; `#show` fills them. */
  #build() {
    this.status = h("div", { class: "feature-status" }, skeleton(3, "feature-skeleton-head"), h("div", { class: "feature-columns", "aria-hidden": "true" }, skeleton(12, "panel feature-main"), skeleton(8, "panel feature-side")));
    this.head = h("feature-head", {});
    this.labels = h("label-box", { id: "labels", class: "panel", hidden: true });
    this.bench = h("feature-bench", {});
    this.histogram = h("activation-histogram", {});
    this.tokenR2 = h("p", { class: "muted small note" });
    for (const part of ["contexts", "bands", "logits", "firesOn", "firesBefore", "cofiring", "neighbours", "logitShape", "connections", "elsewhere"]) this[part] = h("div", { class: part === "logits" ? part : null });

    const option = (view, label) => h("button", { type: "button", class: "chip", dataset: { view }, onclick: () => setQuery({ view: view || null }) }, label);
    this.views = h("div", { class: "chips", role: "group", "aria-label": text.contexts.title }, option("", text.contexts.snippet), option("full", text.contexts.full));
    this.folded = h("span", { class: "muted small contexts-folded" });

    this.head.addEventListener("names", () => this.#toggleLabels());
    this.head.addEventListener("pointerover", ({ target }) => target === this.head.names && this.#fetchLabels().catch(() => {})); // a press follows
    this.labels.addEventListener("proposed", (event) => this.#onProposed(event.detail));
    this.labels.addEventListener("relabelled", () => this.#load());
    this.bench.addEventListener("bench", ({ detail: { patch, step } }) => setQuery(patch, { replace: !step }));
    this.bench.addEventListener("tried", ({ detail }) => this.#feature?.status !== "dead" && this.histogram.mark(detail.strongest));

    const section = (title, className, note, ...content) => h("section", { class: className }, h("h2", {}, title), note && h("p", { class: "muted small note" }, note), content);
    this.content = [
      this.head,
      this.labels,
      h(
        "div",
        { class: "feature-columns" },
        h(
          "div",
          { class: "feature-main" },
          this.bench,
          h("section", { class: "contexts-section" }, h("div", { class: "section-head" }, h("h2", {}, text.contexts.title), this.folded, this.views), this.contexts),
        ),
        h(
          "div",
          { class: "feature-side" },
          section(text.histogram.title, "panel", null, this.histogram),
          h("section", { class: "panel" }, this.logits, this.logitShape, h("p", { class: "muted small note" }, text.logits.note)),
          section(text.firesOn.title, "panel", null, this.firesOn, this.tokenR2),
          section(text.firesBefore.title, "panel fires-before", null, this.firesBefore),
          section(text.cofiring.title, "panel fires-together", null, this.cofiring),
          section(text.neighbours.title, "panel", null, this.neighbours),
          section(weightsText.elsewhereTitle, "panel alike-elsewhere", null, this.elsewhere),
          section(weightsText.connectionsTitle, "panel connections", null, this.connections),
        ),
        section(text.bands.title, "bands-section", text.bands.note, this.bands),
      ),
    ];
  }

  async #load() {
    const reading = ++this.#reading;
    const { source, index } = this.params;
    this.classList.toggle("is-loading", this.#feature !== null);
    try {
      const feature = await loadFeature(source, index);
      if (reading !== this.#reading || this.signal.aborted) return; // an answer that was overtaken may be older
      this.#show(feature);
    } catch (error) {
      if (reading !== this.#reading || this.signal.aborted) return;
      this.#fail(error);
    } finally {
      if (reading === this.#reading) this.classList.remove("is-loading");
    }
  }

  /** What is on screen stays where it is of this very feature, and only could not be read again: the banner says why. */
  #fail(error) {
    const { source, index } = this.params;
    if (this.#feature?.source === source && this.#feature.index === Number(index) && (error.status === 0 || error.status === 503)) return;
    this.#feature = null;
    this.setTitle(featureId(layerOf(source) ?? "?", index));
    fill(this.status, this.#problem(error));
    fill(this, this.status);
  }

  #problem(error) {
    if (error.code === "index_not_ready") return h("state-view", { kind: "empty", heading: text.notReady });
    if (error.status === 404 || error.status === 422) return h("state-view", { kind: "empty", heading: text.unknown, hint: error.message, href: "/browse", action: text.browse });
    return errorView(error, () => this.#load());
  }

  #show(feature) {
    const first = this.firstElementChild === this.status;
    const name = featureName(feature);
    this.#feature = feature;
    this.setTitle(text.title(featureId(feature.layer, feature.index), name));
    noteFeature({ source: feature.source, index: feature.index, name });
    if (first) fill(this, this.content);
    this.head.show(feature, (index) => this.#pathTo(index));
    if (this.#labelled) this.labels.show(feature);
    this.#showContexts(feature);
    const dead = feature.status === "dead";
    for (const part of [this.histogram, this.firesOn, this.firesBefore, this.cofiring]) part.closest("section").hidden = dead;
    if (!dead) this.histogram.show(feature.histogram);
    this.bench.show(feature, this.#query);
    fill(this.logits, logitTable(text.logits.promoted, feature.promoted, "up"), logitTable(text.logits.suppressed, feature.suppressed, "down"));
    fill(this.logitShape, logitShape(feature.weights));
    requestAnimationFrame(() => setTimeout(() => this.#showRest(feature))); // after the first screen is painted
    if (feature.weights === null) setTimeout(() => this.#askAgain(feature), PENDING_MS);
    setTimeout(() => this.#prefetch(feature), PREFETCH_MS);
  }

  /** What stands below the first screen. */
  #showRest(feature) {
    if (feature !== this.#feature || this.signal.aborted) return;
    const { top_tokens: tokens, counted_share: counted } = feature;
    fill(this.firesOn, shareTable(tokens, text.firesOn.note), counted < 1 && quiet(text.firesOn.counted(counted)));
    fill(this.tokenR2, tokenR2Note(feature));
    this.tokenR2.hidden = feature.token_r2 === null;
    fill(this.firesBefore, nextTokens(feature));
    fill(this.cofiring, cofiringList(feature));
    fill(this.neighbours, neighbourList(feature.neighbours));
    fill(this.elsewhere, elsewhere(feature.weights));
    fill(this.connections, connections(feature.weights));
    fill(this.bands, featureBands(feature));
  }

  #showContexts(feature) {
    const full = this.#query.get("view") === "full";
    const dead = feature.status === "dead";
    for (const button of this.views.children) button.setAttribute("aria-pressed", String((button.dataset.view === "full") === full));
    this.views.hidden = feature.contexts.length === 0;
    this.bands.closest("section")?.toggleAttribute("hidden", feature.bands.length === 0);
    if (feature.contexts.length) {
      const list = contextList(feature.contexts, { max: feature.max, full, label: text.contexts.title });
      this.folded.textContent = text.contexts.shown(list.children.length, feature.contexts.length);
      fill(this.contexts, list);
    } else {
      this.folded.textContent = "";
      fill(this.contexts, h("state-view", { kind: "empty", heading: dead ? text.dead : text.contexts.none, hint: dead ? text.deadHint : null }));
    }
  }

  /** What people say of a feature is shown by code that is fetched for whoever asks for it. */
  async #toggleLabels(open = this.labels.hidden) {
    this.labels.hidden = !open;
    this.head.names.setAttribute("aria-expanded", String(open));
    if (!open) return;
    try {
      await this.#fetchLabels();
    } catch (error) {
      fill(this.labels, errorView(error, () => this.#toggleLabels(true)));
      return;
    }
    if (this.labels.hidden || !this.#feature) return;
    this.labels.show(this.#feature);
    this.labels.focusField();
  }

  async #fetchLabels() {
    if (this.#labelled) return;
    await withSheets(import("../components/label-box.js"), "labels", "rubric");
    this.#labelled = true;
  }

  #onProposed({ source, index, text: label }) {
    forgetFeature(source, index);
    import("../lib/feature-list.js").then(({ relabel }) => relabel(source, index, label), () => {}); // it holds no list that was never fetched
    toast(text.name.saved);
    this.#toggleLabels(false);
    this.head.names.focus();
    this.#load();
  }

  #pathTo(index) {
    const query = this.#query.toString();
    return featurePath(this.#feature.source, index) + (query ? `?${query}` : "");
  }

  #goTo(index) {
    if (index !== null && index !== undefined) navigate(this.#pathTo(index));
  }

  /** What the weights say is worked out after the index: until it is there, the page looks again. */
  #askAgain(feature) {
    if (feature !== this.#feature || this.signal.aborted) return;
    forgetFeature(feature.source, feature.index);
    this.#load();
  }

  /** The features next door are the likeliest to be opened next. */
  #prefetch(feature) {
    if (feature !== this.#feature || this.signal.aborted) return;
    for (const index of [feature.next, feature.previous]) if (index !== null) loadFeature(feature.source, index).catch(() => {});
  }
}

customElements.define("feature-page", FeaturePage);
