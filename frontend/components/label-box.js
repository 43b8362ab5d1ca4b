/**
 * <label-box>: a form to propose a name for a feature, over the list of what was proposed before. `show(feature)` fills
 * it; a proposal fires "proposed" with the event the server stored. What is typed stays until it is saved.
 */

import { api } from "../lib/api.js";
import { fill, h, uuid } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { feature as strings } from "../pages/feature-strings.js";
import { automaticBadge } from "./automatic-badge.js";

const AUTHOR_KEY = "mfn-author";
const LIMITS = { text: 500, author: 100, reason: 2000 };

class LabelBox extends HTMLElement {
  #feature = null;
  #id = uuid();

  connectedCallback() {
    const text = strings.name;
    const field = (name, label, props) => h("label", { class: `field field-${name}` }, h("span", {}, label), h("input", { name, maxlength: LIMITS[name], autocomplete: "off", ...props }));
    this.error = h("p", { class: "error-text", role: "alert" });
    this.save = h("button", { type: "submit", class: "primary" }, text.save);
    this.form = h(
      "form",
      { class: "label-form", onsubmit: (event) => this.#submit(event) },
      field("text", text.label, { required: true, placeholder: text.placeholder }),
      field("author", text.author, { value: remembered() }),
      field("reason", text.reason),
      h("div", { class: "label-actions" }, this.save, this.error),
    );
    this.list = h("ol", { class: "proposals" });
    this.append(this.form, this.list);
  }

  disconnectedCallback() {
    this.replaceChildren();
  }

  show(feature) {
    const other = this.#feature && (this.#feature.source !== feature.source || this.#feature.index !== feature.index);
    this.#feature = feature;
    if (other) this.#clear();
    const text = strings.name;
    const proposal = ({ text: label, author, origin, confidence, unclear, created_at: time, reason }) =>
      h(
        "li",
        {},
        h("span", { class: unclear ? "proposal muted" : "proposal", dir: "auto" }, unclear ? text.unclear : label, " ", automaticBadge(origin)),
        h("span", { class: "muted small" },
          h("bdi", {}, origin === "automatic" ? text.fromAtlas : author || text.anonymous), " · ",
          confidence && `${text.confidence[confidence]} · `, h("time", { datetime: time }, formatTime(time))),
        reason && h("span", { class: "small", dir: "auto" }, reason),
      );
    fill(this.list, feature.labels.map(proposal));
  }

  focusField() {
    this.form.elements.text.focus();
  }

  #clear() {
    this.form.elements.text.value = "";
    this.form.elements.reason.value = "";
    this.error.textContent = "";
    this.#id = uuid();
  }

  async #submit(event) {
    event.preventDefault();
    const { source, index } = this.#feature;
    const { text, author, reason } = Object.fromEntries(["text", "author", "reason"].map((name) => [name, this.form.elements[name].value.trim()]));
    if (!text) {
      this.error.textContent = strings.name.required;
      this.focusField();
      return;
    }
    this.save.disabled = true;
    this.error.textContent = "";
    try {
      // The same id again after a lost answer is the same proposal, not a second one.
      if (author) await api.rename(author);
      const stored = await api.say(source, index, { id: this.#id, event: { kind: "propose", text }, reason: reason || undefined });
      remember(author);
      this.#clear();
      this.dispatchEvent(new CustomEvent("proposed", { detail: { source, index, text, stored } }));
    } catch (error) {
      this.error.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    } finally {
      this.save.disabled = false;
    }
  }
}

function remembered() {
  try {
    return localStorage.getItem(AUTHOR_KEY) ?? "";
  } catch {
    return ""; // storage is switched off
  }
}

function remember(author) {
  try {
    localStorage.setItem(AUTHOR_KEY, author);
  } catch {
    // storage is switched off: the name is asked for again next time
  }
}

customElements.define("label-box", LabelBox);
