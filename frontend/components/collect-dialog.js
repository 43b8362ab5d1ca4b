/**
 * The dialog that adds features to a collection, or makes one: `openCollect(features)`, with none of them for an empty
 * one. Resolves to the collection, or null. What was done can be undone right there. Styles: collections.css.
 */

import { errorText } from "../lib/error-text.js";
import { isAbort } from "../lib/api.js";
import { collectionPath, collections as api } from "../lib/api-collections.js";
import { fill, h, uuid } from "../lib/dom.js";
import { featureKey } from "../lib/selection.js";
import { collections } from "../pages/collection-strings.js";

const text = collections.dialog;

/** @param {{source: string, index: number}[]} features */
export function openCollect(features) {
  return new Promise((resolve) => {
    const dialog = /** @type {CollectDialog} */ (h("collect-dialog", {}));
    document.body.append(dialog);
    dialog.open(features, (stored) => {
      dialog.remove();
      resolve(stored);
    });
  });
}

class CollectDialog extends HTMLElement {
  #features = [];
  #id = uuid();
  /** @type {any} */ #stored = null;

  open(features, done) {
    this.#features = features;
    this.body = h("div", { class: "collect-body" });
    this.dialog = h("dialog", { class: "collect", "aria-labelledby": "collect-title", onclose: () => done(this.#stored) },
      h("h2", { id: "collect-title" }, text.title(features.length)), this.body);
    this.append(this.dialog);
    this.dialog.showModal();
    this.#ask();
  }

  async #ask() {
    let [there, having] = [[], new Set()];
    fill(this.body, h("p", { class: "muted", role: "status" }, "…"));
    try {
      if (this.#features.length) {
        const [all, has] = await Promise.all([api.list({}), this.#features.length === 1 ? api.list({ feature: featureKey(this.#features[0]) }) : { items: [] }]);
        there = all.items;
        having = new Set(has.items.map(({ id }) => id));
      }
    } catch (error) {
      if (!isAbort(error)) return fill(this.body, h("p", { class: "error-text", role: "alert" }, errorText(error)), this.#buttons(this.#closing(text.close)));
    }
    this.#form(there, having);
  }

  #form(there, having) {
    const count = this.#features.length;
    this.which = h("select", { name: "which", onchange: () => this.#turn() },
      there.map(({ id, name }) => h("option", { value: id }, having.has(id) ? text.has(name) : name)), h("option", { value: "" }, text.fresh));
    this.name = h("input", { name: "name", maxlength: "200", required: true, autocomplete: "off" });
    this.description = h("textarea", { name: "description", rows: "2", maxlength: "5000" });
    this.note = h("textarea", { name: "note", rows: "2", maxlength: "2000" });
    this.problem = h("p", { class: "error-text", role: "alert" });
    this.save = h("button", { class: "primary" }, count ? text.add : text.make);
    this.fresh = h("div", { class: "collect-new" }, field(text.name, this.name), field(text.description, this.description));
    fill(this.body, h("form", { class: "collect-form", onsubmit: (event) => this.#submit(event) },
      there.length > 0 && field(text.which, this.which), this.fresh, count > 0 && field(text.note(count), this.note), this.problem,
      this.#buttons(this.#closing(text.cancel), this.save)));
    this.#turn();
    (there.length ? this.which : this.name).focus();
  }

  #turn() {
    this.fresh.hidden = this.which.value !== "";
    this.name.disabled = this.fresh.hidden;
  }

  async #submit(submitted) {
    submitted.preventDefault();
    if (this.save.disabled) return;
    this.save.disabled = true;
    this.problem.textContent = "";
    const note = this.note.value.trim() || null;
    const items = this.#features.map(({ source, index }) => ({ source, index, note }));
    const into = this.which.value;
    try {
      this.#stored = into
        ? await api.act(into, { id: this.#id, event: { kind: "add", items } })
        : await api.make({ id: this.#id, name: this.name.value, description: this.description.value.trim() || null, items });
      if (this.#features.length) this.#done(Boolean(into));
      else this.dialog.close();
    } catch (error) {
      if (error.code === "id_reused") this.#id = uuid();
      this.problem.textContent = errorText(error);
    } finally {
      this.save.disabled = false;
    }
  }

  #done(wasThere) {
    const { id, name, version } = this.#stored;
    const said = h("p", { role: "status" }, text.added(name));
    const undo = h("button", { type: "button", onclick: async () => {
      try {
        const event = wasThere ? { kind: "undo", target: version } : { kind: "delete" };
        this.#stored = await api.act(id, { id: uuid(), base_version: version, event });
        said.textContent = text.undone;
        undo.remove();
      } catch (error) {
        said.textContent = errorText(error);
      }
    } }, text.undo);
    const close = this.#closing(text.close);
    fill(this.body, said, this.#buttons(undo, h("a", { class: "button", href: collectionPath(id), onclick: () => this.dialog.close() }, text.open), close));
    close.focus();
  }

  #closing = (label) => h("button", { type: "button", onclick: () => this.dialog.close() }, label);

  #buttons = (...buttons) => h("div", { class: "dialog-buttons" }, buttons);
}

const field = (label, control) => h("label", { class: "field" }, h("span", {}, label), control);

customElements.define("collect-dialog", CollectDialog);
