/** <feature-page>: one feature. What it fires on, what it writes, how strongly and how often, its name, and ways to act. */

import "../components/activation-histogram.js";
import "../components/label-box.js";
import "../components/try-text.js";
import { automaticBadge } from "../components/automatic-badge.js";
import { contextList } from "../components/context-list.js";
import { featureLinks } from "../components/feature-links.js";
import { featureNameNodes } from "../components/feature-row.js";
import { statusMark } from "../components/status-mark.js";
import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { tokenChip } from "../components/token-strip.js";
import { connections, elsewhere, logitShape } from "../components/weight-facts.js";
import { fill, h } from "../lib/dom.js";
import { relabel } from "../lib/feature-list.js";
import { featureId, featureName, featurePath, formatInteger, formatPercent, formatR2, formatSigned, formatValue, layerOf } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { navigate, setQuery } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { forgetFeature, loadFeature, onStale } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { feature as text, weights as weightsText } from "./feature-strings.js";
import { steerPath } from "./steer-state.js";

const PREFETCH_MS = 250;

/** How soon to ask again for what the weights say, while it is being worked out: some seconds after the first start. */
const PENDING_MS = 5_000;

/** With fewer firings in one half of the corpus, token R² is mostly chance. */
const ENOUGH_FIRINGS = 200;

