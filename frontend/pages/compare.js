/** <compare-page>: two to four features side by side, and how each pair of them relates. */

import "../components/feature-picker.js";
import { compareCard } from "../components/compare-card.js";
import { pairTable } from "../components/compare-pairs.js";
import { errorView, skeleton } from "../components/state-view.js";
import { api, isAbort } from "../lib/api.js";
import { collect } from "../lib/collect.js";
import { MOST, FEWEST, comparePath, parseCompare } from "../lib/compare-path.js";
import { fill, h } from "../lib/dom.js";
import { featureId } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { navigate } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { loadFeature, onStale } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { compare as text } from "./compare-strings.js";
import { steerPath } from "./steer-link.js";

class ComparePage extends Page {
  #asked = [];
  #visit = 0;

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page", "compare-page");
    this.steer = h("a", { class: "button primary" }, text.steer);
    this.problems = h("div", { class: "compare-problems error-text", role: "status" });
    this.collect = h("button", { type: "button", onclick: () => collect(this.#asked) }, text.collect);
    this.picker = h("mfn-feature-picker", {});
    this.full = h("p", { class: "muted small" }, text.full);
    this.pairs = h("div", {});
    this.cards = h("div", { class: "compare-cards", role: "region", "aria-label": text.cards, tabindex: 0 });
    this.body = h("div", {});
    fill(
      this,
      h("header", { class: "compare-head" }, h("div", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)), this.picker, this.full, this.collect, this.steer),
      this.problems,
      this.body,
    );
    this.picker.addEventListener("featurepick", ({ detail: { feature } }) => this.#change([...this.#asked, feature]));
    addShortcut("s", text.steer, () => navigate(this.steer.href), { group: strings.help.groups.compare, signal });
    onStale(() => this.#load(), { signal });
  }

  onRoute({ query }) {
    const { features, problems } = parseCompare(query);
    this.#asked = features.slice(0, MOST);
    const left = features.length - this.#asked.length;
    fill(this.problems, problems.map((asked) => h("p", {}, text.unread(asked))), left > 0 && h("p", {}, text.tooMany(left)));
    this.picker.hidden = this.#asked.length >= MOST;
    this.full.hidden = !this.picker.hidden;
    this.collect.hidden = this.#asked.length === 0;
    this.steer.hidden = this.#asked.length < FEWEST;
    this.steer.href = steerPath({ interventions: this.#asked });
    this.setTitle(text.title);
    return this.#load();
  }

  #change(features) {
    navigate(comparePath(features));
  }

  async #load() {
    const visit = ++this.#visit;
    if (!this.#asked.length) {
      fill(this.body, h("state-view", { kind: "empty", heading: text.emptyHeading, hint: text.emptyHint, href: "/browse", action: text.browse }));
      return;
    }
    if (!this.cards.isConnected) fill(this.body, skeleton(8));
    try {
      const features = await Promise.all(this.#asked.map(({ source, index }) => loadFeature(source, index).catch((error) => unknown(error, source, index))));
      if (visit !== this.#visit || this.signal.aborted) return;
      this.#show(features);
      await this.#showPairs(features.filter((feature) => !feature.missing), visit);
    } catch (error) {
      if (visit === this.#visit && !this.signal.aborted && !isAbort(error)) fill(this.body, errorView(error, () => this.#load()));
    }
  }

  #show(features) {
    const known = features.filter((feature) => !feature.missing);
    const titles = known.map(({ layer, index }) => featureId(layer, index)).join(", ");
    this.setTitle(`${text.title}: ${titles}`);
    const actions = (place) => ({
      remove: () => this.#change(this.#asked.toSpliced(place, 1)),
      swap: place > 0 ? () => this.#change(this.#asked.toSpliced(place - 1, 2, this.#asked[place], this.#asked[place - 1])) : null,
    });
    fill(this.cards, features.map((feature, place) => compareCard(feature, known, actions(place))));
    fill(this.body, this.pairs, known.length < FEWEST && h("p", { class: "muted" }, text.onlyOne), this.cards);
  }

  async #showPairs(features, visit) {
    if (features.length < FEWEST) return fill(this.pairs);
    fill(this.pairs, pairTable(features, null));
    const cosines = await api.cosines(features, { signal: this.signal }).then((answer) => answer.cosines, (error) => (isAbort(error) ? null : undefined));
    if (visit === this.#visit && cosines !== null) fill(this.pairs, pairTable(features, cosines));
  }
}

/** What stands in the place of a feature that is not there; other errors are the page's. */
function unknown(error, source, index) {
  if (error.status === 404 || error.status === 422) return { missing: error.message, source, index };
  throw error;
}

customElements.define("compare-page", ComparePage);
