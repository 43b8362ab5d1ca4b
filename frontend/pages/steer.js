/**
 * Steer: turn features and watch the text change while it is written, beside the untouched text.
 *
 * The URL holds prompt, interventions and settings. The first change after a generation makes a history entry, further
 * ones replace it, so that Back returns to what was generated before.
 */
import "../components/steer-form.js";
import "../components/stream-pane.js";
import { KL_STEPS, PROBABILITY_STEPS } from "../components/stream-pane.js";
import "../components/preset-list.js";
import "../components/save-preset.js";
import "../components/token-detail.js";
import "../components/steer-effect.js";
import { toast } from "../components/toast.js";
import { api } from "../lib/api.js";
import { announce, debounce, fill, h } from "../lib/dom.js";
import { formatPercent } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { navigate } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { loadModel } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { Generation } from "./steer-run.js";
import { openaiProgram } from "./steer-code.js";
import { STREAMS, differences, factsOf, formatFacts, outcome, parseFacts } from "./steer-share.js";
import { curlCommand, emptyState, intervention, parseQuery, requestBody, requestInterventions, steerPath } from "./steer-state.js";
import { detail as detailText, share as shareText, steer as text } from "./steer-strings.js";

const WRITE_AGAIN_AFTER_MS = 400;
const SHEET = matchMedia("(max-width: 639px)"); // as in steer.css

class SteerPage extends Page {
  #arrived = false;
  #generation = null;
  #written = null; // the state, as a path, that the texts on screen were begun with
  #entryIsWritten = false; // the current history entry was generated: the next change opens a new one
  #begun = null; // the state that they were begun with
  #moved = false;
  #pinned = false;
  #inspected = null;
  #expected = null; // {path, facts}: what the link that was opened says of its run, and the state it says it of
  #preset = null; // the one that the form was last filled from
  #again = debounce(() => this.#generate(), WRITE_AGAIN_AFTER_MS);
  #remember = debounce(() => this.#updateUrl(), 150);

