/**
 * <label-box>: what people say of a feature. A form to propose a name, the names that stand with their votes, tags, ratings,
 * flags, the discussion, and the history. `show(feature)` fills it. It follows what others say as long as it is open; what is
 * typed stays until it is stored. A name of one's own fires "proposed" with the event that the server stored; what
 * others have said fires "relabelled", since the page's copy of the feature is older then.
 */

import { api, isAbort } from "../lib/api.js";
import { Discussion, mentioned } from "../lib/discussion.js";
import { debounce, fill, h, refill, uuid } from "../lib/dom.js";
import { listen, show as showPresence } from "../lib/live.js";
import { loadPerson, who } from "../lib/person.js";
import { addShortcut } from "../lib/shortcuts.js";
import { forgetFeature } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { labels as text } from "../pages/label-strings.js";
import { commentList } from "./comment-list.js";
import "./conflict-dialog.js";
import "./label-flags.js";
import { labelList } from "./label-list.js";
import "./label-history.js";
import "./label-rating.js";
import { labelAgreement, scoresByLabel } from "./label-scores.js";
import { labelTags } from "./label-tags.js";
import { adoptable, suggestionList, wayOf } from "./suggestion-list.js";
import { toast } from "./toast.js";

const SETTLE_MS = 60;
const TYPING_MS = 4_000;
/** @type {{ id: string, name: string, permissions: string[] }} */
const NOBODY = { id: "", name: "", permissions: [] };

class LabelBox extends HTMLElement {
  static observedAttributes = ["hidden"];

  /** @type {any} */ #feature = null;
  /** @type {Discussion|null} */ #discussion = null;
  /** @type {any} */ #scores = null;
  #me = NOBODY;
  #id = uuid();
  /** @type {any} */ #replyTo = null;
  #renamed = Promise.resolve();
  #loaded = Promise.resolve(); // of what is shown, or why it could not be read is told
  /** @type {AbortController|null} */ #left = null;
  #adopting = false;
  #still = debounce(() => this.#present(false), TYPING_MS);
  #reload = debounce(() => this.#load(), SETTLE_MS);

  connectedCallback() {
    this.#turn();
  }

  disconnectedCallback() {
    this.#turn();
  }

  attributeChangedCallback() {
    this.#turn();
  }

  /** There is no form before: what is typed into it is of a feature, and stays. */
  show(feature) {
    if (!this.form) this.#build();
    const same = this.#feature?.source === feature.source && this.#feature?.index === feature.index;
    this.#feature = feature;
    if (!same) this.#clear();
    const listening = this.#left !== null;
    this.#turn();
    if (!listening || this.#left === null) return;
    if (!same) this.#present(false);
    this.#load();
  }

  /** Listens while it is open on a page: what is closed is neither read nor followed. */
  #turn() {
    const open = this.isConnected && !this.hidden && this.#feature !== null;
    if (open && this.#left === null) {
      this.#left = new AbortController();
      this.#follow();
      this.#load();
    } else if (!open && this.#left !== null) {
      this.#left.abort();
      this.#left = null;
      this.#still.cancel();
      this.#reload.cancel();
    }
  }

  focusField() {
    this.form.elements.text.focus();
  }

