/**
 * Steer: turn features and watch the text change while it is written, beside the untouched text.
 *
 * The URL holds prompt, interventions, settings and the colouring. The first change after a generation makes a history
 * entry, further ones replace it, so that Back returns to what was generated before. `?add=SOURCE/INDEX` turns one more
 * feature of what this tab showed last.
 */
import "../components/colour-choice.js";
import { errorView, saidOf } from "../components/state-view.js";
import "../components/steer-form.js";
import "../components/steer-notice.js";
import "../components/steer-tools.js";
import { streamFrames } from "../components/stream-frame.js";
import { toast } from "../components/toast.js";
import { featureOf, valueOf } from "../components/token-colour.js";
import { ahead } from "../lib/ahead.js";
import { announce, debounce, fill, h } from "../lib/dom.js";
import { LONGEST_LINK, fitsLink, heldBack } from "../lib/link-limit.js";
import { Page } from "../lib/page.js";
import { navigate } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { steerDraft, steerHistory } from "../lib/steer-history.js";
import { loadModel } from "../lib/store.js";
import { formatColour, steerPath } from "./steer-link.js";
import { intervention, settingsOf } from "./steer-model.js";
import { next, parts } from "./steer-parts.js";
import { requestInterventions, watchedFeatures } from "./steer-request.js";
import { parseAdded, parseColour, parseQuery } from "./steer-reading.js";
import { steer as text } from "./steer-strings.js";
import { Writing } from "./steer-writing.js";

const WRITE_AGAIN_AFTER_MS = 400;
const HELD = "steer"; // of history entries: a state that no address can hold, as a query