  connectedCallback() {
    super.connectedCallback();
    if (!this.form) this.#build();
    this.addEventListener("keydown", (event) => event.key === "Escape" && this.#closeDetail(), { signal: this.signal });
    const group = text.group;
    addShortcut("r", text.shortcuts.generate, () => this.#toggle(), { group, signal: this.signal });
    addShortcut("a", text.shortcuts.add, () => this.form.focusPicker(), { group, signal: this.signal });
    this.presets.load({ signal: this.signal });
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#again.cancel();
    this.#remember.cancel();
    this.#generation?.stop();
    this.#generation = null;
  }

  onRoute({ query }) {
    this.setTitle(text.title);
    const { state, problems } = parseQuery(`?${query}`);
    const facts = parseFacts(`?${query}`);
    if (facts) this.#expected = { path: steerPath(state), facts };
    if (this.#arrived && steerPath(state) === steerPath(this.form.state)) return;
    this.#generation?.stop();
    this.#ended();
    this.form.state = this.effect.state = state;
    if (!state.prompt.trim()) this.#startOver();
    else if (this.#arrived || state.interventions.length || facts) this.#generate();
    this.#showProvenance();
    fill(this.lost, problems.length > 0 && h("p", { class: "notice is-error", role: "alert" }, problems.join(" ")));
    if (!this.#arrived && !state.prompt && state.interventions.length) this.form.focusPrompt();
    this.#arrived = true;
    this.#showFirstRun();
  }

  #build() {
    this.classList.add("page", "steer");
    this.form = h("mfn-steer-form", { class: "steer-form" });
    this.form.addEventListener("generate", () => this.#generate());
    this.form.addEventListener("stop", () => this.#stop());
    this.form.addEventListener("statechange", (event) => this.#changed(event.detail));
    this.panes = Object.fromEntries(STREAMS.map((name) => [name,
      h("mfn-stream-pane", { class: "stream", name, heading: text[name], hint: text[`${name}Hint`] })]));
    this.detail = h("mfn-token-detail");
    this.detail.addEventListener("featureadd", (event) => this.form.add(event.detail));
    this.detail.addEventListener("detailclose", () => this.#closeDetail());
    this.effect = h("mfn-steer-effect", { class: "effect" });
    this.effect.addEventListener("strengthpick", (event) => this.#useStrength(event.detail));
    this.presets = h("mfn-preset-list");
    this.presets.addEventListener("presetpick", (event) => this.#usePreset(event.detail.preset));
    this.saving = h("mfn-save-preset");
    this.saving.addEventListener("presetsaved", (event) => {
      this.#preset = event.detail.preset;
      this.presets.load();
    });
    this.lost = h("div", { class: "steer-notice" });
    this.provenance = h("div", { class: "steer-notice", "aria-live": "polite" });
    this.notice = h("div", { class: "steer-notice", "aria-live": "polite" });
    this.presetsTitle = h("h2", {}, text.presets);
    const output = h("section", { class: "steer-output", "aria-label": text.title },
      this.#colouring(),
      this.lost,
      this.provenance,
      this.notice,
      h("div", { class: "streams" }, Object.values(this.panes)),
      this.detail,
      this.effect,
      h("section", { class: "steer-presets" }, this.presetsTitle, this.presets));
    for (const [name, pane] of Object.entries(this.panes)) pane.addEventListener("tokenpick", (event) => this.#pick(name, event.detail));
    this.append(
      h("header", { class: "steer-intro" },
        h("div", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)), this.#tools()),
      this.form, output, this.saving);
  }

  #tools() {
    const button = (label, onclick) => h("button", { class: "quiet", type: "button", onclick }, label);
    return h("div", { class: "steer-tools" },
      button(text.share, () => this.#share()),
      button(text.curl, () => this.#copy(curlCommand(this.form.state, location.origin), text.curled)),
      button(text.python, () => this.#copyProgram()),
      button(text.savePreset, () => this.#savePreset()));
  }

  #colouring() {
    this.legend = h("span", { class: "legend", hidden: true });
    const choose = (colouring) => {
      for (const pane of Object.values(this.panes)) pane.colouring = colouring;
      this.#showLegend(colouring);
    };
    return h("div", { class: "colouring" },
      h("div", { class: "segments", role: "radiogroup", "aria-label": text.colour },
        h("span", { class: "segments-name muted small", "aria-hidden": "true" }, text.colour),
        Object.entries(text.colours).map(([value, name]) => h("label", { class: "segment" },
          h("input", { type: "radio", name: "colouring", value, checked: value === "none", onchange: () => choose(value) }),
          h("span", {}, name)))),
      this.legend);
  }

  #showLegend(colouring) {
    this.legend.hidden = colouring === "none";
    const probability = colouring === "probability";
    const bounds = probability
      ? PROBABILITY_STEPS.toReversed().map((bound) => `<${formatPercent(bound).replace(".0", "")}`)
      : KL_STEPS.map((bound) => `≥${bound}`);
    fill(this.legend, bounds.map((bound, place) => h("span", { class: "legend-step", dataset: { shade: place + 1 } }, bound)),
      h("span", { class: "legend-note" }, probability ? text.probabilityNote : text.klNote));
  }

  /* -- state ------------------------------------------------------------------------------------------------------- */

  #changed({ part, settled }) {
    this.effect.state = this.form.state;
    this.#remember();
    this.#showFirstRun();
    this.#showProvenance();
    if (part === "interventions" && this.#generation?.started) {
      this.#moved = true;
      this.#generation.update(requestInterventions(this.form.state.interventions));
      return;
    }
    if (this.#written === null || this.#generation) return;
    const stale = steerPath(this.form.state) !== this.#written;
    if (stale && this.form.auto && part !== "prompt" && (settled || part === "interventions")) this.#again();
    else if (!stale) this.#again.cancel();
    this.#staleNotice(stale && !this.form.auto ? text.stale : "");
  }

  #updateUrl() {
    const path = this.#path();
    // On the way to another page the address has changed before this element is gone: it is no longer ours to write.
    if (path === location.pathname + location.search || location.pathname !== steerPath({})) return;
    navigate(path, { replace: !this.#entryIsWritten });
    this.#entryIsWritten = false;
  }

  #savePreset() {
    const { prompt, interventions, settings } = this.form.state;
    this.saving.open({ prompt, interventions: requestInterventions(interventions), settings }, this.#preset);
  }

  #usePreset(preset) {
    this.#preset = preset;
    const { prompt, interventions, settings } = preset;
    const kept = interventions.map(intervention);
    this.form.state = this.effect.state = { prompt, interventions: kept, settings: { ...emptyState().settings, ...settings } };
    this.#updateUrl();
    this.#generate();
    scrollTo({ top: 0 });
  }

  /** A strength found below: the interventions as they were searched, or one dose for what was swept. */
  #useStrength({ interventions, settings = {}, dose, swept }) {
    const { state } = this.form;
    const at = (item, place) => {
      if (item.mode === "ablate" || item.value === null || (swept !== null && swept !== place)) return item;
      if (swept !== null) return { ...item, value: dose };
      return { ...item, value: item.value * dose, ramp: item.ramp && { ...item.ramp, start: item.ramp.start * dose } };
    };
    const turned = interventions?.map(intervention) ?? state.interventions.map(at);
    this.form.state = this.effect.state = { ...state, interventions: turned, settings: { ...state.settings, ...settings } };
    this.#updateUrl();
    this.#generate();
  }

  /** Nothing is written, and nothing shown. */
  #startOver() {
    this.#again.cancel();
    this.#written = null;
    this.lastRun = null;
    this.#closeDetail();
    this.#notice("");
    for (const pane of Object.values(this.panes)) pane.clear();
  }

  #showFirstRun() {
    const first = this.#written === null && !this.form.state.interventions.length;
    this.classList.toggle("is-first-run", first);
    this.presetsTitle.textContent = first ? text.presetsLead : text.presets;
  }

  /* -- links ------------------------------------------------------------------------------------------------------- */

  /** The address of what is in the form; with what a link said of its run, for as long as it says it of that. */
  #path() {
    const path = steerPath(this.form.state);
    return this.#expected?.path === path ? `${path}&${formatFacts(this.#expected.facts)}` : path;
  }

  /** A link to the state; where it has been written to its end, the link says what came out. */
  async #share() {
    const path = steerPath(this.form.state);
    const run = this.#generation ? null : this.lastRun;
    const model = await loadModel().catch(() => null);
    const facts = run && model && !this.#moved && path === this.#written ? factsOf(run, model) : null;
    const link = facts ? `${path}&${formatFacts(facts)}` : path;
    this.#copy(new URL(link, location.href).href, facts ? shareText.withRun : text.shared);
  }

  async #copyProgram() {
    const model = await loadModel().catch(() => null);
    if (model) this.#copy(openaiProgram(this.form.state, model.name, location.origin), text.pythoned);
  }

  /** Where the text of a link was written, if not on a build like this; and, with a run, whether it came out the same. */
  async #showProvenance(run = null) {
    const facts = this.#expected?.path === steerPath(this.form.state) ? this.#expected.facts : null;
    const model = facts && await loadModel().catch(() => null);
    if (!model) {
      fill(this.provenance);
      return;
    }
    const found = differences(facts, model);
    const result = run && !this.#moved && !run.changes.length && outcome(facts, run);
    const otherModel = facts.model !== model.fingerprint.slice(0, facts.model.length);
    const why = result === "other" && !found.length ? shareText.otherHere : null;
    const lead = found.length && !otherModel && result !== "exact" ? shareText.buildLead : null;
    const worrying = result === "other" || found.length > 0;
    fill(this.provenance, (result || found.length > 0) && h("div", { class: `notice is-${worrying ? "warning" : "note"} provenance` },
      h("p", {}, result && h("strong", {}, shareText[result]), " ", [why, lead, ...found].filter(Boolean).join(" "))));
  }

  /* -- generation -------------------------------------------------------------------------------------------------- */

  #toggle() {
    if (this.#generation) this.#stop();
    else this.#generate();
  }

  /** @param {{step: number, interventions: object[]}[]} changes moves of the sliders, to be made again */
  async #generate(changes = []) {
    this.#again.cancel();
    const problem = this.form.problem();
    if (problem) {
      this.#notice(problem, { kind: "error" });
      return;
    }
    this.#generation?.stop();
    const generation = new Generation(api);
    this.#generation = generation;
    this.form.writing = true;
    await this.form.ready; // a feature just added gets its value from its maximum
    if (generation !== this.#generation) return;
    this.#begin(changes.length ? this.#begun : this.form.state);
    try {
      await generation.start(requestBody(this.#begun, changes), (...event) => this.#draw(generation, ...event), { brokenMessage: text.connectionBroke });
      if (generation === this.#generation) this.#finished(generation.run);
    } catch (error) {
      if (generation === this.#generation) this.#refused(error);
    }
  }

  #begin(state) {
    this.#remember.cancel();
    this.#updateUrl();
    this.#begun = state;
    this.#written = steerPath(state);
    this.#entryIsWritten = true;
    this.#moved = false;
    this.#inspected = null;
    this.#showFirstRun();
    this.#closeDetail();
    this.#notice("");
    this.#showProvenance();
    for (const pane of Object.values(this.panes)) pane.wait(text.waiting);
  }

  #draw(generation, event, data, stream) {
    if (generation !== this.#generation) return;
    const { run } = generation;
    if (event === "start") for (const pane of Object.values(this.panes)) pane.begin(run.promptTokens);
    if (event === "updated") this.panes.steered.changedAt(data.step);
    if (event === "token" && stream) this.panes[stream].push(data);
    if (run.parting === data.step) for (const pane of Object.values(this.panes)) pane.parting = data.step;
    if (event === "done" && stream) {
      this.panes[stream].finish({ reason: data.reason, seconds: data.seconds, tokens: data.n_tokens });
    }
  }

  #ended() {
    this.#generation = null;
    this.form.writing = false;
  }

  #finished(run) {
    this.#ended();
    this.lastRun = run;
    for (const [name, stream] of Object.entries(run.streams)) {
      if (stream.state === "broken") this.panes[name].fail();
    }
    if (run.problem) this.#notice(run.problem, { kind: "error", hint: text.broken, retry: () => this.#generate() });
    else {
      announce(text.finished);
      this.#showProvenance(run);
      this.#staleNotice(this.#moved || run.changes.length ? text.movedMeanwhile : "", run.changes);
    }
  }

  #refused(error) {
    this.#ended();
    this.#startOver();
    const retry = error.status === 422 ? null : () => this.#generate();
    this.#notice(error.message, { kind: "error", hint: error.hint, retry, retryAfter: error.retryAfter });
  }

  #stop() {
    const generation = this.#generation;
    if (!generation) return;
    generation.stop();
    for (const [name, stream] of Object.entries(generation.run.streams)) {
      if (stream.state !== "done") this.panes[name].finish({ reason: "cancelled", seconds: 0, tokens: stream.tokens.length });
    }
    this.#finished(generation.run);
  }

  /* -- one token --------------------------------------------------------------------------------------------------- */

  #pick(name, { kind, step, position, pinned }) {
    const run = this.#generation?.run ?? this.lastRun;
    // Where details are a sheet over the text, only a press opens it. And only a press asks about the prompt: the server
    // would have to answer for every token that the pointer crosses.
    if (!run || (!pinned && (this.#pinned || kind === "prompt" || SHEET.matches))) return;
    this.#pinned = pinned;
    const turned = (hit) => this.form.state.interventions.some((item) => item.source === hit.source && item.index === hit.index);
    if (kind === "prompt") {
      this.detail.show({ token: run.promptTokens[position], where: detailText.prompt, hits: this.#inspectPrompt(position), turned });
    } else {
      const token = run.streams[name].tokens[step];
      const { logprob, kl, alternatives, id: chosen, fired: hits, watched } = token;
      this.detail.show({ token, where: detailText.generated(text[name], step), logprob, kl, alternatives, chosen, hits, watched, turned });
    }
    for (const [other, pane] of Object.entries(this.panes)) pane.selected = other === name ? { kind, step, position } : null;
  }

  async #inspectPrompt(position) {
    const { prompt } = parseQuery(new URL(this.#written, location.href).search).state;
    this.#inspected ??= api.inspect({ text: prompt, top: 3 }, { signal: this.signal });
    const { layers } = await this.#inspected;
    return layers.flatMap(({ source, positions }) => positions[position].map((hit) => ({ ...hit, source })));
  }

  #closeDetail() {
    this.#pinned = false;
    this.detail.clear();
    for (const pane of Object.values(this.panes)) pane.selected = null;
  }

  /* -- messages ---------------------------------------------------------------------------------------------------- */

  #staleNotice(message, changes = []) {
    const replay = changes.length > 0 && h("button", { type: "button", onclick: () => this.#generate(changes) }, text.replay);
    this.#notice(message, { kind: "note", retry: () => this.#generate(), retryLabel: text.again, extra: replay });
  }

  #notice(message, { kind = "note", hint = null, retry = null, retryAfter = null, retryLabel = null, extra = null } = {}) {
    if (!message) {
      fill(this.notice);
      return;
    }
    const label = retryLabel ?? (retryAfter ? strings.errors.retryIn(retryAfter) : strings.errors.retry);
    const button = retry && h("button", { type: "button", onclick: retry }, label);
    fill(this.notice, h("div", { class: `notice is-${kind}`, role: kind === "error" ? "alert" : null },
      h("p", {}, message, hint && h("span", { class: "notice-hint" }, " ", hint)), extra, button));
    if (button && retryAfter) this.#countDown(button, retryAfter);
  }

  #countDown(button, seconds) {
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? strings.errors.retryIn(seconds) : strings.errors.retry;
    if (seconds > 0 && button.isConnected) setTimeout(() => this.#countDown(button, Math.ceil(seconds) - 1), 1_000);
  }

  async #copy(content, done) {
    try {
      await navigator.clipboard.writeText(content);
      toast(done);
    } catch {
      const area = h("textarea", { rows: "8", readonly: true, "aria-label": text.copyFailed, value: content });
      const dialog = h("dialog", { class: "copy-by-hand", onclose: () => dialog.remove() },
        h("p", {}, text.copyFailed), area, h("button", { type: "button", onclick: () => dialog.close() }, text.close));
      this.append(dialog);
      dialog.showModal();
      area.select();
    }
  }
}

customElements.define("steer-page", SteerPage);
