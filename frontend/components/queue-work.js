/**
 * <queue-work>: works through a campaign. `show(campaign)` asks for the first feature. It is kept for this tab while it is
 * before somebody: the lease is renewed, had again after a reload, and whoever lost it is told, with their words in place.
 */

import { api, isAbort } from "../lib/api.js";
import { campaigns } from "../lib/api-campaigns.js";
import { announce, fill, h, uuid } from "../lib/dom.js";
import { show as showPresence } from "../lib/live.js";
import { addShortcut } from "../lib/shortcuts.js";
import { forgetFeature } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { queue } from "../pages/label-queue-strings.js";
import { progressBar } from "./queue-list.js";
import "./queue-evidence.js";
import { opinionKeys } from "./queue-opinion.js";
import { errorView, skeleton } from "./state-view.js";
import { toast } from "./toast.js";

const text = queue.item;
const HEARTBEAT_MS = 20_000;
const WAITING_MS = 5_000;

class QueueWork extends HTMLElement {
  /** @type {any} */
  #campaign = null;
  /** @type {any} */
  #item = null;
  /** @type {any} */
  #feature = null;
  #id = uuid();
  #visit = 0;
  #timer = 0;
  #left = new AbortController();

  connectedCallback() {
    if (this.#left.signal.aborted) this.#left = new AbortController();
    for (const [key, words] of [...opinionKeys, ["v", text.contextsInFull]]) addShortcut(key, words, () => this.#press(key), { group: strings.help.groups.queue, signal: this.#left.signal });
    if (this.body) return;
    this.head = h("header", { class: "queue-head" });
    this.notice = h("div", { class: "queue-notice", role: "status" });
    this.evidence = h("queue-evidence", {});
    this.opinion = h("queue-opinion", {});
    this.opinion.addEventListener("opinion", ({ detail }) => this.#give(detail));
    this.opinion.addEventListener("skip", () => this.#skip());
    this.body = h("div", { class: "queue-body" });
    this.work = h("div", { class: "queue-columns" }, this.evidence, h("div", { class: "queue-side" }, this.notice, this.opinion));
    this.append(this.head, this.body);
  }

  disconnectedCallback() {
    this.#left.abort();
    clearTimeout(this.#timer);
  }

  show(campaign) {
    this.#campaign = campaign;
    return this.#next();
  }

  #press(key) {
    if (this.#feature === null) return;
    if (key === "v") this.evidence.turn();
    else this.opinion.press(key);
  }

  get #lease() {
    const name = `mfn:lease:${this.#campaign.id}`;
    const kept = sessionStorage.getItem(name) ?? uuid();
    sessionStorage.setItem(name, kept);
    return kept;
  }

  /** The next feature is another lease. */
  #release() {
    sessionStorage.removeItem(`mfn:lease:${this.#campaign.id}`);
  }

  async #next() {
    const visit = ++this.#visit;
    const { signal } = this.#left;
    clearTimeout(this.#timer);
    this.#feature = null;
    if (!this.body.contains(this.work)) fill(this.body, skeleton(8));
    try {
      const { item, why, progress } = await campaigns.nextItem(this.#campaign.id, this.#lease, { signal });
      if (visit !== this.#visit) return;
      this.#campaign = { ...this.#campaign, progress };
      this.#showHead();
      if (item === null) return this.#nothing(why, progress);
      const feature = await api.feature(item.source, item.index, { signal });
      if (visit === this.#visit) this.#begin(item, feature);
    } catch (error) {
      if (isAbort(error) || visit !== this.#visit) return;
      this.#fail(error);
    }
  }

  #showHead() {
    const { name, instructions, progress } = this.#campaign;
    fill(
      this.head,
      h("div", { class: "queue-title" }, h("a", { href: "/label" }, queue.back), h("h1", {}, h("bdi", {}, name)), h("span", { class: "muted small", dataset: { left: progress.left_for_me } }, text.of(progress))),
      progressBar(this.#campaign),
      instructions && h("details", { class: "queue-instructions", open: progress.mine === 0 }, h("summary", {}, text.instructions), h("p", { class: "campaign-instructions" }, instructions)),
    );
  }

  #begin(item, feature) {
    this.#item = item;
    this.#feature = feature;
    this.#id = uuid();
    if (!this.body.contains(this.work)) fill(this.body, this.work);
    this.dataset.item = `${item.source}:${item.index}`;
    fill(this.notice, item.skipped && h("p", {}, text.skipped));
    this.evidence.show(feature);
    this.opinion.begin(`mfn:draft:${this.#campaign.id}:${item.source}:${item.index}`, [...new Set(feature.labels.map((label) => label.text).filter(Boolean))]);
    announce(text.of(this.#campaign.progress));
    showPresence(item.source, item.index);
    scrollTo(0, 0);
    this.#beat();
  }

  /** Keeps the feature for this tab. */
  #beat() {
    clearTimeout(this.#timer);
    const visit = this.#visit;
    this.#timer = setTimeout(async () => {
      try {
        await campaigns.keepLease(this.#campaign.id, this.#lease, { signal: this.#left.signal });
        if (visit === this.#visit) this.#beat();
      } catch (error) {
        if (isAbort(error) || visit !== this.#visit) return;
        if (error.code === "lease_lost") await this.#haveAgain(visit);
        else if (error.code === "campaign_closed") this.#fail(error);
        else this.#beat(); // the server is away for a while: the shell says so
      }
    }, HEARTBEAT_MS);
  }

  /** It ran out (the computer slept, say): it is still ours unless somebody else took it. */
  async #haveAgain(visit) {
    try {
      const { item } = await campaigns.nextItem(this.#campaign.id, this.#lease, { signal: this.#left.signal });
      if (visit !== this.#visit) return;
      if (item?.source === this.#item.source && item.index === this.#item.index) return this.#beat();
      fill(this.notice, h("p", {}, text.lost), h("button", { type: "button", onclick: () => this.#next() }, text.next));
    } catch (error) {
      if (!isAbort(error) && visit === this.#visit) this.#beat();
    }
  }

  async #give(values) {
    if (this.#feature === null) return;
    this.opinion.busy = true;
    const { source, index } = this.#item;
    try {
      await campaigns.giveOpinion(this.#campaign.id, { id: this.#id, source, index, ...values });
      await this.#done(source, index);
    } catch (error) {
      this.opinion.busy = false;
      if (error.code === "already_given") {
        toast(text.already);
        await this.#done(source, index);
      } else if (error.code === "quota_full") this.#full(values);
      else if (error.code === "campaign_closed") this.#fail(error);
      else {
        this.opinion.say([error.message, error.hint, text.kept].filter(Boolean).join(" "));
        this.opinion.focusField();
      }
    }
  }

  async #skip() {
    if (this.#feature === null) return;
    this.opinion.busy = true;
    const { source, index } = this.#item;
    try {
      await campaigns.skipItem(this.#campaign.id, { id: this.#id, source, index });
      await this.#done(source, index);
    } catch (error) {
      this.opinion.busy = false;
      if (error.code === "campaign_closed") this.#fail(error);
      else this.opinion.say([error.message, error.hint].filter(Boolean).join(" "));
    }
  }

  #done(source, index) {
    forgetFeature(source, index);
    this.opinion.forget();
    this.#release();
    return this.#next();
  }

  /** Others were faster. What was typed is not lost: it can stand beside theirs, outside of the campaign. */
  #full({ text: name }) {
    const { source, index } = this.#item;
    const beside = async () => {
      try {
        const { version } = await api.discussion(source, index);
        await api.say(source, index, { id: this.#id, event: { kind: "propose", text: name }, base_version: version });
        await this.#done(source, index);
      } catch (error) {
        this.opinion.say([error.message, error.hint].filter(Boolean).join(" "));
      }
    };
    fill(
      this.notice,
      h("p", {}, text.full),
      h("p", { class: "muted small" }, text.fullHint),
      h("div", { class: "campaign-actions" }, h("button", { type: "button", class: "primary", onclick: () => this.#done(source, index) }, text.next), name && h("button", { type: "button", onclick: beside }, text.beside)),
    );
    this.notice.querySelector("button").focus();
  }

  #nothing(why, progress) {
    delete this.dataset.item;
    showPresence(null, null);
    const waiting = why === "waiting";
    const view = waiting
      ? h("state-view", { kind: "empty", heading: text.waiting, hint: text.waitingHint, action: text.again })
      : h("state-view", { kind: "empty", heading: text.done, hint: text.doneHint(progress), action: queue.back, href: "/label" });
    if (waiting) {
      view.addEventListener("action", () => this.#next(), { once: true });
      this.#timer = setTimeout(() => this.#next(), WAITING_MS);
    }
    fill(this.body, view);
    if (!waiting) view.querySelector("a").focus();
  }

  #fail(error) {
    delete this.dataset.item;
    const final = { campaign_closed: text.closed, not_asked: text.notYours, index_not_ready: text.noIndex }[error.code];
    fill(this.body, final ? h("state-view", { kind: "empty", heading: final, action: queue.back, href: "/label" }) : errorView(error, () => this.#next()));
  }
}

customElements.define("queue-work", QueueWork);
