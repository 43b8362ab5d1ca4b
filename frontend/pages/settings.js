/** <settings-page>: what a reader may choose, and what is served here. */

import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { tokenStrip } from "../components/token-strip.js";
import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { formatPercent } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { CHOICES, choose, onSettingChange, setting } from "../lib/settings.js";
import { withSheets } from "../lib/sheets.js";
import { loadModel, onStale, session } from "../lib/store.js";
import { settings as text } from "./settings-strings.js";

class SettingsPage extends Page {
  /** @type {any} */ #model = null;
  /** @type {any} */ #readiness = null;

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page", "settings-page");
    this.server = h("div", {}, skeleton(8));
    const group = (title, ...content) => h("section", { class: "panel settings-group" }, h("h2", {}, title), content);
    this.files = h("section", { id: "labels", class: "panel settings-group" }, h("h2", {}, text.groups.labels), skeleton(2));
    withSheets(import("../components/label-files.js"), "collections").then(
      () => this.files.lastElementChild?.replaceWith(h("label-files", {})),
      (error) => this.files.lastElementChild?.replaceWith(errorView(error, () => location.reload())),
    );
    this.sample = h("div", { class: "settings-sample", role: "img", "aria-label": text.sample.label });
    fill(
      this,
      h("header", { class: "settings-head" }, h("h1", {}, text.title), h("p", { class: "muted" }, text.kept)),
      group(text.groups.look, segments("theme"), segments("density"), segments("motion")),
      group(text.groups.reading, segments("blanks"), this.sample),
      group(text.groups.lists, menu("sort")),
      h("p", {}, h("button", { type: "button", onclick: () => this.#reset() }, text.reset)),
      this.files,
      group(text.groups.server, this.server),
    );
    this.#showChoices();
    onSettingChange(() => this.#showChoices(), { signal });
    session.subscribe(() => this.#lookAgain(), { signal });
    onStale(() => this.#load(), { signal });
  }

  onRoute() {
    this.setTitle(text.title);
    return this.#load();
  }

  #showChoices() {
    for (const field of /** @type {NodeListOf<HTMLInputElement>} */ (this.querySelectorAll("[data-setting]"))) {
      if (field.localName === "select") field.value = setting(field.dataset.setting);
      else field.checked = field.value === setting(field.dataset.setting);
    }
    const { tokens, values } = text.sample;
    fill(this.sample, tokenStrip(tokens, values, { multiline: true, peak: 1 }));
  }

  #reset() {
    for (const [name, [first]] of Object.entries(CHOICES)) choose(name, first);
    toast(text.resetDone);
  }

  async #load() {
    try {
      [this.#model, this.#readiness] = await Promise.all([loadModel(), api.readiness({ signal: this.signal })]);
      if (!this.signal.aborted) this.#showServer();
    } catch (error) {
      if (!this.signal.aborted) fill(this.server, errorView(error, () => this.#load()));
    }
  }

  async #lookAgain() {
    if (!this.#model) return;
    // a server that is known to be away is not asked here, too: it is asked every second
    this.#readiness = session.state.offline ? null : await api.readiness({ signal: this.signal }).catch(() => null);
    if (!this.signal.aborted) this.#showServer();
  }

  #showServer() {
    const { health } = session.state;
    const model = this.#model;
    const { build, corpus, sources } = model;
    const names = text.facts;
    const sum = (key) => sources.reduce((total, source) => total + source[key], 0);
    const index = health && [text.indexStates[health.index.state], health.index.state === "building" && formatPercent(health.index.progress)].filter(Boolean).join(", ");
    const facts = [
      [names.web, ...well(this.#readiness && !this.#readiness.stopping, this.#readiness ? (this.#readiness.stopping ? text.stopping : text.answers) : text.silent)],
      [names.worker, ...well(this.#readiness?.model === "ready", text.workerStates[this.#readiness?.model] ?? text.silent)],
      [names.database, ...well(this.#readiness?.database === "ok", text.databaseStates[this.#readiness?.database] ?? text.silent)],
      [names.index, ...well(health?.index.state === "ready", index ?? text.silent)],
      [names.model, model.name],
      [names.fingerprint, h("code", {}, model.fingerprint)],
      [names.size, text.parameters(model.n_parameters, model.n_layers, model.d_model)],
      [names.sources, text.features(sum("n_features"), sources.length, sum("n_labelled"))],
      corpus && [names.corpus, text.corpusFacts(corpus.name, corpus.n_documents, corpus.n_tokens)],
      [names.device, build.device === "cpu" ? text.threads(build.cpu, build.threads) : build.device],
      [names.dtype, build.dtype],
      [names.rows, String(build.rows)],
      [names.versions, `MFN Studio ${build.version}, torch ${build.torch}, transformers ${build.transformers}`],
    ];
    fill(
      this.server,
      h("dl", { class: "settings-facts" }, facts.filter(Boolean).map(([name, ...value]) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, value)))),
      h("p", { class: "note" }, h("a", { href: "/metrics" }, text.measured)),
    );
  }
}

/** A sign and a word: the colour is not alone. */
const well = (good, words) => [h("span", { class: good ? "is-well" : "is-ill", "aria-hidden": "true" }, good ? "✓" : "!"), " ", words];

const hint = (name) => text.hints[name] && h("p", { class: "muted small", id: `hint-${name}` }, text.hints[name]);

function segments(name) {
  const option = (value) =>
    h("label", { class: "segment" }, h("input", { type: "radio", name, value, dataset: { setting: name }, "aria-describedby": text.hints[name] && `hint-${name}`, onchange: () => choose(name, value) }), h("span", {}, text.choices[name][value]));
  return h("fieldset", { class: "settings-row" }, h("legend", {}, text.names[name]), h("div", { class: "segments" }, CHOICES[name].map(option)), hint(name));
}

function menu(name) {
  const field = h("select", { id: `setting-${name}`, dataset: { setting: name }, "aria-describedby": `hint-${name}`, onchange: () => choose(name, field.value) }, CHOICES[name].map((value) => h("option", { value }, text.choices[name][value])));
  return h("div", { class: "settings-row" }, h("label", { for: field.id }, text.names[name]), field, hint(name));
}

customElements.define("settings-page", SettingsPage);
