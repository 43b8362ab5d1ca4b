/** <home-page>: what this model is, how healthy its layers are, and the ways in. */

import { errorView, skeleton } from "../components/state-view.js";
import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { formatInteger, formatPercent, formatValue } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { navigate } from "../lib/router.js";
import { loadModel, onStale } from "../lib/store.js";
import { home as text } from "./home-strings.js";
import { steerPath } from "./steer-link.js";

const PRESETS_SHOWN = 5;
const CAMPAIGNS_SHOWN = 2;

class HomePage extends Page {
  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "home-page");
    this.body = h("div", {});
    this.search = searchForm(); // made once: what is typed outlives a server that restarts
    this.append(this.body);
    onStale(() => this.#load(), { signal: this.signal });
  }

  onRoute() {
    this.setTitle("");
    return this.#load();
  }

  async #load() {
    if (!this.body.hasChildNodes()) fill(this.body, skeleton(8));
    try {
      const { signal } = this;
      const none = () => ({ items: [] }); // the page is as good without
      const [model, presets, campaigns] = await Promise.all([loadModel(), api.presets({ signal }).catch(none), api.campaigns({ signal }).catch(none)]);
      if (!signal.aborted) fill(this.body, introduction(model, this.search), ways(model, presets.items, campaigns.items), layers(model), card(model));
    } catch (error) {
      if (!this.signal.aborted && !this.search.isConnected) fill(this.body, errorView(error, () => this.#load()));
    }
  }
}

function searchForm() {
  const search = (event) => {
    event.preventDefault();
    const q = field.value.trim();
    navigate(q ? `/browse?${new URLSearchParams({ q })}` : "/browse");
  };
  const field = h("input", { type: "search", name: "q", "aria-label": text.searchLabel, placeholder: text.searchPlaceholder, autocomplete: "off", enterkeyhint: "search" });
  return h("form", { class: "home-search", role: "search", onsubmit: search }, field, h("button", { type: "submit", class: "primary" }, text.search));
}

function introduction(model, search) {
  const { facts } = text;
  const numbers = [facts.parameters(model.n_parameters), facts.layers(model.n_layers), facts.width(model.d_model), facts.vocabulary(model.vocab_size), facts.context(model.max_context)];
  return h(
    "header",
    { class: "home-head" },
    h("h1", { dir: "auto" }, model.name),
    h("p", { class: "lead" }, text.lead),
    h("ul", { class: "facts num" }, numbers.map((fact) => h("li", {}, fact))),
    search,
  );
}

function ways(model, presets, campaigns) {
  const sum = (count) => model.sources.reduce((all, source) => all + count(source), 0);
  const alive = sum(({ n_alive: n, n_features: all }) => n ?? all);
  const named = sum(({ n_labelled: n }) => n);
  const way = (href, title, hint, links) =>
    h("section", { class: "panel way" }, h("h2", {}, h("a", { href }, title)), h("p", { class: "muted" }, hint), h("ul", {}, links.map(([label, target, note]) => h("li", {}, h("a", { href: target, dir: "auto", title: note }, label)))));
  const inspect = text.inspectTexts.map((sample) => [sample.split("\n")[0], `/inspect?${new URLSearchParams({ text: sample })}`]);
  const steer = presets.length
    ? presets.slice(0, PRESETS_SHOWN).map((preset) => [preset.name, steerPath(preset), preset.description])
    : text.steerPrompts.map((prompt) => [prompt, steerPath({ prompt })]);
  return h(
    "div",
    { class: "ways" },
    way("/browse", text.browse, text.browseHint(alive), text.browseLinks),
    way("/inspect", text.inspect, text.inspectHint, inspect),
    way("/steer", text.steer, text.steerHint, steer),
    way("/label", text.label, text.labelHint(named, alive, named - sum(({ n_automatic: n }) => n)), [...toLabel(campaigns), ...text.labelLinks]),
  );
}

/** Campaigns in which something is left to do, or where all of them are. */
function toLabel(campaigns) {
  const mine = campaigns.filter(({ takes_part: mine, closed_at: closed, progress }) => mine && closed === null && progress.left_for_me > 0);
  if (!mine.length) return [[text.campaigns, "/label"]];
  return mine.slice(0, CAMPAIGNS_SHOWN).map(({ id, name, progress }) => [name, `/label/${encodeURIComponent(id)}`, text.campaignLeft(progress.left_for_me)]);
}

function layers(model) {
  const row = (source) => {
    const known = source.n_alive !== null;
    const share = known ? source.n_alive / Math.max(1, source.n_features) : 0;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("a", { href: `/browse?layer=${source.layer}`, class: "num", title: source.key }, `${text.layer} ${source.layer}`)),
      h("td", { class: "num" }, formatInteger(source.n_alive ?? Number.NaN), h("span", { class: "muted" }, ` / ${formatInteger(source.n_features)}`)),
      h("td", { class: "meter-cell" }, h("span", { class: "meter", style: { "--share": `${share * 100}%` }, "aria-hidden": "true" })),
      h("td", { class: "num" }, formatInteger(source.n_dead ?? Number.NaN), known && h("span", { class: "muted" }, ` ${formatPercent(1 - share)}`)),
      h("td", { class: "num optional", title: text.namedTitle(source.n_labelled - source.n_automatic, source.n_automatic) }, formatInteger(source.n_labelled)),
      h("td", { class: "num" }, number(source.fvu)),
      h("td", { class: "num" }, source.l0 === null ? "–" : source.l0.toFixed(1)),
      h("td", { class: "num optional" }, source.alpha === null ? "–" : String(Number(source.alpha.toFixed(3)))),
    );
  };
  const heads = [[text.layer], [text.alive], [""], [text.dead], [text.named, "optional"], [text.fvu], [text.l0], [text.alpha, "optional"]];
  return h(
    "section",
    { class: "home-section" },
    h("h2", {}, text.layers),
    h(
      "div",
      { class: "panel layers" },
      h("table", {}, h("thead", {}, h("tr", {}, heads.map(([head, optional]) => h(head ? "th" : "td", { scope: head ? "col" : null, class: optional }, head)))), h("tbody", {}, model.sources.map(row))),
    ),
    h("p", { class: "muted small note" }, text.layersNote),
    model.corpus && h("p", { class: "muted small note" }, text.corpus(model.corpus.name, model.corpus.n_documents, model.corpus.n_tokens)),
  );
}

const number = (value) => (value === null || value === undefined ? "–" : formatValue(value));

function card(model) {
  const entries = [[text.fingerprint, model.fingerprint], ...flatten(headlines(model.card))];
  return h(
    "details",
    { class: "home-section model-card" },
    h("summary", {}, text.card),
    model.description && h("p", { dir: "auto" }, model.description),
    h("dl", {}, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "num" }, value)))),
  );
}

/** The card without what is too long to be read here: curves and configuration stand in the model's own folder. */
function headlines({ curves, config, ...rest }) {
  return rest;
}

/** { a: { b: 1 }, c: [2, 3] } -> [["a · b", "1"], ["c", "2, 3"]]: whatever the card holds, as names and values. */
function flatten(value, path = []) {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) return [[path.join(" · "), value.map(plain).join(", ")]];
  if (typeof value === "object") return Object.entries(value).flatMap(([key, item]) => flatten(item, [...path, key.replaceAll("_", " ")]));
  return [[path.join(" · "), plain(value)]];
}

const plain = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : String(value));

customElements.define("home-page", HomePage);
