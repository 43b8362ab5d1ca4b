/**
 * <label-flags>: what people say stands against naming a feature, and a form to say so. `show(discussion, me, say)` fills it.
 * One's own flags, and of others where one reviews, can be taken back.
 */

import { fill, h, refill } from "../lib/dom.js";
import { featureId, featureName, featurePath, layerOf } from "../lib/format.js";
import { withSheets } from "../lib/sheets.js";
import { labels as text } from "../pages/label-strings.js";
import { rubric } from "../pages/rubric-strings.js";
import { noteAnswers, rubricQuestion } from "./rubric-question.js";
import { errorView } from "./state-view.js";
import { toast } from "./toast.js";

class LabelFlags extends HTMLElement {
  /** @type {import("../lib/discussion.js").Discussion|null} */ #discussion = null;
  /** @type {(event: object, options?: object) => Promise<object|null>} */ #say = async () => null;
  /** @type {{source: string, index: number}|null} */ #of = null; // what it is a duplicate of

  connectedCallback() {
    if (this.form) return;
    this.list = h("ul", { class: "tags", "aria-label": text.flags });
    this.picked = h("p", { class: "small", role: "status", dir: "auto" });
    this.picker = h("div", { onfeaturepick: ({ detail }) => this.#pick(detail.feature) });
    this.duplicate = h("div", { class: "flag-part" }, this.picker, this.picked);
    this.parts = h("label", { class: "field flag-part" }, h("span", {}, text.parts), h("textarea", { name: "parts", rows: "2", maxlength: "5000", dir: "auto" }));
    this.error = h("p", { class: "error-text", role: "alert" });
    this.fields = h(
      "fieldset",
      { class: "rubric-fields" },
      rubricQuestion("flag", rubric.flag, rubric.flags, { changed: () => this.#turn() }),
      this.duplicate,
      this.parts,
      h("label", { class: "field" }, h("span", {}, text.reason), h("input", { name: "reason", maxlength: "2000", autocomplete: "off", dir: "auto" })),
      h("div", { class: "label-actions" }, h("button", {}, text.flagIt), this.error),
    );
    this.form = h("form", { oninput: () => this.#turn(), onsubmit: (event) => this.#flag(event) }, this.fields);
    this.details = h("details", {}, h("summary", {}, text.flag), this.form);
    this.append(this.list, this.details);
    this.#turn();
  }

  show(discussion, me, say) {
    const before = this.#discussion;
    const other = discussion.source !== before?.source || discussion.index !== before?.index;
    [this.#discussion, this.#say] = [discussion, say];
    const { flags } = discussion.state;
    const may = me.permissions.includes("label");
    const mine = flags.filter(({ person }) => person.id === me.id);
    refill(this.list, flags.map((flag) => this.#chip(flag, may && (mine.includes(flag) || me.permissions.includes("review")))));
    this.list.hidden = flags.length === 0;
    this.details.hidden = !may;
    if (other) {
      this.details.open = false;
      this.#clear();
    }
    for (const option of this.form.querySelectorAll("[name=flag]")) { // said already; of duplicates there may be several
      option.disabled = option.value !== "duplicate" && mine.some(({ flag }) => flag === option.value);
      if (option.disabled) option.checked = false;
    }
    this.#turn();
  }

  /** Bring the form to the front, and the focus to its first field. */
  open() {
    if (this.details.hidden) return;
    this.details.open = true;
    this.form.querySelector("input:enabled").focus();
  }

  #chip(flag, may) {
    const { stream, person, reason, parts, of_source: source, of_index: index } = flag;
    const words = rubric.flags[flag.flag];
    return h(
      "li",
      { class: "chip tag" },
      h("span", {}, words, flag.flag === "duplicate" && [" ", text.of, " ", h("a", { href: featurePath(source, index) }, featureId(layerOf(source) ?? "?", index))], parts.length > 0 && [": ", h("bdi", {}, parts.join(", "))]),
      h("span", { class: "muted" }, h("bdi", {}, person.name), reason && [": ", h("bdi", {}, reason)]),
      may && h("button", { type: "button", class: "quiet", dataset: { key: `flag:${stream}` }, "aria-label": text.takeFlagBack(words), onclick: () => this.#say({ kind: "retract", target: stream }) }, "×"),
    );
  }

  /** What only some flags need is there with them; the code to find a feature is fetched for whoever wants it. */
  #turn() {
    const flag = this.form.elements.flag.value;
    this.duplicate.hidden = flag !== "duplicate";
    this.parts.hidden = flag !== "polysemantic";
    if (flag === "duplicate" && this.picker.childElementCount === 0) this.#fetchPicker();
  }

  async #fetchPicker() {
    try {
      await withSheets(import("./feature-picker.js"), "feature-picker");
      fill(this.picker, h("mfn-feature-picker", { label: text.ofWhich }));
    } catch (error) {
      fill(this.picker, errorView(error, () => this.#fetchPicker()));
    }
  }

  #pick(feature) {
    this.#of = { source: feature.source, index: feature.index };
    this.picked.textContent = `${text.of} ${featureId(feature.layer, feature.index)} · ${featureName(feature)}`;
    this.error.textContent = "";
  }

  #clear() {
    this.form.reset();
    noteAnswers(this.form);
    this.#of = null;
    this.picked.textContent = "";
    this.error.textContent = "";
    this.#turn();
  }

  async #flag(submitted) {
    submitted.preventDefault();
    if (this.fields.disabled) return;
    const { flag, parts, reason } = this.form.elements;
    const missing = !flag.value ? text.needFlag : flag.value === "duplicate" && !this.#of ? text.needOf : "";
    this.error.textContent = missing;
    if (missing) return;
    const said = {
      kind: "flag",
      flag: flag.value,
      of: flag.value === "duplicate" ? this.#of : undefined,
      parts: flag.value === "polysemantic" ? parts.value.split("\n").map((part) => part.trim()).filter(Boolean) : undefined,
    };
    const discussion = this.#discussion;
    this.fields.disabled = true;
    const stored = await this.#say(said, { reason: reason.value.trim(), error: this.error });
    this.fields.disabled = false;
    if (!stored || discussion?.source !== this.#discussion?.source || discussion?.index !== this.#discussion?.index) return;
    this.#clear();
    this.details.open = false;
    this.details.querySelector("summary")?.focus();
    toast(text.flagged);
  }
}

customElements.define("label-flags", LabelFlags);