  #build() {
    const field = (name, label, props) => h("label", { class: `field field-${name}` }, h("span", {}, label), h("input", { name, autocomplete: "off", ...props }));
    this.error = h("p", { class: "error-text", role: "alert" });
    this.save = h("button", { type: "submit", class: "primary" }, text.propose);
    this.form = h("form", { class: "label-form", onsubmit: (event) => this.#propose(event), oninput: () => this.#typing() },
      field("text", text.label, { required: true, maxlength: "500", placeholder: text.placeholder }),
      field("author", text.who, { maxlength: "100", onchange: (event) => (this.#renamed = this.#rename(event.target.value)) }),
      field("reason", text.reason, { maxlength: "2000" }),
      h("div", { class: "label-actions" }, this.save, this.error));
    this.others = h("p", { class: "muted small label-others", "aria-live": "polite" });
    this.names = h("div", { class: "label-names" });
    this.suggestions = h("div", {});
    this.agreement = h("div", {});
    this.tags = h("div", {});
    this.rating = h("label-rating", {});
    this.flags = h("label-flags", {});
    this.comments = h("div", { class: "label-comments" });
    this.remark = h("textarea", { rows: "2", maxlength: "5000", "aria-label": text.comment, placeholder: text.commentPlaceholder, dir: "auto", oninput: () => this.#typing() });
    this.replying = h("span", { class: "muted small" });
    this.remarkForm = h("form", { class: "comment-form", onsubmit: (event) => this.#comment(event) }, this.remark,
      h("div", { class: "label-actions" }, h("button", {}, text.send), this.replying));
    this.history = h("label-history", {});
    this.conflict = h("conflict-dialog", {});
    fill(this,
      h("div", { class: "label-left" }, this.form, this.tags, this.flags, this.rating, this.others),
      h("div", { class: "label-right" }, this.names, this.suggestions, this.agreement),
      h("div", { class: "label-discussion" }, h("h3", {}, text.discussion), this.comments, this.remarkForm, this.history),
      this.conflict);
  }

  #follow() {
    const signal = this.#left?.signal;
    if (!signal) return;
    listen((message) => this.#hear(message), { signal });
    who.subscribe((state) => this.#known(state), { signal });
    loadPerson({ signal }).catch((error) => !isAbort(error) && this.#fail(error));
    const group = strings.help.groups.feature;
    addShortcut("a", text.adoptFirst, () => this.#adopt(adoptable(this.#discussion?.state)[0]), { group, signal });
    addShortcut("r", text.rateIt, () => this.rating.open(), { group, signal });
    addShortcut("f", text.flag, () => this.flags.open(), { group, signal });
    this.#present(false);
  }

  #hear(message) {
    const { source, index } = this.#feature;
    if (message.kind === "presence") {
      const others = message.tabs.filter((tab) => tab.source === source && tab.index === index);
      const names = others.map(({ person, typing, leased }) => (typing ? text.typing(person.name) : leased ? text.judging(person.name) : person.name));
      this.others.textContent = names.length ? text.here(names) : "";
    } else if (message.kind === "renewed" || (message.event.source === source && message.event.index === index)) {
      this.#reload();
    }
  }

  #load() {
    return (this.#loaded = this.#read());
  }

  async #read() {
    const feature = this.#feature;
    try {
      const signal = this.#left?.signal;
      // names do not wait for their scores, nor are they lost with them
      const scores = api.scores(feature.source, feature.index, { signal }).then((found) => found, (error) => (isAbort(error) ? null : { labels: [], agreement: [] }));
      const discussion = await Discussion.load(feature.source, feature.index, { signal });
      if (feature !== this.#feature) return;
      scores.then((found) => feature === this.#feature && found && this.#scored(found));
      const known = this.#discussion?.state.version ?? feature.version;
      this.#discussion = discussion;
      this.#render();
      if (known !== discussion.state.version) this.#changed();
    } catch (error) {
      if (!isAbort(error) && feature === this.#feature) this.#fail(error);
    }
  }

  #scored(found) {
    const same = JSON.stringify(found) === JSON.stringify(this.#scores);
    this.#scores = found;
    if (!same) this.#render();
  }

  /** The page's copy of the feature is older than what is said of it. */
  #changed() {
    const { source, index } = this.#feature;
    forgetFeature(source, index);
    this.dispatchEvent(new CustomEvent("relabelled", { detail: { source, index } }));
  }

  #render() {
    if (!this.#discussion) return;
    const { state } = this.#discussion;
    const say = (event, options) => this.#say(event, options);
    const scores = scoresByLabel(this.#scores);
    const named = { ...state, labels: state.labels.filter(({ suggestion }) => !suggestion) };
    if (!this.names.querySelector(".is-edited")) refill(this.names, labelList(named, this.#me, say, scores));
    refill(this.suggestions, suggestionList(state, this.#me, (suggestion) => this.#adopt(suggestion), scores));
    refill(this.agreement, labelAgreement(this.#scores?.agreement, named.labels));
    if (!this.tags.querySelector("input")?.value) refill(this.tags, labelTags(state, this.#me, say));
    this.rating.show(this.#discussion, this.#me, say);
    this.flags.show(this.#discussion, this.#me, say);
    refill(this.comments, commentList(state.comments, this.#me, { say, reply: (comment) => this.#reply(comment) }));
    this.history.show(this.#discussion, this.#me, say);
  }

  /**
   * Says something of what is shown, and gives the event that was stored, or null. `stored` is called before what is
   * shown is read again. A conflict is for the person to resolve; why something else was not stored is written into `error`.
   */
  async #say(event, /** @type {{id?: string, reason?: string, version?: number, stored?: () => void, error?: HTMLElement}} */ options = {}) {
    try {
      const stored = await this.#discussion?.say(event, options);
      this.error.textContent = "";
      options.stored?.();
      await this.#load();
      return stored;
    } catch (error) {
      if (error.code !== "stale") {
        this.#fail(error, options.error);
        return null;
      }
      if (error.conflict.ways_on.length === 0) {
        toast(text.changed, { kind: "error" });
        await this.#load();
        return null;
      }
      const chosen = await this.conflict.ask(error.conflict, event.text);
      return chosen ? this.#say(chosen.event, { ...options, id: undefined, version: chosen.version }) : this.#load().then(() => null);
    }
  }

  async #propose(submitted) {
    submitted.preventDefault();
    const [name, reason] = ["text", "reason"].map((field) => this.form.elements[field].value.trim());
    if (!name) {
      this.error.textContent = text.required;
      this.focusField();
      return;
    }
    this.save.disabled = true;
    this.error.textContent = "";
    if (await this.#ready()) await this.#name(name, reason, this.#id);
    this.save.disabled = false;
  }

  /** What is said rests on what is shown, so it waits for that; false where it could not be read, or another feature is shown now. */
  async #ready() {
    const feature = this.#feature;
    await Promise.all([this.#renamed, this.#loaded]);
    const same = () => feature.source === this.#feature.source && feature.index === this.#feature.index;
    if (same() && this.#discussion === null) await this.#load(); // it could not be read before
    return same() && this.#discussion !== null;
  }

  /** A program's suggestion becomes a name of one's own. Once, however often it is asked for. */
  async #adopt(suggestion) {
    if (!suggestion || this.#adopting || !this.#me.permissions.includes("label")) return;
    this.#adopting = true;
    if (await this.#ready()) await this.#name(suggestion.text, text.adoptedFrom(wayOf(suggestion)), uuid());
    this.#adopting = false;
  }

  async #name(name, reason, id) {
    const { source, index } = this.#feature;
    const stored = await this.#say({ kind: "propose", text: name }, { id, reason });
    if (!stored) return;
    if (id === this.#id) this.#clear(); // what was typed is stored
    this.dispatchEvent(new CustomEvent("proposed", { detail: { source, index, text: stored.payload.text, stored } }));
  }

  async #comment(submitted) {
    submitted.preventDefault();
    const words = this.remark.value.trim();
    if (!words || !(await this.#ready())) return;
    let mentions = [];
    if (words.includes("@")) mentions = mentioned(words, await api.authors().then(({ items }) => items, () => []));
    if (await this.#say({ kind: "comment", text: words, reply_to: this.#replyTo?.stream, mentions })) {
      this.remark.value = "";
      this.#reply(null);
      this.#present(false);
    }
  }

  #reply(comment) {
    this.#replyTo = comment;
    this.replying.textContent = comment ? text.replyTo(comment.person.name) : "";
    if (comment) this.remark.focus();
  }

  #known({ accounts, person }) {
    this.#me = person ?? NOBODY;
    const { author } = this.form.elements;
    if (document.activeElement !== author) author.value = this.#me.name;
    author.closest("label").hidden = accounts;
    this.form.hidden = this.remarkForm.hidden = !this.#me.permissions.includes("label");
    this.#render();
  }

  async #rename(name) {
    if (!name.trim() || name.trim() === this.#me.name) return;
    try {
      who.set(await api.rename(name.trim()));
      toast(text.nameSaved(this.#me.name));
    } catch (error) {
      this.#fail(error);
    }
  }

  #typing() {
    this.#present(true);
    this.#still();
  }

  #present(typing) {
    if (this.#left !== null) showPresence(this.#feature.source, this.#feature.index, typing);
  }

  #fail(error, where = this.error) {
    where.textContent = [error.message, error.hint].filter(Boolean).join(" ");
  }

  #clear() {
    this.#discussion = null;
    this.#scores = null;
    this.form.elements.text.value = "";
    this.form.elements.reason.value = "";
    this.remark.value = "";
    this.#reply(null);
    this.error.textContent = "";
    this.#id = uuid();
  }
}

customElements.define("label-box", LabelBox);