class FeaturePage extends Page {
  #feature = null;
  #query = new URLSearchParams();
  #asked = "";
  #tried = "";

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page", "feature-page");
    this.#build();
    fill(this, this.status);
    onStale(() => this.#load(), { signal });

    const group = strings.help.groups.feature;
    addShortcut("]", strings.help.nextFeature, () => this.#goTo(this.#feature?.next), { group, signal });
    addShortcut("[", strings.help.previousFeature, () => this.#goTo(this.#feature?.previous), { group, signal });
    addShortcut("e", strings.help.nameFeature, () => this.#openLabels(), { group, signal });
    addShortcut("x", strings.help.tryFeature, () => this.tryText.field.focus(), { group, signal });
    addShortcut("s", strings.help.steerFeature, () => this.#feature && navigate(steerLink(this.#feature)), { group, signal });
  }

  onRoute({ params, query }) {
    const asked = featurePath(params.source, params.index);
    const before = this.#query;
    this.#query = query;
    if (asked === this.#asked && this.#feature) {
      if (before.get("view") !== query.get("view")) this.#showContexts(this.#feature);
      if (before.get("try") !== query.get("try")) this.#try();
      this.#showNeighbourLinks(this.#feature);
      return undefined;
    }
    this.#asked = asked;
    this.params = params;
    return this.#load();
  }

  /** The fixed parts of the page; `#show` fills them. */
  #build() {
    this.status = h("div", { class: "feature-status" }, skeleton(10));
    this.heading = h("h1", { class: "feature-name" });
    this.crumbs = h("nav", { class: "crumbs small", "aria-label": text.breadcrumb });
    this.tokens = h("p", { class: "feature-tokens" });
    this.seen = h("p", { class: "feature-seen small" });
    this.stats = h("dl", { class: "stats" });
    this.previous = h("a", { class: "button step", "aria-label": text.previous, title: `${text.previous} [` }, "‹");
    this.next = h("a", { class: "button step", "aria-label": text.next, title: `${text.next} ]` }, "›");
    this.steer = h("a", { class: "button primary" }, text.steer);
    this.labels = h("label-box", { id: "labels", class: "panel", hidden: true });
    this.labelButton = h("button", { type: "button", "aria-controls": "labels", "aria-expanded": "false", onclick: () => this.#toggleLabels() });
    this.tryText = h("try-text", {});
    this.histogram = h("activation-histogram", {});
    this.contexts = h("div", {});
    this.bands = h("div", {});
    this.logits = h("div", { class: "logits" });
    this.firesOn = h("div", {});
    this.tokenR2 = h("p", { class: "muted small note" });
    this.firesBefore = h("div", {});
    this.cofiring = h("div", {});
    this.neighbours = h("div", {});
    this.logitShape = h("div", {});
    this.connections = h("div", {});
    this.elsewhere = h("div", {});

    const option = (view, label) => h("button", { type: "button", class: "chip", dataset: { view }, onclick: () => setQuery({ view: view || null }) }, label);
    this.views = h("div", { class: "chips", role: "group", "aria-label": text.contexts.title }, option("", text.contexts.snippet), option("full", text.contexts.full));

    this.labels.addEventListener("proposed", (event) => this.#onProposed(event.detail));
    this.tryText.addEventListener("try", (event) => {
      const asked = event.detail.text;
      if (asked === this.#tried) this.#try();
      else setQuery({ try: asked }, { replace: false });
    });

    const section = (title, className, note, ...content) => h("section", { class: className }, h("h2", {}, title), note && h("p", { class: "muted small note" }, note), content);
    this.content = [
      h(
        "header",
        { class: "feature-header" },
        h("div", { class: "feature-title" }, this.crumbs, this.heading, this.seen, this.tokens),
        h("div", { class: "feature-actions" }, h("div", { class: "steps" }, this.previous, this.next), this.labelButton, this.steer),
        this.stats,
      ),
      this.labels,
      h(
        "div",
        { class: "feature-columns" },
        h(
          "div",
          { class: "feature-main" },
          this.tryText,
          h("section", { class: "contexts-section" }, h("div", { class: "section-head" }, h("h2", {}, text.contexts.title), this.views), this.contexts),
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
    const asked = this.#asked;
    const { source, index } = this.params;
    this.classList.toggle("is-loading", this.#feature !== null);
    try {
      const feature = await loadFeature(source, index);
      if (asked !== this.#asked || this.signal.aborted) return;
      this.#show(feature);
    } catch (error) {
      if (asked !== this.#asked || this.signal.aborted) return;
      this.#feature = null;
      this.setTitle(featureId(layerOf(source) ?? "?", index));
      fill(this.status, this.#problem(error));
      fill(this, this.status);
    } finally {
      if (asked === this.#asked) this.classList.remove("is-loading");
    }
  }

  #problem(error) {
    if (error.code === "index_not_ready") return h("state-view", { kind: "empty", heading: text.notReady });
    if (error.status === 404 || error.status === 422) return h("state-view", { kind: "empty", heading: text.unknown, hint: error.message, href: "/browse", action: text.browse });
    return errorView(error, () => this.#load());
  }

  #show(feature) {
    const first = this.firstElementChild === this.status;
    this.#feature = feature;
    this.setTitle(text.title(featureId(feature.layer, feature.index), featureName(feature)));
    this.#showHeader(feature);
    if (first) fill(this, this.content);
    this.labels.show(feature);
    this.#showContexts(feature);
    fill(this.bands, feature.bands.toReversed().map((band) => bandView(band, feature)));
    fill(this.logits, logitTable(text.logits.promoted, feature.promoted, "up"), logitTable(text.logits.suppressed, feature.suppressed, "down"));
    fill(this.firesOn, shareTable(feature.top_tokens, text.firesOn.note));
    fill(this.firesBefore, nextTokens(feature));
    fill(this.cofiring, cofiringList(feature));
    fill(this.tokenR2, tokenR2Note(feature));
    this.tokenR2.hidden = feature.token_r2 === null;
    fill(this.neighbours, neighbourList(feature.neighbours));
    fill(this.logitShape, logitShape(feature.weights));
    fill(this.elsewhere, elsewhere(feature.weights));
    fill(this.connections, connections(feature.weights));
    if (feature.weights === null) setTimeout(() => this.#askAgain(feature), PENDING_MS);
    for (const part of [this.histogram, this.firesOn, this.firesBefore, this.cofiring]) part.closest("section").hidden = feature.status === "dead";
    if (feature.status !== "dead") this.histogram.show(feature.histogram);
    this.#try();
    setTimeout(() => this.#prefetch(feature), PREFETCH_MS);
  }

  #showHeader(feature) {
    const id = featureId(feature.layer, feature.index);
    const browse = `/browse?layer=${feature.layer}`;
    fill(this.crumbs, h("a", { href: browse }, `${text.breadcrumb} ${feature.layer}`), h("span", { class: "num" }, ` · ${feature.index} `), statusMark(feature.status));
    const dead = feature.status === "dead";
    if (feature.label) fill(this.heading, h("span", { dir: "auto" }, feature.label), " ", automaticBadge(feature.label_origin));
    else if (dead) fill(this.heading, id);
    else fill(this.heading, h("span", { class: "muted" }, `${text.unnamed} `), featureNameNodes(feature));
    fill(this.tokens, feature.label && !dead && [h("span", { class: "muted small" }, `${text.unnamed} `), feature.top_tokens.slice(0, 6).map((token) => tokenChip(token.text))]);
    fill(this.seen, evidence(feature));
    const stat = (value, unit, title) => h("div", { title }, h("dd", { class: "num" }, value), h("dt", {}, unit));
    const { stats } = text;
    fill(
      this.stats,
      !dead && [
        stat(formatPercent(feature.rate), stats.ofTokens, stats.rateTitle(feature.firing_count, feature.n_tokens)),
        stat(formatInteger(feature.firing_count), stats.count),
        stat(formatValue(feature.mean), stats.mean),
        stat(formatValue(feature.max), stats.max),
        feature.token_r2 !== null && stat(formatR2(feature.token_r2), stats.tokenR2, tokenR2Note(feature)),
      ],
    );
    const named = feature.label_origin === "human";
    this.labelButton.textContent = named ? text.name.proposals(feature.labels.filter(({ unclear }) => !unclear).length) : text.name.open;
    this.labelButton.title = feature.label ? text.name.rename : text.name.open;
    this.steer.href = steerLink(feature);
    this.#showNeighbourLinks(feature);
  }

  /** Previous and next keep the view and the text being tried. */
  #showNeighbourLinks(feature) {
    for (const [link, index] of [
      [this.previous, feature.previous],
      [this.next, feature.next],
    ]) {
      if (index === null) link.removeAttribute("href");
      else link.href = this.#pathTo(index);
      link.toggleAttribute("aria-disabled", index === null);
    }
  }

  #showContexts(feature) {
    const full = this.#query.get("view") === "full";
    for (const button of this.views.children) button.setAttribute("aria-pressed", String((button.dataset.view === "full") === full));
    this.views.hidden = feature.contexts.length === 0;
    fill(
      this.contexts,
      feature.contexts.length
        ? contextList(feature.contexts, { max: feature.max, full, label: text.contexts.title })
        : h("state-view", { kind: "empty", heading: feature.status === "dead" ? text.dead : text.contexts.none, hint: feature.status === "dead" ? text.deadHint : null }),
    );
    this.bands.closest("section").hidden = feature.bands.length === 0;
  }

  async #try() {
    const feature = this.#feature;
    this.#tried = this.#query.get("try") ?? "";
    const tried = await this.tryText.run(feature.source, feature.index, this.#tried, feature.max);
    if (feature === this.#feature && feature.status !== "dead") this.histogram.show(feature.histogram, { tried });
  }

  #toggleLabels(open = this.labels.hidden) {
    this.labels.hidden = !open;
    this.labelButton.setAttribute("aria-expanded", String(open));
    if (open) this.labels.focusField();
  }

  #openLabels() {
    if (this.#feature) this.#toggleLabels(true);
  }

  #onProposed({ source, index, text: label }) {
    forgetFeature(source, index);
    relabel(source, index, label);
    toast(text.name.saved);
    this.#toggleLabels(false);
    this.labelButton.focus();
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

/** What the automatic label of a feature that no person has named goes by, or why there is none. */
function evidence({ label_origin: origin, labels: [latest] }) {
  if (origin === "human" || latest?.origin !== "automatic") return null;
  const { unclear, confidence, reason } = latest;
  return [
    unclear && [h("b", {}, text.name.unclear), " ", automaticBadge("automatic"), " "],
    h("span", { class: "muted", dir: "auto" }, [reason, confidence && text.name.confidence[confidence]].filter(Boolean).join(" · ")),
  ];
}

/** In words; null where it is not known. */
function tokenR2Note({ token_r2: r2, half_firings: firings }) {
  return r2 === null ? null : text.tokenR2(r2, firings < ENOUGH_FIRINGS ? firings : null);
}

const steerLink = ({ source, index }) => steerPath({ interventions: [{ source, index }] });

function logitTable(title, tokens, direction) {
  const strongest = Math.max(1e-9, ...tokens.map(({ logit }) => Math.abs(logit)));
  const row = ({ text: token, logit }) =>
    h("tr", {}, h("th", { scope: "row" }, tokenChip(token)), h("td", { class: "num bar", style: { "--length": `${(Math.abs(logit) / strongest) * 100}%` } }, formatSigned(logit)));
  return h("table", { class: `bars is-${direction}` }, h("caption", {}, title), h("tbody", {}, tokens.map(row)));
}

function shareTable(tokens, note) {
  const row = ({ text: token, share }) => h("tr", {}, h("th", { scope: "row" }, tokenChip(token)), h("td", { class: "num bar", style: { "--length": `${share * 100}%` } }, formatPercent(share)));
  return h("table", { class: "bars is-share", title: note }, h("tbody", {}, tokens.map(row)));
}

const quiet = (words) => h("p", { class: "muted small" }, words);

/** What comes next after it fires; on the sample, or not known of an index from before there was one. */
function nextTokens({ next_tokens: tokens, sampled_firings: sampled, firing_count: all }) {
  const { none, note, unknown, counted } = text.firesBefore;
  if (tokens === null) return quiet(unknown);
  return [tokens.length ? shareTable(tokens, note) : quiet(none), h("p", { class: "muted small note" }, counted(sampled, all))];
}

function cofiringList({ cofiring, sampled_tokens: tokens, sampled_firings: firings, n_tokens: all }) {
  const { counted, joint, lift, liftTitle, none, unknown } = text.cofiring;
  if (cofiring === null) return quiet(unknown);
  const figures = (other) => [h("span", { class: "num small", title: liftTitle(other.lift, other.joint) }, lift(other.lift)), h("span", { class: "num small muted", title: joint }, formatInteger(other.joint))];
  return [cofiring.length ? featureLinks(cofiring, "is-cofiring", figures) : quiet(none), h("p", { class: "muted small note" }, counted(tokens, all, firings))];
}

function neighbourList(neighbours) {
  if (!neighbours.length) return quiet(text.neighbours.none);
  return featureLinks(neighbours, null, (other) => h("span", { class: "num small", title: text.neighbours.cosine }, formatValue(other.cosine)));
}

function bandView(band, feature) {
  const name = text.bands.band(band.band);
  return h(
    "section",
    { class: "band" },
    h(
      "header",
      {},
      h("h3", {}, name),
      h("p", { class: "num small muted" }, text.bands.range(band.low, band.high)),
      h("p", { class: "num small muted" }, text.bands.share(band.count, band.share)),
    ),
    band.contexts.length ? contextList(band.contexts, { max: feature.max, label: name }) : h("p", { class: "muted small" }, text.bands.none),
  );
}

customElements.define("feature-page", FeaturePage);
