/**
 * `<mfn-steer-effect>`: what the features turned will do and did: predicted against measured, a sweep over strengths, a
 * search for a good one.
 *
 * Set `.state` to the page's state whenever it changes. Event (bubbling): `strengthpick` {detail: {interventions, settings}}
 * with interventions as the API gives them, or {detail: {dose, swept}}.
 */
import { isAbort } from "../lib/api.js";
import { steering } from "../lib/api-steer.js";
import { announce, fill, h } from "../lib/dom.js";
import { formatPercent, formatSigned, formatValue, visible } from "../lib/format.js";
import { effect as text } from "../pages/effect-strings.js";
import { requestInterventions } from "../pages/steer-request.js";
import "./effect-plot.js";
import { featureLink, withName } from "./feature-hits.js";
import { tokenChip } from "./token-chip.js";

const SAMPLED = 0.7; // temperature of a search where the page takes the likeliest token: without noise there is one text a strength
const SHOWN = 8;

class SteerEffect extends HTMLElement {
  /** @type {Record<string, HTMLInputElement>} */ fields;
  /** @type {HTMLButtonElement[]} */ buttons;
  /** @type {any} */ #state = null;
  /** @type {{kind: string, key: string}|null} */ #shown = null; // {kind, key}: what the result on screen is of
  /** @type {AbortController|null} */ #request = null;

  connectedCallback() {
    if (!this.result) this.#build();
  }

  disconnectedCallback() {
    this.#request?.abort();
  }

