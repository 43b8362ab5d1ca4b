/**
 * `<mfn-stream-pane>`: one text that grows token by token, in a box that does not move while it does.
 *
 * Tokens are drawn in batches, one animation frame each; each is a spot the keyboard can reach (one tab stop, then arrow
 * keys) and carries its place in `data-step` (generated) or `data-position` (prompt). A screen reader hears whole
 * sentences, never single tokens.
 *
 * Events (bubbling): `tokenpick` {detail: {kind, position | step, pinned}}: a token was pointed at, or pinned by a click
 * or Enter.
 */
import { h } from "../lib/dom.js";
import { isSpecialToken, visible } from "../lib/format.js";
import { splitSentences } from "../pages/steer-run.js";
import { stream as text } from "../pages/stream-strings.js";
import { streamFrame } from "./stream-frame.js";
import { shade } from "./token-colour.js";

/** Tokens that can be seen, and so reached: special ones of a prompt are hidden. */
const SHOWN = ".spot:not(.is-special)";

function markChanged(spot, step) {
  spot.classList.add("is-changed");
  spot.title = text.changed(step);
}

/** A token that leaves no ink has no name either, unless one is given to it. */
function nameBlank(spot) {
  const shown = visible(spot.textContent).trim();
  if (!/\S/.test(spot.textContent)) spot.setAttribute("aria-label", shown || text.space);
}

export class StreamPane extends HTMLElement {
  #tokens = [];
  #queue = [];
  #frame = 0;
  #colour = "none";
  #maximum = NaN;
  #unspoken = "";
  /** @type {number|null} */ #parting = null;
  #changes = new Set();
  #body;
  #text;
  #status;
  #spoken;

