/**
 * `<mfn-steer-streams>`: the plain and the steered text, side by side, and all that is known of the token pointed at.
 *
 * The page tells it of a run's events (`begin`, `draw`, `finish`, `fail`, `clear`); it draws and answers pointing and keys.
 * Events (bubbling): `featureadd`, `featurecolour` {detail: {source, index}} out of a token's features.
 */
import { api } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { steer as text } from "../pages/steer-strings.js";
import { detail as detailText } from "../pages/stream-strings.js";
import { STREAMS } from "./stream-frame.js";
import "./stream-pane.js";
import "./token-detail.js";

const SHEET = matchMedia("(max-width: 639px)"); // as in token-detail.css

export class SteerStreams extends HTMLElement {
  /** Is a feature turned already? @type {(feature: {source: string, index: number}) => boolean} */
  turned = () => false;
  /** @type {Record<string, any>} */ #panes = {};
  #detail;
  /** @type {import("../pages/steer-run.js").SteerRun|null} */ #run = null;
  #prompt = "";
  #pinned = false;
  /** @type {Promise<any>|null} */ #inspected = null;
  #abort = new AbortController();

  connectedCallback() {
    if (this.#detail) return;
    for (const name of STREAMS) {
      const pane = h("mfn-stream-pane", { class: "stream", name, heading: text[name], hint: text[`${name}Hint`] });
      pane.addEventListener("tokenpick", (event) => this.#pick(name, event.detail));
      this.#panes[name] = pane;
    }
    this.#detail = h("mfn-token-detail");
    this.#detail.addEventListener("detailclose", () => this.closeDetail());
    fill(this, h("div", { class: "streams" }, this.#all), this.#detail);
  }

  disconnectedCallback() {
    this.#abort.abort();
  }

  get #all() {
    return Object.values(this.#panes);
  }

  /** Nothing is written, and nothing shown. */
  clear() {
    this.#run = null;
    this.closeDetail();
    for (const pane of this.#all) pane.clear();
  }

  /** A request is on its way. @param {import("../pages/steer-run.js").SteerRun} run @param {string} prompt */
  begin(run, prompt) {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#run = run;
    this.#prompt = prompt;
    this.#inspected = null;
    this.closeDetail();
    for (const pane of this.#all) pane.wait(text.waiting);
  }

  /** One event of the run, which has been applied to it. */
  draw(event, data, stream) {
    if (!this.#run) return;
    if (event === "start") for (const pane of this.#all) pane.begin(this.#run.promptTokens);
    if (event === "updated") this.#panes.steered.changedAt(data.step);
    if (event === "token" && stream) this.#panes[stream].push(data);
    if (this.#run.parting === data.step) for (const pane of this.#all) pane.parting = data.step;
    if (event === "done" && stream) this.#panes[stream].finish({ reason: data.reason, seconds: data.seconds, tokens: data.n_tokens });
  }

  /** The run is over, by itself or by the reader: what is not done says why. */
  end({ stopped }) {
    for (const [name, { state, tokens }] of Object.entries(this.#run?.streams ?? {})) {
      if (state === "broken") this.#panes[name].fail();
      else if (stopped && state !== "done") this.#panes[name].finish({ reason: "cancelled", seconds: 0, tokens: tokens.length });
    }
  }

  /** @param {string} colour @param {number} maximum as in token-colour.js */
  colour(colour, maximum) {
    for (const pane of this.#all) pane.setColour(colour, maximum);
  }

  closeDetail() {
    this.#pinned = false;
    this.#detail.clear();
    for (const pane of this.#all) pane.selected = null;
  }

  #pick(name, { kind, step, position, pinned }) {
    // Where details are a sheet over the text, only a press opens it. And only a press asks about the prompt: the server
    // would have to answer for every token that the pointer crosses.
    if (!this.#run || (!pinned && (this.#pinned || kind === "prompt" || SHEET.matches))) return;
    this.#pinned = pinned;
    const { turned } = this;
    if (kind === "prompt") {
      this.#detail.show({ token: this.#run.promptTokens[position], where: detailText.prompt, hits: this.#inspectPrompt(position), turned, pinned });
    } else {
      const token = this.#run.streams[name].tokens[step];
      const { logprob, kl, alternatives, id: chosen, fired: hits, watched } = token;
      this.#detail.show({ token, where: detailText.generated(text[name], step), logprob, kl, alternatives, chosen, hits, watched, turned, pinned });
    }
    for (const [other, pane] of Object.entries(this.#panes)) pane.selected = other === name ? { kind, step, position } : null;
  }

  async #inspectPrompt(position) {
    this.#inspected ??= api.inspect({ text: this.#prompt, top: 3 }, { signal: this.#abort.signal });
    const { layers } = await this.#inspected;
    return layers.flatMap(({ source, positions }) => positions[position].map((hit) => ({ ...hit, source })));
  }
}

customElements.define("mfn-steer-streams", SteerStreams);
