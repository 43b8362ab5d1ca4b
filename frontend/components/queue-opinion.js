/**
 * <queue-opinion>: the form for an opinion. `begin(key, names)` empties it for a feature and puts the cursor into it; what
 * was typed of the same feature before (a reload, a lost connection) is there again. Saving fires "opinion" with the
 * fields, skipping "skip". `press(key)` does what a single key does. `names`: those that stand, to take their words.
 */

import { fill, h } from "../lib/dom.js";
import { queue } from "../pages/label-queue-strings.js";
import { rubric } from "../pages/rubric-strings.js";
import { noteAnswers, rubricQuestion } from "./rubric-question.js";

const text = queue.item;
const KEYS = { 1: ["confidence", "low"], 2: ["confidence", "medium"], 3: ["confidence", "high"], y: ["one_concept", "yes"], p: ["one_concept", "partly"], n: ["one_concept", "no"], u: ["flag", "unclear"], m: ["flag", "polysemantic"], d: ["flag", "dead"] };

const { unclear, polysemantic, dead } = rubric.flags; // in a campaign, nothing is a duplicate of what one has not seen
const WORDS = { confidence: rubric.confidences, one_concept: rubric.oneConcepts, flag: { unclear, polysemantic, dead } };

/** [key, what it does] of all that `press` knows. */
export const opinionKeys = [...Object.entries(KEYS).map(([pressed, [name, value]]) => [pressed, text.keyed[name](WORDS[name][value])]), ["s", text.skip], ["e", text.keyed.field]];

class QueueOpinion extends HTMLElement {
  #key = "";

  connectedCallback() {
    if (this.form) return;
    const question = (name, legend, answers) => rubricQuestion(name, legend, answers, { mark: (value) => key(name, value), changed: () => this.#store() });
    this.error = h("p", { class: "error-text", role: "alert" });
    this.save = h("button", { type: "submit", class: "primary" }, text.submit);
    this.names = h("div", { class: "queue-names", hidden: true });
    this.fields = h(
      "fieldset",
      { class: "rubric-fields" },
      h("label", { class: "field" }, h("span", {}, text.label), h("input", { name: "text", maxlength: "500", autocomplete: "off", placeholder: text.placeholder, dir: "auto" })),
      this.names,
      question("confidence", rubric.confidence, WORDS.confidence),
      question("one_concept", rubric.oneConcept, WORDS.one_concept),
      question("flag", rubric.flag, WORDS.flag),
      h(
        "details",
        {},
        h("summary", {}, text.more),
        question("specificity", rubric.specificity, rubric.specificities),
        h("label", { class: "field" }, h("span", {}, text.tags), h("input", { name: "tags", maxlength: "600", autocomplete: "off" })),
        h("label", { class: "field" }, h("span", {}, rubric.evidence), h("textarea", { name: "evidence", rows: "2", maxlength: "5000" })),
      ),
      h("div", { class: "campaign-actions" }, this.save, h("button", { type: "button", onclick: () => this.#skip() }, text.skip, h("kbd", {}, "s"))),
    );
    this.form = h("form", { class: "panel queue-opinion", onsubmit: (event) => this.#submit(event), oninput: () => this.#store(), onkeydown: (event) => this.#leave(event) }, this.fields, this.error);
    const keys = h("details", { class: "queue-keys" }, h("summary", {}, text.keys), h("dl", {}, text.keyList.map(([name, words]) => h("div", {}, h("dt", {}, name.split(" ").map((each) => h("kbd", {}, each))), h("dd", {}, words)))));
    this.append(this.form, keys);
  }

  begin(key, names) {
    this.#key = key;
    this.form.reset();
    this.error.textContent = "";
    this.busy = false;
    this.names.hidden = names.length === 0;
    fill(this.names, h("p", { class: "muted small" }, text.names), h("ul", {}, names.map((name) => h("li", {}, h("button", { type: "button", class: "quiet", title: text.take, onclick: () => this.#take(name) }, h("bdi", {}, name))))));
    this.#restore();
    if (!matchMedia("(pointer: coarse)").matches) this.focusField(); // a keyboard on the screen would hide what is to be judged
  }

  /** What was typed is stored at the server, or given up. */
  forget() {
    sessionStorage.removeItem(this.#key);
  }

  focusField() {
    this.form.elements.text.focus();
  }

  set busy(busy) {
    this.fields.disabled = busy;
    this.save.textContent = busy ? text.saving : text.submit;
  }

  say(message) {
    this.error.textContent = message;
  }

  /** Whether a single key means something here. */
  press(key) {
    if (this.fields.disabled) return;
    if (key === "s") this.#skip();
    else if (key === "e") this.focusField();
    else if (key in KEYS) {
      const [name, value] = KEYS[key];
      const option = this.form.querySelector(`input[name="${name}"][value="${value}"]`);
      option.checked = !option.checked;
      noteAnswers(this.form);
      this.#store();
    }
  }

  get values() {
    const data = new FormData(this.form);
    const chosen = (name) => String(data.get(name) ?? "").trim() || null;
    return {
      text: chosen("text"),
      flag: chosen("flag"),
      one_concept: chosen("one_concept"),
      specificity: data.has("specificity") ? Number(data.get("specificity")) : null,
      confidence: chosen("confidence"),
      evidence: chosen("evidence"),
      tags: [...new Set(String(data.get("tags") ?? "").split(",").map((tag) => tag.trim()).filter(Boolean))].slice(0, 10),
    };
  }

  #submit(submitted) {
    submitted.preventDefault();
    if (this.fields.disabled) return;
    const { values } = this;
    if (values.text === null && values.flag === null) {
      this.error.textContent = text.need;
      this.focusField();
      return;
    }
    this.#store();
    this.dispatchEvent(new CustomEvent("opinion", { detail: values }));
  }

  #skip() {
    if (!this.fields.disabled) this.dispatchEvent(new CustomEvent("skip"));
  }

  #take(name) {
    this.form.elements.text.value = name;
    this.#store();
    this.focusField();
  }

  /** Esc leaves the field, so that single keys mean something. */
  #leave(event) {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    event.target.blur();
  }

  #store() {
    const entries = [...new FormData(this.form)].filter(([, value]) => value !== "");
    if (entries.length) sessionStorage.setItem(this.#key, JSON.stringify(entries));
    else sessionStorage.removeItem(this.#key);
  }

  #restore() {
    const kept = JSON.parse(sessionStorage.getItem(this.#key) ?? "[]");
    for (const [name, value] of kept) {
      const field = this.form.elements[name];
      if (field) field.value = value; // of radio buttons this chooses the one
    }
    noteAnswers(this.form);
    if (kept.some(([name]) => ["specificity", "tags", "evidence"].includes(name))) this.form.querySelector("details").open = true;
  }
}

/** The key of an answer, for whoever looks: screen readers are told of keys elsewhere. */
function key(name, value) {
  const found = Object.entries(KEYS).find(([, [of, is]]) => of === name && is === value);
  return found && h("kbd", { "aria-hidden": "true" }, found[0]);
}

customElements.define("queue-opinion", QueueOpinion);