  set state(state) {
    this.#state = state;
    if (this.#shown && this.result) this.#markStale();
  }

  #build() {
    this.setAttribute("role", "region");
    this.setAttribute("aria-labelledby", "effect-title");
    const run = (kind, name, title) => h("button", { type: "button", title, dataset: { kind }, onclick: () => this.#run(kind) }, name);
    this.spotForm = this.#form();
    this.buttons = [
      run("predict", text.predict, text.predictHint),
      run("sweep", text.sweep, text.sweepHint),
      h("button", { type: "button", "aria-expanded": "false", onclick: () => this.#toggleForm() }, text.spot),
    ];
    this.stop = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#request?.abort() }, text.stop);
    this.note = h("p", { class: "effect-note small muted", role: "status" });
    this.result = h("div", { class: "effect-result" });
    this.append(
      h("header", { class: "effect-head" }, h("h2", { id: "effect-title" }, text.title), h("p", { class: "muted small" }, text.lead)),
      h("div", { class: "effect-actions" }, this.buttons, this.stop),
      this.spotForm, this.note, this.result);
  }

  #form() {
    const kinds = Object.entries(text.concepts);
    const value = h("input", { class: "effect-concept", hidden: true, maxlength: "400" });
    const kind = h("select", { "aria-label": text.concept, onchange: () => {
      value.hidden = kind.value === "features";
      value.required = !value.hidden;
      value.placeholder = text.conceptPlaceholder[kind.value] ?? "";
      value.setAttribute("aria-label", text.concepts[kind.value]);
    } }, kinds.map(([key, name]) => h("option", { value: key }, name)));
    const cost = h("input", { type: "number", min: "1", max: "10", step: "0.1", value: "1.5", inputmode: "decimal", required: true });
    this.fields = { kind, value, cost };
    const submit = (event) => {
      event.preventDefault();
      this.#run("spot");
    };
    return h("form", { class: "effect-form", hidden: true, onsubmit: submit },
      h("label", { class: "effect-field" }, h("span", { class: "muted small" }, text.concept), kind), value,
      h("label", { class: "effect-field" }, h("span", { class: "muted small" }, text.cost),
        h("span", { class: "effect-cost" }, cost, h("span", { class: "small" }, text.costUnit))),
      h("button", { class: "primary" }, text.search));
  }

  #toggleForm() {
    this.spotForm.hidden = !this.spotForm.hidden;
    this.buttons[2].setAttribute("aria-expanded", String(!this.spotForm.hidden));
    if (!this.spotForm.hidden) this.fields.kind.focus();
  }

  /* -- asking ------------------------------------------------------------------------------------------------------ */

  async #run(kind) {
    const interventions = requestInterventions(this.#state?.interventions ?? []);
    const varied = interventions.some(({ mode }) => mode !== "ablate");
    if (!interventions.length || (kind !== "predict" && !varied)) {
      this.#say(interventions.length ? text.noStrength : text.noFeatures);
      return;
    }
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    const state = this.#state;
    this.#busy(true, text.working[kind]);
    try {
      const found = await this.#ask(kind, state, interventions, request.signal);
      if (request !== this.#request) return;
      this.#shown = { kind, key: keyOf(state) };
      fill(this.result, this[{ predict: "predicted", sweep: "swept", spot: "searched" }[kind]](found, state));
      this.#busy(false, "");
      this.#markStale();
      announce(text.done[kind]);
    } catch (error) {
      if (request !== this.#request) return;
      this.#busy(false, isAbort(error) ? "" : [error.message, error.hint].filter(Boolean).join(" "), !isAbort(error));
    }
  }

  #ask(kind, state, interventions, signal) {
    const { prompt, settings } = state;
    const { temperature, seed } = settings;
    if (kind === "predict") return steering.predictEffect({ prompt, interventions, top: SHOWN, side_effects: 10 }, { signal });
    if (kind === "sweep") {
      return steering.sweepEffect({ prompt, interventions, max_new_tokens: Math.min(settings.max_new_tokens, 32), temperature, seed }, { signal });
    }
    const budget = { perplexity: Number(this.fields.cost.value) };
    const body = { prompts: [prompt], interventions, concept: this.#concept(), budget, temperatures: [temperature || SAMPLED], seed };
    return steering.sweetSpot(body, { signal });
  }

  #concept() {
    const { kind, value } = this.fields;
    if (kind.value === "pattern") return { kind: "pattern", pattern: value.value };
    if (kind.value === "features") return { kind: "features" };
    const words = value.value.split(/[,;\s]+/).filter(Boolean);
    return { kind: "words", words, at_least: Math.min(2, Math.max(1, words.length)) };
  }

  #busy(busy, note, wrong = false) {
    for (const button of [...this.buttons, this.spotForm.lastElementChild]) button.disabled = busy;
    this.stop.hidden = !busy;
    this.toggleAttribute("aria-busy", busy);
    this.#say(note, wrong);
  }

  #say(note, wrong = false) {
    this.note.classList.toggle("error-text", wrong);
    this.note.textContent = note;
  }

  #markStale() {
    const stale = this.#state && keyOf(this.#state) !== this.#shown?.key;
    this.result.classList.toggle("is-stale", Boolean(stale));
    if (!this.#request?.signal.aborted && this.stop.hidden) this.#say(stale ? text.stale : "");
  }

  /* -- predicted against measured ---------------------------------------------------------------------------------- */

  predicted(found) {
    const worst = Math.max(0, ...found.side_effects.layers.map(({ replaced }) => replaced));
    const { agrees } = found.agreement;
    const verdict = (name, agreement) => h("span", { class: "effect-fact", title: text.agreementTitle }, h("span", { class: "muted" }, name), " ", text.agreement(agreement));
    return [
      h("p", { class: "effect-verdict" }, h("b", { class: agrees ? "is-good" : "is-poor" }, agrees ? text.agrees : text.agreesNot),
        verdict(text.first, found.agreement), verdict(text.lens, found.lens_agreement), h("span", { class: "effect-fact" }, text.kl(found.kl))),
      h("p", { class: "muted small" }, worst > 0 ? text.why(worst) : text.whyNone),
      h("div", { class: "effect-tables" }, ["raised", "lowered", "gained"].map((part) => changes(text[part], found[part]))),
      this.#sideEffects(found.side_effects),
    ];
  }

  #sideEffects(found) {
    const list = h("ul", { class: "hits effect-hits" });
    const row = (feature) => h("li", { class: "effect-hit" }, featureLink(feature),
      h("span", { class: "num small" }, text.values(feature.before, feature.after)),
      h("span", { class: "muted small" }, text.fires(feature.fired_before, feature.fired_after, feature.positions)));
    fill(list, found.features.map(row));
    Promise.all(found.features.map(withName)).then((named) => fill(list, named.map(row)));
    return h("section", {}, h("h3", {}, text.sideEffects), h("p", { class: "muted small" }, text.sideFacts(found)), list);
  }

  /* -- dose and response ------------------------------------------------------------------------------------------- */

