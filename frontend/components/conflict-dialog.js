/**
 * <conflict-dialog>: two wrote at once. `ask(conflict, mine)` resolves to the event to send instead, with the version
 * that it rests on, or to null to look again. What was written stays where it was until then.
 */

import { fill, h } from "../lib/dom.js";
import { labels as text } from "../pages/label-strings.js";

class ConflictDialog extends HTMLElement {
  /** @type {((chosen: {event: any, version: number}|null) => void)|null} */ #answer = null;

  connectedCallback() {
    if (this.dialog) return;
    this.body = h("div", { class: "conflict-body" });
    this.dialog = h("dialog", { class: "conflict", "aria-labelledby": "conflict-title", onclose: () => this.#close(null) }, h("h2", { id: "conflict-title" }, text.conflict), this.body);
    this.append(this.dialog);
  }

  ask(conflict, mine) {
    const merge = conflict.ways_on.find(({ name }) => name === "merge");
    const merged = h("input", { value: merge?.event.text ?? "", maxlength: "500", dir: "auto" });
    const pick = ({ name, event }) => {
      const chosen = name === "merge" ? { ...event, text: merged.value.trim() } : event;
      if (chosen.text) this.#close({ event: chosen, version: conflict.version });
    };
    const changes = conflict.changes.map((change) => h("li", { dir: "auto" }, h("bdi", {}, change.author.name), " ", text.kinds[change.kind]?.(change.payload) ?? change.kind));
    fill(this.body,
      h("p", {}, text.conflictLead),
      h("h3", {}, text.theirs), h("ol", { class: "history" }, changes),
      h("h3", {}, text.yours), h("p", { class: "proposal", dir: "auto" }, mine),
      merge && h("label", { class: "field" }, h("span", {}, text.merged), merged),
      h("div", { class: "dialog-buttons" },
        h("button", { type: "button", onclick: () => this.#close(null) }, text.lookAgain),
        conflict.ways_on.map((way) => h("button", { type: "button", class: way.name === "keep_both" ? "primary" : null, onclick: () => pick(way) }, text.ways[way.name]))));
    this.dialog.showModal();
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  #close(chosen) {
    const answer = this.#answer;
    this.#answer = null;
    if (this.dialog.open) this.dialog.close();
    answer?.(chosen);
  }
}

customElements.define("conflict-dialog", ConflictDialog);