  connectedCallback() {
    if (this.#body) return;
    const title = this.getAttribute("heading") ?? "";
    const { status, written, body, head } = streamFrame({ name: this.getAttribute("name") ?? "", heading: title, hint: "" });
    this.#text = written;
    this.#body = body;
    this.#status = status;
    this.#spoken = h("div", { class: "visually-hidden", role: "log", "aria-live": "polite", "aria-label": title });
    this.append(head, body, this.#spoken);
    for (const type of ["click", "pointerover", "focusin"]) this.#text.addEventListener(type, (e) => this.#pick(e));
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.clear();
  }

  /** Empty box with a line that says what will appear. */
  clear(hint = this.getAttribute("hint") ?? "") {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#tokens = [];
    this.#queue = [];
    this.#unspoken = "";
    this.#parting = null;
    this.#changes.clear();
    this.#status.textContent = "";
    this.#spoken.replaceChildren();
    this.removeAttribute("data-state");
    this.#text.replaceChildren(h("p", { class: "stream-hint" }, hint));
  }

  /**
   * A request is on its way. What was there before keeps its room, so that nothing below jumps.
   * @param {string} hint
   */
  wait(hint) {
    this.clear(hint);
    this.dataset.state = "waiting";
  }

  /** Start a new text with its prompt, which is shown in a fainter colour. @param {{id: number, text: string}[]} prompt */
  begin(prompt) {
    this.clear("");
    this.dataset.state = "writing";
    this.#status.textContent = text.writing;
    this.#text.replaceChildren(...prompt.map((token, position) => this.#promptSpot(token, position)));
    this.#text.querySelector(SHOWN)?.setAttribute("tabindex", "0");
    this.#body.scrollTop = this.#body.scrollHeight;
  }

  /** @param {import("../pages/steer-run.js").Token} token */
  push(token) {
    this.#queue.push(token);
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  /** The text is complete. */
  finish({ reason, seconds, tokens }) {
    this.#flush();
    this.dataset.state = "done";
    this.#status.textContent = text.written(tokens, seconds > 0 ? tokens / seconds : null);
    this.#end(text.reasons[reason] ?? "");
    this.#speak(true);
  }

  /** The stream broke: the text stays, and a line says so. */
  fail() {
    this.#flush();
    this.dataset.state = "broken";
    this.#status.textContent = text.broken(this.#tokens.length);
    this.#end(text.breaksOff);
    this.#speak(true);
  }

  /** @param {string} colour @param {number} maximum what shades mean, as in token-colour.js */
  setColour(colour, maximum) {
    this.#colour = colour;
    this.#maximum = maximum;
    for (const spot of this.#text.querySelectorAll("[data-step]")) {
      spot.dataset.shade = String(shade(this.#tokens[Number(spot.dataset.step)], colour, maximum));
    }
  }

  /** Mark the token from which on the two texts differ. @param {number} step */
  set parting(step) {
    this.#parting = step;
    this.#text.querySelector(`[data-step="${step}"]`)?.classList.add("is-parting");
  }

  /** Mark the token from which on a change acts: the next one that comes. @param {number} step */
  changedAt(step) {
    this.#changes.add(step);
    const spot = this.#text.querySelector(`[data-step="${step}"]`);
    if (spot) markChanged(spot, step);
  }

  /** Show which token the details below belong to. @param {{kind: string, step?: number, position?: number}|null} place */
  set selected(place) {
    for (const spot of this.#text.querySelectorAll("[aria-pressed=true]")) spot.setAttribute("aria-pressed", "false");
    if (!place) return;
    const name = place.kind === "prompt" ? `[data-position="${place.position}"]` : `[data-step="${place.step}"]`;
    const spot = this.#text.querySelector(name);
    spot?.setAttribute("aria-pressed", "true");
    spot?.scrollIntoView({ block: "nearest" });
  }

  #flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (!this.#queue.length) return;
    const body = this.#body;
    const following = body.scrollHeight - body.scrollTop - body.clientHeight < 48;
    const spots = this.#queue.map((token) => this.#generatedSpot(token));
    this.#text.append(...spots);
    this.#unspoken += this.#queue.map((token) => token.delta).join("");
    this.#queue = [];
    if (following) body.scrollTop = body.scrollHeight;
    this.#speak(false);
  }

  #promptSpot(token, position) {
    const special = position === 0 && isSpecialToken(token.text);
    const classes = special ? "spot is-prompt is-special" : "spot is-prompt";
    const spot = h("span", { class: classes, role: "button", tabindex: "-1", "aria-pressed": "false" });
    spot.dataset.position = String(position);
    spot.textContent = token.text;
    nameBlank(spot);
    return spot;
  }

  #generatedSpot(token) {
    const step = this.#tokens.push(token) - 1;
    const partial = token.delta === ""; // bytes of an unfinished character, or a special token
    const first = step === 0 && !this.#text.querySelector('[tabindex="0"]'); // after a prompt of which nothing is shown
    const spot = h("span", { class: "spot", role: "button", tabindex: first ? "0" : "-1", "aria-pressed": "false" });
    spot.classList.toggle("is-bytes", partial);
    spot.classList.toggle("is-break", token.delta.includes("\n"));
    spot.classList.toggle("is-parting", step === this.#parting);
    spot.dataset.step = String(step);
    if (this.#changes.has(step)) markChanged(spot, step);
    spot.dataset.shade = String(shade(token, this.#colour, this.#maximum));
    spot.textContent = partial ? token.text : token.delta;
    nameBlank(spot);
    return spot;
  }

  #end(reason) {
    this.#text.append(h("span", { class: "stream-end" }, reason));
    if (this.#body.scrollHeight - this.#body.scrollTop - this.#body.clientHeight < 96) {
      this.#body.scrollTop = this.#body.scrollHeight;
    }
  }

  #speak(all) {
    const [sentences, rest] = all ? [this.#unspoken.trim(), ""] : splitSentences(this.#unspoken);
    this.#unspoken = rest;
    if (sentences) this.#spoken.append(h("p", {}, sentences));
  }

  #pick(event) {
    const spot = event.target.closest(".spot");
    if (!spot || (event.type === "pointerover" && event.pointerType !== "mouse")) return;
    if (event.type === "focusin" && !spot.matches(":focus-visible")) return; // a press: its click follows
    if (event.type !== "pointerover") this.#reach(spot);
    const detail = { pinned: event.type === "click" };
    if (spot.dataset.step !== undefined) Object.assign(detail, { kind: "generated", step: Number(spot.dataset.step) });
    else Object.assign(detail, { kind: "prompt", position: Number(spot.dataset.position) });
    this.dispatchEvent(new CustomEvent("tokenpick", { bubbles: true, detail }));
  }

  #reach(spot) {
    this.#text.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    spot.setAttribute("tabindex", "0");
  }

  #key(event) {
    const spots = [...this.#text.querySelectorAll(SHOWN)];
    const here = spots.indexOf(event.target);
    const moves = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: spots.length - 1 };
    if (event.key in moves) {
      event.preventDefault();
      spots[moves[event.key]]?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.target.click();
    }
  }
}

customElements.define("mfn-stream-pane", StreamPane);
