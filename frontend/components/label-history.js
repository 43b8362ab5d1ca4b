/** <label-history>: everything that was ever said of a feature, read when it is opened. `show(discussion, me, say)`. */

import { isAbort } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { labels as text } from "../pages/label-strings.js";
import { errorView } from "./state-view.js";

class LabelHistory extends HTMLElement {
  /** @type {import("../lib/discussion.js").Discussion|null} */ #discussion = null;
  /** @type {any} */ #me = null;
  /** @type {(event: object) => Promise<object|null>} */ #say = async () => null;

  connectedCallback() {
    if (this.details) return;
    this.list = h("ol", { class: "history" });
    this.more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#read(this.before) }, text.more);
    this.details = h("details", { ontoggle: () => this.details.open && this.#read() }, h("summary", {}, text.history), this.list, this.more);
    this.append(this.details);
  }

  show(discussion, me, say) {
    [this.#discussion, this.#me, this.#say] = [discussion, me, say];
    if (this.details.open) this.#read();
  }

  async #read(before) {
    const discussion = this.#discussion;
    if (!discussion) return;
    try {
      const { items, next_before: next } = await discussion.history(before);
      if (discussion !== this.#discussion) return;
      const rows = items.map((item) => this.#row(item));
      if (before) this.list.append(...rows);
      else fill(this.list, rows);
      this.before = next;
      this.more.hidden = next === null;
    } catch (error) {
      if (!isAbort(error)) fill(this.list, h("li", {}, errorView(error, () => this.#read(before))));
    }
  }

  #row(item) {
    const mine = item.origin === "human" && item.kind !== "redact" && (item.author.id === this.#me.id || this.#me.permissions.includes("review"));
    const undo = mine && !item.undone_by && h("button", { type: "button", class: "quiet small", onclick: () => this.#say({ kind: "undo", target: item.stream }) }, item.kind === "undo" ? text.redo : text.undo);
    return h("li", { class: item.undone_by ? "is-undone" : null },
      h("span", { class: "muted small" }, h("time", { datetime: item.created_at }, formatTime(item.created_at)), " · ", h("bdi", {}, item.author.name), item.undone_by && ` · ${text.undone}`), " ",
      h("span", { class: "history-text", dir: "auto" }, item.redacted_by ? text.redacted : text.kinds[item.kind]?.(item.payload) ?? item.kind), " ", undo);
  }
}

customElements.define("label-history", LabelHistory);
