/**
 * `<mfn-token-bias>`: tokens that are made likelier or less likely, each with what is added to its logit.
 *
 * A token is typed as text, with its space in front; the model's own tokenizer says which tokens that is.
 * Set and read `.biases`. Event (bubbling): `biaschange` {detail: {settled}}.
 */
import { api, isAbort } from "../lib/api.js";
import { announce, fill, h } from "../lib/dom.js";
import { isSpecialToken, visible } from "../lib/format.js";
import { LIMITS } from "../pages/steer-model.js";
import { bias as text } from "../pages/setting-strings.js";
import { tokenChip } from "./token-chip.js";

const FIRST = -5; // what a token just added gets: hardly ever taken

export class TokenBias extends HTMLElement {
  /** @type {import("../pages/steer-model.js").TokenBias[]} */ #biases = [];
  #list;
  #typed;
  #note;
  #request = new AbortController();

  connectedCallback() {
    if (this.#list) return;
    this.#list = h("ul", { class: "biases" });
    this.#note = h("p", { class: "error-text small", role: "alert" });
    this.#typed = h("input", { "aria-label": text.token, placeholder: text.placeholder, spellcheck: "false", dir: "auto", maxlength: "200", title: text.hint,
      onkeydown: (event) => {
        if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        this.#add();
      } });
    this.append(
      h("span", { class: "setting-name", id: "bias-name" }, text.title),
      this.#list,
      h("div", { class: "bias-add", role: "group", "aria-labelledby": "bias-name" }, this.#typed, h("button", { type: "button", onclick: () => this.#add() }, text.add)),
      this.#note);
    this.#show();
  }

  disconnectedCallback() {
    this.#request.abort();
  }

  set biases(biases) {
    const same = biases.length === this.#biases.length && biases.every(({ id, bias }, place) => id === this.#biases[place].id && bias === this.#biases[place].bias);
    this.#biases = biases;
    if (!same && this.#list) this.#show();
  }

  get biases() {
    return this.#biases;
  }

  async #add() {
    const typed = this.#typed.value;
    if (!typed) return;
    this.#request.abort();
    this.#request = new AbortController();
    try {
      const { tokens } = await api.inspect({ text: typed, top: 1 }, { signal: this.#request.signal });
      const meant = tokens.filter((token, place) => place > 0 || !isSpecialToken(token.text));
      const known = new Set(this.#biases.map(({ id }) => id));
      const added = meant.filter(({ id }, place) => !known.has(id) && meant.findIndex((other) => other.id === id) === place);
      const all = [...this.#biases, ...added.map((token) => ({ id: token.id, bias: FIRST, text: token.text }))];
      if (all.length > LIMITS.biases) return this.#say(text.tooMany(LIMITS.biases));
      this.#typed.value = "";
      this.#say("");
      this.#change(all, true);
      this.#show();
      announce(text.added(meant.map((token) => visible(token.text))));
    } catch (error) {
      if (!isAbort(error)) this.#say(error.message);
    }
  }

  #say(message) {
    this.#note.textContent = message;
  }

  #show() {
    fill(this.#list, this.#biases.map((item) => this.#row(item)));
  }

  #row({ id, bias, text: name }) {
    const said = name ? visible(name) : text.unnamed(id);
    const number = h("input", { type: "number", min: -LIMITS.bias, max: LIMITS.bias, step: "any", value: String(bias), required: true, inputmode: "decimal", "aria-label": text.value(said) });
    const read = (settled) => number.validity.valid && this.#change(this.#biases.map((other) => (other.id === id ? { ...other, bias: Number(number.value) } : other)), settled);
    number.addEventListener("input", () => read(false));
    number.addEventListener("change", () => read(true));
    const remove = () => {
      this.#change(this.#biases.filter((other) => other.id !== id), true);
      this.#show();
      this.#typed.focus();
    };
    return h("li", { class: "bias" }, name ? tokenChip(name) : h("span", { class: "muted small" }, said), number,
      h("button", { type: "button", class: "icon-button", "aria-label": text.remove(said), onclick: remove }, "✕"));
  }

  #change(biases, settled) {
    this.#biases = biases;
    this.dispatchEvent(new CustomEvent("biaschange", { bubbles: true, detail: { settled } }));
  }
}

customElements.define("mfn-token-bias", TokenBias);