  swept(found) {
    const plot = h("mfn-effect-plot", { class: "effect-plot" });
    plot.sweep = found;
    const rows = [
      this.#doseRow({ dose: null, kl: 0, agreement: { spearman: null }, written: found.plain_written }, found),
      ...found.points.map((point) => this.#doseRow(point, found)),
    ];
    const names = [text.dose(found.swept), text.change, text.rho, text.perplexity, text.repeats, text.text, ""];
    return [plot, scrolling(text.textsTitle, h("table", { class: "effect-table" }, head(names), h("tbody", {}, rows)))];
  }

  #doseRow({ dose, kl, agreement, written }, found) {
    const use = dose !== null && h("button", { type: "button", class: "hit-action", title: text.useTitle(dose), onclick: () => this.#pick({ dose, swept: found.swept }) }, text.use);
    const cells = [dose === null ? text.untouched : formatValue(dose), formatValue(kl), agreement.spearman === null ? "" : formatSigned(agreement.spearman),
      written?.perplexity ? formatValue(written.perplexity) : "", written ? formatPercent(written.repetition) : ""];
    return h("tr", {}, cells.map((cell) => h("td", { class: "num" }, cell)),
      h("td", { class: "effect-text", dir: "auto" }, visible(written?.texts[0] ?? "")), h("td", {}, use));
  }

  #pick(detail) {
    this.dispatchEvent(new CustomEvent("strengthpick", { bubbles: true, detail }));
  }

  /* -- a good strength --------------------------------------------------------------------------------------------- */

  searched(found) {
    const { best, checked, interventions } = found;
    const plot = h("mfn-effect-plot", { class: "effect-plot" });
    plot.spot = found;
    const verdict = best === null
      ? h("div", {}, h("p", {}, h("b", { class: "is-poor" }, text.nothing)), h("p", { class: "muted small" }, text.nothingHint))
      : h("div", { class: "effect-best" },
          h("p", {}, h("b", { class: "is-good" }, text.best(best)), " ", h("span", { class: "small" }, text.bestFacts(best), checked && `; ${text.checked(checked)}`)),
          h("blockquote", { class: "effect-text", dir: "auto" }, visible(best.example)),
          h("button", { type: "button", class: "primary", onclick: () => {
            this.#pick({ interventions, settings: { temperature: best.temperature } });
            announce(text.used(best.dose));
          } }, text.useBest));
    const names = text.trial;
    const rows = found.trials.map((trial) => h("tr", { class: best?.dose === trial.dose && best.temperature === trial.temperature ? "is-best" : null },
      [formatValue(trial.dose), formatValue(trial.temperature), formatPercent(trial.concept), text.times(trial.ratio) + (trial.affordable ? "" : ` ${text.tooMuch}`), formatPercent(trial.repetition)]
        .map((cell) => h("td", { class: "num" }, cell)),
      h("td", { class: "effect-text", dir: "auto" }, visible(trial.example))));
    return [verdict, h("p", { class: "muted small" }, text.optimised(found.optimised)), plot,
      h("details", {}, h("summary", {}, text.trials), scrolling(text.trials, h("table", { class: "effect-table" }, head(Object.values(names)), h("tbody", {}, rows))))];
  }
}

/** What a result depends on. */
const keyOf = ({ prompt, interventions, settings }) => JSON.stringify([prompt, requestInterventions(interventions), settings]);

const head = (names) => h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col", class: [text.text, text.trial.example].includes(name) ? "effect-text" : null }, name))));

const scrolling = (label, table) => h("div", { class: "effect-scroll", tabindex: 0, role: "region", "aria-label": label }, table);

/** Tokens whose logits change: predicted, by the lens, measured, and the chance before and after. */
function changes(title, tokens) {
  const { columns, columnTitles } = text;
  const largest = Math.max(...tokens.flatMap(({ predicted, measured }) => [Math.abs(predicted), Math.abs(measured)]), 1e-9);
  const bar = (value) => h("span", { class: "effect-bar", "aria-hidden": "true", dataset: { sign: value < 0 ? "down" : "up" }, style: { "--part": Math.abs(value) / largest } });
  const row = (token) => h("tr", {}, h("th", { scope: "row" }, tokenChip(token.text)),
    h("td", { class: "num" }, formatSigned(token.predicted), bar(token.predicted)),
    h("td", { class: "num muted" }, formatSigned(token.lens)),
    h("td", { class: "num" }, formatSigned(token.measured), bar(token.measured)),
    h("td", { class: "num muted" }, formatPercent(Math.exp(token.logprob))),
    h("td", { class: "num" }, formatPercent(Math.exp(token.steered_logprob))));
  const headings = Object.entries(columns).map(([key, name]) => h("th", { scope: "col", title: columnTitles[key] ?? null }, name));
  const table = h("table", { class: "effect-table effect-changes" }, h("thead", {}, h("tr", {}, headings)), h("tbody", {}, tokens.map(row)));
  return h("section", {}, h("h3", {}, title), scrolling(title, table));
}

customElements.define("mfn-steer-effect", SteerEffect);
