/**
 * <feature-head>: what a feature is, at a glance: where it stands, its name or what it fires on, what it writes, how often
 * and how strongly it fires; and ways on from here. `show(feature, pathTo)` fills it. Event "names": its names were asked for.
 */

import { collect } from "../lib/collect.js";
import { fill, h } from "../lib/dom.js";
import { featureId, formatInteger, formatPercent, formatR2, formatValue } from "../lib/format.js";
import { comparePath } from "../lib/compare-path.js";
import { steerFeaturePath } from "../lib/steer-feature.js";
import { feature as text } from "../pages/feature-strings.js";
import { automaticBadge } from "./automatic-badge.js";
import { featureNameNodes } from "./feature-name.js";
import { tokenR2Note } from "./feature-tables.js";
import { statusMark } from "./status-mark.js";
import { tokenChip } from "./token-chip.js";

const FIRED_ON = 6;
const PROMOTED = 8;

class FeatureHead extends HTMLElement {
  /** @type {any} */ #feature = null;

  connectedCallback() {
    if (this.heading) return;
    this.crumbs = h("nav", { class: "crumbs small", "aria-label": text.breadcrumb });
    this.heading = h("h1", { class: "feature-name" });
    this.seen = h("p", { class: "feature-seen small" });
    this.tokens = h("dl", { class: "feature-tokens" });
    this.stats = h("dl", { class: "stats" });
    this.previous = h("a", { class: "button step", "aria-label": text.previous, title: `${text.previous} [` }, "‹");
    this.next = h("a", { class: "button step", "aria-label": text.next, title: `${text.next} ]` }, "›");
    this.names = h("button", { type: "button", "aria-controls": "labels", "aria-expanded": "false", onclick: () => this.dispatchEvent(new CustomEvent("names")) });
    this.collect = h("button", { type: "button", title: text.collectTitle, onclick: () => this.#feature && collect([this.#feature]) }, text.collect);
    this.compare = h("a", { class: "button" }, text.compare);
    this.steer = h("a", { class: "button primary" }, text.steer);
    fill(
      this,
      h("div", { class: "feature-title" }, this.crumbs, this.heading, this.seen, this.tokens),
      h("div", { class: "feature-actions" }, h("div", { class: "steps" }, this.previous, this.next), this.names, this.collect, this.compare, this.steer),
      this.stats,
    );
  }

  /** `pathTo(index)`: the address of another feature of the source. */
  show(feature, pathTo) {
    this.#feature = feature;
    const dead = feature.status === "dead";
    fill(this.crumbs, h("a", { href: `/browse?layer=${feature.layer}` }, `${text.breadcrumb} ${feature.layer}`), h("span", { class: "num" }, ` · ${feature.index} `), statusMark(feature.status));
    if (feature.label) fill(this.heading, h("span", { dir: "auto" }, feature.label), " ", automaticBadge(feature.label_origin));
    else if (dead) fill(this.heading, featureId(feature.layer, feature.index));
    else fill(this.heading, h("span", { class: "muted" }, `${text.unnamed} `), featureNameNodes(feature));
    fill(
      this.tokens,
      feature.label && !dead && chips(text.unnamed, feature.top_tokens.slice(0, FIRED_ON)),
      chips(text.writes, feature.promoted.slice(0, PROMOTED)),
    );
    fill(this.seen, evidence(feature));
    fill(this.stats, dead ? null : stats(feature));
    const people = feature.labels.filter(({ unclear }) => !unclear).length;
    this.names.textContent = feature.label_origin === "human" ? text.name.proposals(people) : text.name.open;
    this.names.title = feature.label ? text.name.rename : text.name.open;
    this.steer.href = steerFeaturePath(feature);
    this.compare.href = comparePath([feature, ...(feature.neighbours.slice(0, 1) ?? [])]);
    this.showNeighbours(feature, pathTo);
  }

  /** Previous and next keep the view and the text being tried. */
  showNeighbours(feature, pathTo) {
    for (const [link, index] of [
      [this.previous, feature.previous],
      [this.next, feature.next],
    ]) {
      if (index === null) link.removeAttribute("href");
      else link.href = pathTo(index);
      link.toggleAttribute("aria-disabled", index === null);
    }
  }
}

const chips = (name, tokens) => tokens.length > 0 && h("div", {}, h("dt", {}, name), h("dd", {}, tokens.map((token) => tokenChip(token.text))));

function stats(feature) {
  const stat = (value, unit, title) => h("div", { title }, h("dd", { class: "num" }, value), h("dt", {}, unit));
  const { stats: names } = text;
  return [
    stat(formatPercent(feature.rate), names.ofTokens, names.rateTitle(feature.firing_count, feature.n_tokens)),
    stat(formatInteger(feature.firing_count), names.count),
    stat(formatValue(feature.mean), names.mean),
    stat(formatValue(feature.max), names.max),
    feature.token_r2 !== null && stat(formatR2(feature.token_r2), names.tokenR2, tokenR2Note(feature)),
  ];
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

customElements.define("feature-head", FeatureHead);