class SteerPage extends Page {
  #arrived = false;
  #entryIsWritten = false; // the current history entry was generated: the next change opens a new one
  /** @type {{path: string, facts: import("./steer-share.js").RunFacts}|null} */ #expected = null; // {path, facts}: what the link that was opened says of its run, and the state it says it of
  /** @type {typeof import("./steer-share.js")|null} */ #share = null; // once a link or a run has something to say
  #route = null;
  #preset = null; // the one that the form was last filled from
  #again = debounce(() => this.#generate(), WRITE_AGAIN_AFTER_MS);
  #remember = debounce(() => this.#updateUrl(), 150);
  #writing = new Writing({
    begun: (run) => this.#begun(run),
    arrived: (...event) => this.streams.draw(...event),
    ended: (run, how) => this.#ended(run, how),
    left: () => (this.form.writing = false),
    refused: (error) => this.#refused(error),
  });

  connectedCallback() {
    super.connectedCallback();
    if (!this.form) this.#build();
    this.addEventListener("keydown", (event) => event.key === "Escape" && this.streams.closeDetail?.(), { signal: this.signal });
    const group = text.group;
    addShortcut("r", text.shortcuts.generate, () => this.#toggle(), { group, signal: this.signal });
    addShortcut("a", text.shortcuts.add, () => this.form.focusPicker(), { group, signal: this.signal });
    ahead(this, next, this.signal);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#again.cancel();
    this.#remember.cancel();
    this.#writing.drop();
  }

  /** The run on screen. */
  get lastRun() {
    return this.#writing.run;
  }

  onRoute(route) {
    this.#route = route;
    this.setTitle(text.title);
    const held = heldBack(HELD);
    const query = held === null ? route.query : new URLSearchParams(held);
    this.tooLong.textContent = held === null ? "" : text.tooLong(LONGEST_LINK);
    const added = parseAdded(query);
    if (added.length) return this.#turnMore(added);
    const { state, problems } = parseQuery(`?${query}`);
    if (query.has("r") && !this.#share) return this.#readShare(route, state);
    const facts = this.#share?.parseFacts(`?${query}`) ?? null;
    if (facts) this.#expected = { path: steerPath(state), facts };
    this.#colour(parseColour(query));
    if (this.#arrived && steerPath(state) === steerPath(this.form.state)) return;
    this.#writing.drop();
    this.form.writing = false;
    this.#show(state);
    this.notice.status(text.idle);
    if (!state.prompt.trim()) this.#startOver();
    else if (this.#arrived || state.interventions.length || facts) this.#generate({ changes: facts?.moves });
    this.#showProvenance();
    this.lost.replaceChildren();
    if (problems.length) fill(this.lost, h("p", { class: "notice is-error", role: "alert" }, problems.join(" ")));
    if (!this.#arrived && !state.prompt && state.interventions.length) this.#offerDraft(state);
    this.#arrived = true;
    this.#showFirstRun();
    if (!this.more) this.#fetchMore();
  }

  /** A link says what came of its run: the state is shown, and the rest waits for the code that reads that. */
  async #readShare(route, state) {
    this.#arrived = false;
    this.#writing.drop();
    this.form.writing = false;
    this.#show(state);
    const shown = steerPath(this.form.state);
    try {
      await this.#fetchShare();
      // Whoever types meanwhile has another state in mind.
      if (this.#route === route && steerPath(this.form.state) === shown) await this.onRoute(route);
    } catch (error) {
      if (this.#route === route) fill(this.lost, errorView(error, () => this.#readShare(route, state)));
    }
  }

  async #fetchShare() {
    this.#share = await parts.share();
    return this.#share;
  }

  #build() {
    this.classList.add("page", "steer");
    const on = (element, events) => {
      for (const [name, listener] of Object.entries(events)) element.addEventListener(name, (event) => listener(event.detail));
      return element;
    };
    this.form = on(h("mfn-steer-form", { class: "steer-form" }), {
      generate: () => this.#generate(),
      stop: () => this.#writing.stop(),
      statechange: (change) => this.#changed(change),
    });
    this.tools = on(h("mfn-steer-tools"), { presetsave: () => this.#savePreset() });
    this.tools.state = () => this.form.state;
    this.tools.link = () => this.#link();
    this.colouring = on(h("mfn-colour-choice"), { colourchange: ({ colour }) => this.#choseColour(colour) });
    // Until its code is there it has frames and no methods; nothing has been written by then.
    this.streams = on(h("mfn-steer-streams", {}, streamFrames()), {
      featureadd: (feature) => this.form.add(feature),
      featurecolour: ({ source, index }) => this.#choseColour(`${source}/${index}`),
    });
    this.below = on(h("div", { class: "steer-below" }), {
      strengthpick: (found) => this.#useStrength(found),
      presetpick: ({ preset }) => this.#usePreset(preset),
      presetsaved: ({ preset }) => (this.#preset = preset),
      runrestore: ({ run }) => this.#restore(run),
    });
    this.lost = h("div", { class: "steer-lost" });
    this.tooLong = h("p", { class: "muted small", role: "status" });
    this.provenance = h("mfn-run-provenance");
    this.notice = h("mfn-steer-notice");
    this.append(
      h("header", { class: "steer-intro" }, h("div", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)), this.tools),
      this.form,
      h("section", { class: "steer-output", "aria-label": text.title },
        h("div", { class: "steer-said" }, this.colouring, this.lost, this.tooLong, this.provenance, this.notice),
        this.streams,
        this.below));
  }

  /** What stands below the texts comes after them. */
  async #fetchMore() {
    try {
      const { first } = this;
      await Promise.all([parts.more(), first || parts.effect()]); // together, so that nothing moves a second time
      if (this.more) return;
      this.more = h("mfn-steer-more");
      fill(this.below, this.more);
      this.more.state = this.form.state;
      this.#showFirstRun();
    } catch (error) {
      fill(this.below, errorView(error, () => this.#fetchMore()));
    }
  }

  /* -- state ------------------------------------------------------------------------------------------------------- */

  /** @param {import("./steer-model.js").SteerState} state */
  #show(state) {
    this.form.state = state;
    if (this.more) this.more.state = state;
    this.colouring.features = watchedFeatures(state.interventions);
  }

  #changed({ part, settled }) {
    const { state } = this.form;
    const writing = this.#writing;
    if (this.more) this.more.state = state;
    this.colouring.features = watchedFeatures(state.interventions);
    this.#remember();
    this.#showFirstRun();
    this.#showProvenance();
    if (part === "interventions" && writing.started) {
      writing.update(state.interventions);
      return;
    }
    if (writing.path === null || writing.active) return;
    const stale = steerPath(state) !== writing.path;
    if (stale && this.form.auto && part !== "prompt" && (settled || part === "interventions")) this.#again();
    else if (!stale) this.#again.cancel();
    if (stale && !this.form.auto) this.#sayStale(text.stale);
    else this.notice.clear();
  }

  #updateUrl() {
    const path = this.#path();
    // On the way to another page the address has changed before this element is gone: it is no longer ours to write.
    if (location.pathname !== steerPath({})) return;
    if (this.form.state.prompt.trim()) steerDraft.keep(steerPath(this.form.state));
    const fits = fitsLink(path);
    const query = new URL(path, location.href).search.slice(1);
    if (fits ? path === location.pathname + location.search && heldBack(HELD) === null : query === heldBack(HELD)) return;
    navigate(fits ? path : steerPath({}), { replace: !this.#entryIsWritten, state: fits ? {} : { [HELD]: query } });
    this.#entryIsWritten = false;
  }

  /** Another state as a whole, to be written at once. */
  #become(state) {
    this.#show({ ...state, settings: settingsOf(state.settings) });
    this.#updateUrl();
    this.#generate();
  }

  async #savePreset() {
    if (!this.more) await this.#fetchMore();
    const { prompt, interventions, settings } = this.form.state;
    this.more?.save({ prompt, interventions: requestInterventions(interventions), settings }, this.#preset);
  }

  #usePreset(preset) {
    this.#preset = preset;
    const { prompt, interventions, settings } = preset;
    this.#become({ prompt, interventions: interventions.map(intervention), settings });
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
    this.#become({ ...state, interventions: turned, settings: { ...state.settings, ...settings } });
  }

  /** A run that was kept: its state, its moves, and what came of it to compare with. */
  async #restore({ path, colour, facts, changes }) {
    try {
      await this.#fetchShare();
    } catch (error) {
      return toast(saidOf(error).message, { kind: "error" });
    }
    const { state } = parseQuery(new URL(path, location.href).search);
    this.#expected = facts && { path, facts: { ...facts, moves: changes } };
    this.#again.cancel();
    this.#show(state);
    this.#colour(colour);
    this.#updateUrl();
    this.#generate({ state, changes });
    scrollTo({ top: 0 });
  }

  /* -- features from other pages ----------------------------------------------------------------------------------- */

  /** Adds to what this tab showed last. */
  #turnMore(added) {
    const { state } = parseQuery(new URL(steerDraft.read() ?? steerPath({}), location.href).search);
    const known = new Set(state.interventions.map(({ source, index }) => `${source}/${index}`));
    const fresh = added.filter(({ source, index }) => !known.has(`${source}/${index}`)).map(intervention);
    navigate(steerPath({ ...state, interventions: [...state.interventions, ...fresh] }), { replace: true });
  }

  /** Features came alone, from another page: they can join the text that was steered before. */
  #offerDraft({ interventions }) {
    const draft = steerDraft.read();
    const kept = draft ? parseQuery(new URL(draft, location.href).search).state : null;
    if (!kept?.prompt) return this.form.focusPrompt();
    this.notice.show(text.draft(kept.prompt.trim(), kept.interventions.length), { retry: () => this.#turnMore(interventions), retryLabel: text.addToDraft });
  }

  /** Nothing is written, and nothing shown. */
  #startOver() {
    this.#again.cancel();
    this.#writing.forget();
    this.notice.clear();
    this.streams.clear?.();
  }

  /** Is nothing turned, nor written? */
  get first() {
    return this.#writing.path === null && !this.#writing.active && !this.form.state.interventions.length;
  }

  #showFirstRun() {
    const { first } = this;
    this.classList.toggle("is-first-run", first);
    if (this.more) this.more.first = first;
  }

  /* -- colours ----------------------------------------------------------------------------------------------------- */

  async #colour(colour) {
    if (colour === this.colouring.colour) return;
    await this.colouring.show(colour);
    if (colour === this.colouring.colour) this.streams.colour?.(colour, this.colouring.maximum);
  }

  #choseColour(colour) {
    this.#colour(colour);
    this.#updateUrl();
    const feature = featureOf(colour);
    const written = this.#writing.run?.streams.plain.tokens[0];
    // A feature that nobody followed while this was written: the same is written again, and it is.
    const followed = !feature || !written || written.watched.some(({ source, index }) => source === feature.source && index === feature.index);
    if (!followed && !this.#writing.active) this.#generate();
    else if (!followed && valueOf(written, feature) === null) this.notice.status(text.followedLater);
  }

  /* -- links ------------------------------------------------------------------------------------------------------- */

  /** The address of what is in the form; with what a link said of its run, for as long as it says it of that. */
  #path() {
    const path = steerPath(this.form.state);
    const facts = this.#expected?.path === path ? this.#share?.formatFacts(this.#expected.facts) : "";
    return withParts(path, formatColour(this.colouring.colour), facts);
  }

  /**
   * A link to the state; where it has been written to its end, to the run: to its beginning, the moves that were made on its way,
   * and what came out.
   */
  async #link() {
    const { formatFacts, isOf, text: shareText } = await this.#fetchShare();
    const { state } = this.form;
    const { active, begun, last } = this.#writing;
    const facts = !active && last && begun && isOf(last, begun, state) ? await this.#facts() : null;
    const to = (path, more = "") => withParts(path, formatColour(this.colouring.colour), more);
    let link = facts && begun ? to(steerPath(begun), formatFacts(facts)) : to(steerPath(state));
    let said = facts ? shareText.withRun : shareText.shared;
    if (!fitsLink(link) && facts?.moves.length) [link, said] = [to(steerPath(state)), shareText.withoutMoves];
    if (!fitsLink(link)) said = shareText.linkTooLong(LONGEST_LINK);
    return { href: new URL(link, location.href).href, said };
  }

  /** What came of the run on screen, or null where it cannot be had again. */
  async #facts() {
    const { last } = this.#writing;
    const [model, share] = await Promise.all([loadModel(), this.#fetchShare()]).catch(() => []);
    return last && model && share ? share.factsOf(last, model) : null;
  }

  #showProvenance(/** @type {import("./steer-run.js").SteerRun|null} */ run = null) {
    if (!this.#share) return; // nobody has said anything of a run
    const { active, moved, changes } = this.#writing;
    const facts = this.#expected?.path === steerPath(this.form.state) ? this.#expected.facts : null;
    const writing = active && facts !== null && this.#share.sameMoves(changes, facts.moves);
    this.provenance.show(facts, { run: moved ? null : run, writing });
  }

  /* -- generation -------------------------------------------------------------------------------------------------- */

  #toggle() {
    if (this.#writing.active) this.#writing.stop();
    else this.#generate();
  }

  /** @param {{state?: import("./steer-model.js").SteerState|null, changes?: {step: number, interventions: object[]}[]}} again
   *   `changes`: moves of the sliders, to be made again; `state`: what they were made on */
  #generate({ state = null, changes = [] } = {}) {
    this.#again.cancel();
    const problem = this.form.problem();
    if (problem) {
      this.notice.show(problem, { kind: "error" });
      return;
    }
    this.form.writing = true;
    const coloured = featureOf(this.colouring.colour);
    const watch = coloured ? [coloured] : [];
    const settle = async () => {
      await Promise.all([this.form.ready, this.#fetchStreams()]); // a feature just added gets its value from its maximum
      return state ?? this.form.state;
    };
    this.#writing.start(settle, { changes, watch });
    this.#fetchShare().catch(() => {}); // for when it is written; without it there is a link all the same
  }

  async #fetchStreams() {
    await parts.streams();
    this.streams.turned = (hit) => this.form.state.interventions.some((item) => item.source === hit.source && item.index === hit.index);
    this.streams.colour(this.colouring.colour, this.colouring.maximum);
  }

  #begun(run) {
    this.#remember.cancel();
    this.#updateUrl();
    this.#entryIsWritten = true;
    this.#showFirstRun();
    this.notice.status(text.writing);
    this.notice.clear();
    this.#showProvenance();
    this.streams.begin(run, this.#writing.begun?.prompt ?? "");
  }

  #ended(run, how) {
    this.form.writing = false;
    this.streams.end(how);
    this.notice.status(text.cameOut(run));
    if (run.problem) {
      this.notice.show(run.problem, { kind: "error", hint: text.broken, retry: () => this.#generate() });
      return;
    }
    announce(text.finished);
    this.#showProvenance(run);
    const moved = this.#writing.moved || run.changes.length > 0;
    if (moved) this.#sayStale(text.movedMeanwhile, run.changes);
    if (!how.stopped) this.#keep(run);
  }

  async #keep(run) {
    const { path } = this.#writing;
    if (path === null) return;
    const facts = await this.#facts();
    const { plain, steered } = run.streams;
    const texts = { plain: plain.text, steered: steered.text };
    steerHistory.add({ path, colour: this.colouring.colour, facts: facts && { ...facts, moves: [] }, changes: run.changes, texts });
  }

  #refused(error) {
    this.form.writing = false;
    this.#startOver();
    const retry = error.status === 422 ? null : () => this.#generate();
    const { message, hint } = saidOf(error);
    this.notice.show(message, { kind: "error", hint, retry, retryAfter: error.retryAfter });
  }

  #sayStale(message, changes = []) {
    const { begun } = this.#writing;
    const replay = changes.length > 0 && h("button", { type: "button", onclick: () => this.#generate({ state: begun, changes }) }, text.replay);
    this.notice.show(message, { retry: () => this.#generate(), retryLabel: text.again, extra: replay });
  }
}

/** A path with more parts of a query behind it. */
function withParts(path, ...parts) {
  const more = parts.filter(Boolean).join("&");
  return more ? `${path}${path.includes("?") ? "&" : "?"}${more}` : path;
}

customElements.define("steer-page", SteerPage);
