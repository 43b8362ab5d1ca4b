/** <label-history>: everything that was ever said of a feature, read when it is opened. `show(discussion, me, say)`. */

import { api, isAbort } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { labels as text } from "../pages/label-strings.js";
import { errorView } from "./state-view.js";

class LabelHistory extends HTMLElement {
  /** @type {import("../lib/discussion.js").Discussion|null} */ #discussion = null;
  /** @type {any} */ #me = null;
  /** @type {(event: object, options?: object) => Promise<object|null>} */ #say = async () => null;
  /** @type {Set<number>} */ #open = new Set(); // events whose past is on show

  connectedCallback() {
    if (this.details) return;
    this.list = h("ol", { class: "history" });
    this.more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#read(this.before) }, text.more);
    this.details = h("details", { ontoggle: () => this.details.open && this.#read() }, h("summary", {}, text.history), this.list, this.more);
    this.append(this.details);
  }

  show(discussion, me, say) {
    const before = this.#discussion;
    if (discussion.source !== before?.source || discussion.index !== before?.index) this.#open.clear();
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
    const said = text.kinds[item.kind]?.(item.payload) ?? item.kind;
    const words = !item.redacted_by && (item.reason || ["text", "tag", "evidence", "explanation", "parts", "tags"].some((name) => item.payload[name]?.length));
    const redact = this.#me.permissions.includes("administer") && words && h("button", { type: "button", class: "quiet small", "aria-label": text.redactThis(said),
      onclick: () => this.#redact(item.stream, said) }, text.redact);
    return h("li", { class: item.undone_by ? "is-undone" : null },
      h("span", { class: "muted small" }, h("time", { datetime: item.created_at }, formatTime(item.created_at)), " · ", h("a", { href: `/person/${encodeURIComponent(item.author.id)}` }, h("bdi", {}, item.author.name)), item.undone_by && ` · ${text.undone}`), " ",
      h("span", { class: "history-text", dir: "auto" }, item.redacted_by ? text.redacted : said, item.reason && [": ", h("bdi", {}, item.reason)]), " ", undo, " ", this.#past(item.stream, said), " ", redact);
  }

  /** For good, so it asks, and for the reason, which stands in the history instead. */
  #redact(target, said) {
    const reason = prompt(text.sureRedact(said))?.trim();
    if (reason) this.#say({ kind: "redact", target }, { reason });
  }

  /** A button that shows, and hides again, which names stood behind an event. It stays open where the history is read again. */
  #past(stream, said) {
    const shown = h("ul", { class: "small history-past", hidden: true });
    const read = async () => {
      const { source, index } = /** @type {import("../lib/discussion.js").Discussion} */ (this.#discussion);
      try {
        const { labels } = await api.discussion(source, index, { at: stream });
        fill(shown, labels.map((label) => h("li", { class: label.shown ? "is-shown" : null }, h("span", { dir: "auto" }, label.redacted ? text.redacted : label.text || text.unclear), " ", label.accepted && h("span", { class: "accepted" }, text.accepted), h("span", { class: "muted" }, " · ", h("bdi", {}, label.author.name)))), labels.length === 0 && h("li", {}, text.thenNone));
      } catch (error) {
        fill(shown, h("li", { class: "error-text" }, error.message));
      }
    };
    const set = (open) => {
      shown.hidden = !open;
      button.setAttribute("aria-expanded", String(open));
      if (open) this.#open.add(stream);
      else this.#open.delete(stream);
      if (open) read();
    };
    const button = h("button", { type: "button", class: "quiet small", "aria-expanded": "false", "aria-label": text.thenOf(said), onclick: () => set(shown.hidden) }, text.then);
    if (this.#open.has(stream)) set(true);
    return [button, shown];
  }
}

customElements.define("label-history", LabelHistory);
