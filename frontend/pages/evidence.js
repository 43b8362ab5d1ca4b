/** <evidence-page>: the predictions and how they stand; what experiments found; curves of training. The address holds what is chosen. */

import { errorView, skeleton } from "../components/state-view.js";
import { withCommands } from "../components/command-words.js";
import { verdictCard } from "../components/verdict-card.js";
import { isAbort } from "../lib/api.js";
import { evidenceApi } from "../lib/api-evidence.js";
import { fill, h, refill } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { loadModel, onStale } from "../lib/store.js";
import { statusBadge } from "../components/status-badge.js";
import { evidence as text } from "./evidence-strings.js";

class EvidencePage extends Page {
  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "evidence-page");
    this.list = h("div", {}, skeleton(2));
    this.shown = h("div", { class: "evidence-shown" });
    this.known = h("div", {}, skeleton(3));
    fill(
      this,
      h("h1", {}, text.title),
      h("p", { class: "lead" }, text.lead),
      this.list,
      this.shown,
      h("section", { class: "evidence-known" }, h("h2", {}, text.known), this.known),
    );
    onStale(() => this.onRoute({ query: new URLSearchParams(location.search) }), { signal: this.signal });
  }

  onRoute({ query }) {
    this.setTitle(text.title);
    return Promise.all([this.#load(query), this.#card()]);
  }

  async #card() {
    try {
      const model = await loadModel();
      if (!this.signal.aborted) fill(this.known, held(model.card.held_out));
    } catch (error) {
      if (!this.signal.aborted) fill(this.known, errorView(error, () => this.#card()));
    }
  }

  async #load(query) {
    const { signal } = this;
    const mine = (this.asked = Symbol("asked")); // what was asked for last is what is shown
    const late = () => signal.aborted || this.asked !== mine;
    try {
      const [found, model] = await Promise.all([evidenceApi.all({ signal }), loadModel().catch(() => null)]);
      if (late()) return;
      const state = stateOf(query, found, model);
      refill(this.list, listView(found, state, model));
      const view = await this.#view(found, model, state, signal);
      if (!late()) refill(this.shown, view);
    } catch (error) {
      if (isAbort(error) || late()) return;
      fill(this.shown, errorView(error, () => this.#load(query)));
      if (!this.list.querySelector(".evidence-list")) fill(this.list);
    }
  }

  /** What is chosen, with the code that shows it. */
  async #view(found, model, state, signal) {
    const views = [];
    const items = state.documents.map((key) => found.documents.find((item) => item.key === key)).filter(Boolean);
    const gone = state.documents.length - items.length + state.runs.filter((key) => !found.runs.some((run) => run.key === key)).length;
    if (gone) views.push(h("p", { class: "evidence-other" }, text.gone));
    if (items.length) {
      const documents = await Promise.all(items.map(({ key }) => evidenceApi.document(key, { signal })));
      if (items.length === 1) {
        const { documentView } = await import("../components/evidence-document.js");
        views.push(documentView(items[0], documents[0], model, state.section, (section) => pathOf({ ...state, section })));
      } else {
        const { compareView } = await import("../components/evidence-compare.js");
        views.push(compareView(items.map((item, place) => ({ key: item.key, document: documents[place] }))));
      }
    }
    const runs = state.runs.filter((key) => found.runs.some((run) => run.key === key));
    if (runs.length) {
      const [{ runsView }, curves] = await Promise.all([import("../components/evidence-runs.js"), Promise.all(runs.map((key) => evidenceApi.run(key, { signal })))]);
      views.push(runsView(curves, state.curves, (chosen) => pathOf({ ...state, curves: chosen })));
    }
    return views.length ? views : empty();
  }
}

/** @typedef {{ documents: string[], runs: string[], section: string, curves: string[] }} State */

/** What the address says; where it says nothing, the newest report of the model that is served, else of any model. @returns {State} */
function stateOf(query, found, model) {
  const state = { documents: query.getAll("d"), runs: query.getAll("r"), section: query.get("s") ?? "", curves: query.getAll("c") };
  if (state.documents.length || state.runs.length) return state;
  const reports = found.documents.filter(({ kind }) => kind === "eval").sort((a, b) => (b.time ?? "").localeCompare(a.time ?? ""));
  const best = reports.find((item) => item.model !== null && item.model === model?.fingerprint) ?? reports[0];
  return best ? { ...state, documents: [best.key] } : state;
}

/** @param {State} state */
function pathOf({ documents, runs, section, curves }) {
  const query = new URLSearchParams([...documents.map((key) => ["d", key]), ...runs.map((key) => ["r", key]), ...(section ? [["s", section]] : []), ...curves.map((name) => ["c", name])]);
  return `/evidence${query.size ? `?${query}` : ""}`;
}

/** Everything there is, to be chosen: alone by its title, beside others by the link after it. */
function listView(found, state, model) {
  const groups = Object.entries(text.kinds).map(([kind, title]) => [title, found.documents.filter((item) => item.kind === kind).map((item) => documentRow(item, state, model))]);
  groups.push([text.runs, found.runs.map((run) => runRow(run, state))]);
  const shown = groups.filter(([, rows]) => rows.length);
  if (!shown.length && !found.broken.length) return null;
  return h("nav", { class: "panel evidence-list", "aria-label": text.list },
    shown.map(([title, rows]) => h("section", {}, h("h2", {}, title), h("ul", {}, rows))),
    found.broken.length > 0 && h("section", { class: "evidence-broken" }, h("h2", {}, text.broken), h("ul", {}, found.broken.map(({ file, reason }) => h("li", {}, h("code", {}, file), " ", h("span", { class: "muted" }, reason))))),
    found.left_out > 0 && h("p", { class: "muted small" }, text.leftOut(found.left_out)));
}

function documentRow(item, state, model) {
  const ours = item.kind === "eval" && item.model !== null && item.model === model?.fingerprint;
  return row(item.key, item.title, state.documents, pathOf({ documents: [item.key], runs: [], section: "", curves: [] }), (documents) => pathOf({ ...state, documents, section: "" }),
    [item.verdicts.map(({ name, status }) => h("span", { class: "evidence-verdict" }, `${name} `, statusBadge(status))), ours && h("span", { class: "muted small" }, text.served), item.time && h("span", { class: "muted small" }, formatTime(item.time))]);
}

const runRow = (run, state) =>
  row(run.key, run.name, state.runs, pathOf({ documents: [], runs: [run.key], section: "", curves: state.curves }), (runs) => pathOf({ ...state, runs }), []);

function row(key, title, chosen, alone, among, facts) {
  const here = chosen.includes(key);
  const others = here ? chosen.filter((each) => each !== key) : [...chosen, key];
  const beside = chosen.length > (here ? 1 : 0) && h("a", { href: among(others), class: "small", "aria-label": here ? text.takeAway(title) : text.putBeside(title), "data-key": `beside-${key}` }, here ? text.away : text.beside);
  return h("li", { class: here ? "is-chosen" : null }, h("a", { href: alone, "aria-current": here ? "true" : null, "data-key": `alone-${key}` }, title), facts, beside);
}

function empty() {
  return [
    h("div", { class: "panel evidence-empty" }, h("p", {}, h("b", {}, text.emptyHeading)), h("p", { class: "muted" }, withCommands(text.emptyHint))),
    h("div", { class: "verdicts" }, text.predictions.map((prediction) => verdictCard(prediction))),
  ];
}

/** The figures on held-out text that this page knows how to read; a card may hold anything. */
function held(figures) {
  const known = Object.entries(text.card).filter(([key]) => Number.isFinite(figures?.[key]));
  if (!known.length) return h("p", { class: "muted" }, text.noCard);
  return [
    h("dl", { class: "stats" }, known.map(([key, [name, show]]) => h("div", {}, h("dt", {}, name), h("dd", { class: "num" }, show(figures[key]))))),
    h("p", { class: "muted small note" }, text.knownNote),
  ];
}

customElements.define("evidence-page", EvidencePage);
