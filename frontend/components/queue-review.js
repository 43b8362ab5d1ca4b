/**
 * <queue-review>: decides where people gave their opinions of a feature. `show(campaign, at)` begins at a place in the list,
 * at whose head stands what is disputed most; the page's query keeps the place (`at`). A digit accepts the opinion of that
 * number, 0 decides that none holds, j goes on and k back.
 */

import { api, isAbort } from "../lib/api.js";
import { campaigns } from "../lib/api-campaigns.js";
import { announce, fill, h, uuid } from "../lib/dom.js";
import { show as showPresence } from "../lib/live.js";
import { setQuery } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { forgetFeature } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { queue } from "../pages/label-queue-strings.js";
import { answersOf, rubric } from "../pages/rubric-strings.js";
import { labelAgreement, labelScores, scoresByLabel } from "./label-scores.js";
import "./queue-evidence.js";
import { errorView, skeleton } from "./state-view.js";
import { toast } from "./toast.js";

const text = queue.decide;
const MOST_KEYED = 9; // opinions that have a key

class QueueReview extends HTMLElement {
  /** @type {any} */
  #campaign = null;
  #at = 0;
  /** @type {any} */
  #item = null;
  #total = 0;
  #visit = 0;
  #busy = false;
  #left = new AbortController();
  #shown = new AbortController(); // keys of the opinions of the feature that is shown

