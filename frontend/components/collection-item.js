/**
 * <collection-item>: a feature of a collection, its note, and what can be done with both. `show(item, row, place)` fills it;
 * what is being written stays as it is. Events (bubbling): "deed" { event, base, done }: to be sent, `base` true where it
 * rests on what is shown.
 */

import { fill, h } from "../lib/dom.js";
import { featureId, featurePath, formatPercent, layerOf } from "../lib/format.js";
import { featureKey } from "../lib/selection.js";
import { collections } from "../pages/collection-strings.js";
import { featureNameNodes } from "./feature-name.js";
import { statusMark } from "./status-mark.js";

const text = collections.one;

class CollectionItem extends HTMLElement {
  /** @type {any} */ item = null;
  /** @type {any} */ #row = null;
  #place = { first: true, last: true, may: false };
  /** @type {any} */ #form = null;
  #version = 0;

  show(item, row, place, version) {
    this.item = item;
    this.#row = row ?? this.#row;
    this.#place = place;
    if (!this.#form) this.#version = version;
    this.dataset.key = featureKey(item);
    this.#draw();
  }

  get writing() {
    return this.#form !== null;
  }

  /** Somebody else has taken the feature out while a note on it is being written. */
  lost() {
    if (this.#form) this.#form.problem.textContent = text.gone;
  }

  #draw() {
    const { source, index, note, noted_by: by, added_by: added } = this.item;
    const id = featureId(layerOf(source) ?? "?", index);
    const row = this.#row;
    const { first, last, may } = this.#place;
    const button = (label, sign, act, off = false) => h("button", { type: "button", class: "icon-button", title: label, "aria-label": `${label}: ${id}`, disabled: off, onclick: act }, sign);
    const focused = this.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
    const head = h("div", { class: "collection-item-head" },
      h("a", { class: "num", href: featurePath(source, index) }, id),
      h("span", { class: "collection-item-name", dir: "auto" }, row && [statusMark(row.status), " ", featureNameNodes(row)]),
      row && h("span", { class: "muted num small" }, formatPercent(row.rate)),
      may && h("div", { class: "collection-item-tools" },
        button(text.up, "↑", () => this.#tell("up"), first), button(text.down, "↓", () => this.#tell("down"), last),
        button(text.out, "×", () => this.#send({ kind: "remove", items: [{ source, index }] }, this.#version))));
    const words = this.#form?.element ?? [
      note && h("p", { class: "collection-note", dir: "auto" }, note),
      h("p", { class: "muted small" }, note ? by && text.noteBy(by.name) : text.addedBy(added.name), " ",
        may && h("button", { type: "button", class: "linklike", "aria-label": `${note ? text.editNote : text.addNote}: ${id}`, onclick: () => this.#write() }, note ? text.editNote : text.addNote)),
    ];
    if (this.#form && this.firstChild) this.firstChild.replaceWith(head); // the field keeps its focus and its words
    else fill(this, head, words);
    if (focused && !this.contains(document.activeElement)) /** @type {HTMLElement|null} */ (this.querySelector(`[aria-label="${CSS.escape(focused)}"]`))?.focus();
  }

  #write() {
    const field = h("textarea", { rows: "3", maxlength: "2000", "aria-label": text.note, value: this.item.note ?? "", dir: "auto" });
    const problem = h("p", { class: "error-text", role: "alert" });
    const both = h("button", { type: "button", hidden: true }, text.keepBoth);
    const save = h("button", { class: "primary" }, text.save);
    const element = h("form", { class: "collection-note-form", onsubmit: (event) => { event.preventDefault(); this.#save(); },
      onkeydown: (event) => {
        if (event.key === "Escape") this.#close();
        else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#save();
        else return;
        event.stopPropagation();
        event.preventDefault();
      } },
    field, problem, h("div", { class: "dialog-buttons" }, h("button", { type: "button", onclick: () => this.#close() }, collections.dialog.cancel), both, save));
    this.#form = { element, field, problem, both, save };
    const { firstChild } = this;
    fill(this, firstChild, element);
    field.focus();
  }

  #close() {
    this.#form = null;
    this.#draw();
    /** @type {HTMLElement|null} */ (this.querySelector(".linklike"))?.focus();
  }

  #save() {
    const { source, index } = this.item;
    const { field, problem, both, save } = this.#form;
    if (save.disabled) return;
    save.disabled = true;
    const mine = field.value.trim();
    this.#send({ kind: "note", item: { source, index }, note: mine || null }, this.#version, (error) => {
      save.disabled = false;
      if (!error) return this.#close();
      problem.textContent = error.message;
      if (error.code !== "stale") return undefined;
      const now = error.conflict.now.items.find((each) => each.source === source && each.index === index);
      this.#version = error.conflict.version;
      problem.textContent = !now ? text.gone : now.note ? text.staleNote(now.note) : text.staleNoNote;
      save.textContent = text.replace;
      both.hidden = !now?.note;
      both.onclick = () => {
        field.value = `${now.note}\n\n${mine}`;
        this.#save();
      };
      return undefined;
    });
  }

  #tell(kind) {
    this.dispatchEvent(new CustomEvent("shift", { bubbles: true, detail: { item: this.item, kind } }));
  }

  #send(event, base, done = (_error) => {}) {
    this.dispatchEvent(new CustomEvent("deed", { bubbles: true, detail: { event, base, done } }));
  }
}

customElements.define("collection-item", CollectionItem);
