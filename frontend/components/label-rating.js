/**
 * <label-rating>: how people rate a feature, and one's own answers to the rubric. `show(discussion, me, say)` fills it.
 * What was answered and not yet saved stays while others speak.
 */

import { fill, h } from "../lib/dom.js";
import { labels as text } from "../pages/label-strings.js";
import { answersOf, rubric } from "../pages/rubric-strings.js";
import { noteAnswers, rubricQuestion } from "./rubric-question.js";
import { toast } from "./toast.js";

class LabelRating extends HTMLElement {
  /** @type {import("../lib/discussion.js").Discussion|null} */ #discussion = null;
  /** @type {any} */ #own = null;
  /** @type {(event: object, options?: object) => Promise<object|null>} */ #say = async () => null;
  #changed = false; // since it was saved

  connectedCallback() {
    if (this.form) return;
    const change = () => (this.#changed = true);
    const question = (name, legend, answers) => rubricQuestion(name, legend, answers, { changed: change });
    this.others = h("ul", { class: "judgements small", "aria-label": text.ratings });
    this.error = h("p", { class: "error-text", role: "alert" });
    this.fields = h(
      "fieldset",
      { class: "rubric-fields" },
      question("one_concept", rubric.oneConcept, rubric.oneConcepts),
      question("specificity", rubric.specificity, rubric.specificities),
      question("confidence", rubric.confidence, rubric.confidences),
      h("label", { class: "field" }, h("span", {}, rubric.evidence), h("textarea", { name: "evidence", rows: "2", maxlength: "5000", dir: "auto" })),
      h("div", { class: "label-actions" }, h("button", {}, text.rate), this.error),
    );
    this.form = h("form", { oninput: change, onsubmit: (event) => this.#rate(event) }, this.fields);
    this.summary = h("summary", {});
    this.details = h("details", {}, this.summary, this.form);
    this.append(this.others, this.details);
  }

  show(discussion, me, say) {
    const before = this.#discussion;
    const other = discussion.source !== before?.source || discussion.index !== before?.index;
    [this.#discussion, this.#say] = [discussion, say];
    const { ratings } = discussion.state;
    this.#own = ratings.find(({ person }) => person.id === me.id) ?? null;
    const others = ratings.filter((rating) => rating !== this.#own);
    fill(this.others, others.map((rating) => h("li", {}, h("bdi", { class: "muted" }, rating.person.name), ` · ${answersOf(rating)}`, rating.evidence && h("p", { class: "muted", dir: "auto" }, rating.evidence))));
    this.others.hidden = others.length === 0;
    this.details.hidden = !me.permissions.includes("label");
    fill(this.summary, this.#own ? [text.yourRating, " ", h("span", { class: "muted" }, answersOf(this.#own))] : text.rateIt);
    if (other) this.details.open = false;
    if (other || !this.#changed) this.#fill();
  }

  /** Bring the questions to the front, and the focus to the first. */
  open() {
    if (this.details.hidden) return;
    this.details.open = true;
    (this.form.querySelector("input:checked") ?? this.form.querySelector("input")).focus();
  }

  /** What the person has answered already. */
  #fill() {
    this.form.reset();
    this.error.textContent = "";
    for (const name of ["one_concept", "specificity", "confidence", "evidence"]) {
      if (this.#own?.[name]) this.form.elements[name].value = this.#own[name]; // of radio buttons this chooses the one
    }
    noteAnswers(this.form);
    this.#changed = false;
  }

  async #rate(submitted) {
    submitted.preventDefault();
    if (this.fields.disabled) return;
    const { one_concept, specificity, confidence, evidence } = Object.fromEntries([...new FormData(this.form)].map(([name, value]) => [name, String(value).trim()]));
    if (!one_concept && !specificity && !confidence) {
      this.error.textContent = this.#own ? text.takeRatingBack : text.needAnswer;
      return;
    }
    this.error.textContent = "";
    const [discussion, button] = [this.#discussion, document.activeElement];
    const said = { kind: "rate", one_concept, specificity: specificity && Number(specificity), confidence, evidence: evidence || undefined };
    this.fields.disabled = true; // what is typed meanwhile would be lost
    this.#changed = false;
    const stored = await this.#say(said, { error: this.error });
    this.fields.disabled = false;
    if (discussion?.source !== this.#discussion?.source || discussion?.index !== this.#discussion?.index) return;
    if (stored) toast(text.rated);
    else this.#changed = true;
    if (button instanceof HTMLElement && this.contains(button)) button.focus();
  }
}

customElements.define("label-rating", LabelRating);