  connectedCallback() {
    if (this.#left.signal.aborted) this.#left = new AbortController();
    const keys = { j: [text.nextKey, () => this.#step(1)], k: [text.previousKey, () => this.#step(-1)], 0: [text.nothingKey, () => this.#decide(null)], v: [queue.item.contextsInFull, () => this.#item !== null && this.evidence.turn()] };
    for (const [key, [words, act]] of Object.entries(keys)) addShortcut(key, words, act, { group: strings.help.groups.queue, signal: this.#left.signal });
    if (this.body) return;
    this.place = h("span", { class: "muted small", role: "status" });
    this.heading = h("h1", {});
    this.back = h("button", { type: "button", onclick: () => this.#step(-1) }, text.previous);
    this.on = h("button", { type: "button", onclick: () => this.#step(1) }, text.next);
    this.evidence = h("queue-evidence", {});
    this.opinions = h("div", {});
    this.reason = h("input", { name: "reason", maxlength: "2000", autocomplete: "off", placeholder: text.reasonHint });
    this.own = h("input", { name: "own", maxlength: "500", autocomplete: "off", dir: "auto" });
    this.error = h("p", { class: "error-text", role: "alert" });
    const leave = (event) => event.key === "Escape" && !event.isComposing && event.target.blur();
    this.form = h(
      "form",
      { class: "panel queue-opinion", onsubmit: (event) => this.#decideOwn(event), onkeydown: leave },
      h("h2", {}, text.opinions),
      this.opinions,
      h("label", { class: "field" }, h("span", {}, text.reason), this.reason),
      h("label", { class: "field" }, h("span", {}, text.own), this.own),
      h("div", { class: "campaign-actions" }, h("button", { type: "submit" }, text.ownSubmit), h("button", { type: "button", onclick: () => this.#decide(null) }, text.nothing)),
      this.error,
    );
    this.work = h("div", { class: "queue-columns" }, this.evidence, h("div", { class: "queue-side" }, this.form));
    this.body = h("div", { class: "queue-body" });
    this.append(h("header", { class: "queue-head" }, h("div", { class: "queue-title" }, h("a", { href: "/label" }, queue.back), this.heading, this.place, h("div", { class: "queue-steps" }, this.back, this.on))), this.body);
  }

  disconnectedCallback() {
    this.#left.abort();
    this.#shown.abort();
  }

  show(campaign, at = 0) {
    this.#campaign = campaign;
    this.#at = at;
    fill(this.heading, text.title(campaign.name));
    fill(this.body, skeleton(8));
    return this.#load();
  }

  #step(by) {
    const at = this.#at + by;
    if (at >= 0 && at < this.#total) this.#go(at);
  }

  #go(at) {
    this.#at = at;
    setQuery({ at: at || null }, { silent: true });
    return this.#load();
  }

  async #load() {
    const visit = ++this.#visit;
    const { signal } = this.#left;
    try {
      const { items, total, undecided } = await campaigns.review(this.#campaign.id, { at: this.#at, limit: 1 }, { signal });
      if (visit !== this.#visit) return;
      this.#total = total;
      this.#item = items[0] ?? null;
      this.back.disabled = this.#at === 0;
      this.on.disabled = this.#at + 1 >= total;
      this.place.textContent = total ? text.at(this.#at + 1, total, undecided) : "";
      if (this.#item === null) {
        if (total > 0) return void this.#go(total - 1);
        fill(this.body, h("state-view", { kind: "empty", heading: text.none, hint: text.noneHint, action: queue.back, href: "/label" }));
        return;
      }
      const { source, index } = this.#item;
      const [feature, scores] = await Promise.all([api.feature(source, index, { signal }), api.scores(source, index, { signal })]);
      if (visit === this.#visit) this.#render(feature, scores);
    } catch (error) {
      if (!isAbort(error) && visit === this.#visit) fill(this.body, errorView(error, () => this.#load()));
    }
  }

  #render(feature, scores) {
    const { source, index, opinions, disagreement, complete, decided, label, accepted } = this.#item;
    if (!this.body.contains(this.work)) fill(this.body, this.work);
    this.dataset.item = `${source}:${index}`;
    this.error.textContent = "";
    this.reason.value = "";
    this.own.value = "";
    const scored = scoresByLabel(scores);
    const apart = disagreement === 0 ? text.same : disagreement === 1 ? text.apart : text.partly;
    fill(
      this.opinions,
      h("p", { class: "muted small" }, [opinions.length > 1 && apart, !complete && text.incomplete].filter(Boolean).join(" · ")),
      decided && h("p", { class: "queue-decided" }, text.decided(accepted === null ? null : label)),
      h("ol", { class: "queue-opinions" }, opinions.map((opinion, i) => this.#opinion(opinion, i + 1, accepted, scored.get(opinion.stream)))),
      labelAgreement(scores.agreement, opinions.map((opinion) => ({ stream: opinion.stream, text: opinion.text }))),
    );
    this.#shown.abort();
    this.#shown = new AbortController();
    for (const [i, { stands, stream }] of opinions.slice(0, MOST_KEYED).entries()) {
      if (stands) addShortcut(String(i + 1), text.acceptKey(i + 1), () => this.#decide(stream), { group: strings.help.groups.queue, signal: this.#shown.signal });
    }
    this.evidence.show(feature);
    showPresence(source, index);
    announce(this.place.textContent);
    scrollTo(0, 0);
  }

  #opinion(opinion, place, accepted, scores) {
    const { person, text: name, flag, evidence, tags, stands, stream } = opinion;
    const answers = answersOf(opinion);
    return h(
      "li",
      { class: stream === accepted ? "is-accepted" : null },
      h("p", { class: "queue-words", dir: "auto" }, name ?? "–", flag && h("span", { class: "tag" }, rubric.flags[flag])),
      h("p", { class: "muted small" }, h("bdi", {}, person.name), answers && ` · ${answers}`),
      evidence && h("p", { class: "small", dir: "auto" }, evidence),
      labelScores(stream, scores),
      tags.length > 0 && h("p", { class: "queue-tags" }, tags.map((tag) => h("span", { class: "tag" }, tag))),
      name !== null && (stands ? h("button", { type: "button", onclick: () => this.#decide(stream) }, text.accept(place, place <= MOST_KEYED)) : h("span", { class: "muted small" }, text.gone)),
    );
  }

  /** This label holds, or (null) none does. `base`: the version of the feature that it rests on. */
  async #decide(label, base = this.#item?.version) {
    if (this.#item === null || this.#busy) return;
    const { source, index } = this.#item;
    const reason = this.reason.value.trim() || null;
    if (label === null && reason === null) {
      this.error.textContent = text.needReason;
      this.reason.focus();
      return;
    }
    const event = label !== null && reason === null ? { kind: "accept", label } : { kind: "adjudicate", label };
    await this.#attempt(async () => {
      await api.decide(source, index, { id: uuid(), event, reason: reason ?? undefined, base_version: base });
      forgetFeature(source, index);
      toast(text.saved);
      await this.#load(); // what is decided goes to the end, so the next one is at this place
    });
  }

  /** A reviewer's own words: a label like any other, and the decision for it. */
  async #decideOwn(submitted) {
    submitted.preventDefault();
    const name = this.own.value.trim();
    if (!name || this.#item === null || this.#busy) return;
    const { source, index, version } = this.#item;
    if (!this.reason.value.trim()) {
      this.error.textContent = text.needReason;
      this.reason.focus();
      return;
    }
    /** @type {any} */
    let proposed = null;
    await this.#attempt(async () => {
      proposed = await api.say(source, index, { id: uuid(), event: { kind: "propose", text: name }, base_version: version });
    });
    if (proposed) await this.#decide(proposed.stream, proposed.stream);
  }

  async #attempt(work) {
    this.#busy = true;
    this.error.textContent = "";
    try {
      await work();
    } catch (error) {
      if (error.code === "stale") {
        toast(text.stale, { kind: "error" });
        await this.#load();
      } else this.error.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    } finally {
      this.#busy = false;
    }
  }
}

customElements.define("queue-review", QueueReview);
