/** <label-page>: campaigns, and what one does in them: work through one, review it, open or change one. */

import "../components/queue-form.js";
import { campaignList, campaignPath } from "../components/queue-list.js";
import "../components/queue-review.js";
import "../components/queue-work.js";
import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { api, isAbort } from "../lib/api.js";
import { debounce, fill, h, uuid } from "../lib/dom.js";
import { listen } from "../lib/live.js";
import { Page } from "../lib/page.js";
import { navigate } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { loadModel } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { queue as text } from "./label-queue-strings.js";

const SETTLE_MS = 300;
const WORK_KEYS = "123ypnumdsev";

class LabelPage extends Page {
  #visit = 0;
  #listed = null;
  #refresh = debounce(() => this.#listed && this.#list(), SETTLE_MS);

  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "label-page");
    const { signal } = this;
    const group = strings.help.groups.queue;
    const words = new Map(text.item.keyList.flatMap(([keys, what]) => keys.split(" ").map((key) => [key, what])));
    for (const key of WORK_KEYS) addShortcut(key, words.get(key), () => this.#press(key), { group, signal });
    for (const [key, what] of [["j", text.decide.next], ["k", text.decide.previous], ["0", text.decide.nothing]]) addShortcut(key, what, () => this.#press(key), { group, signal });
    // opinions of others are told as they come, but for those that are hidden
    listen((message) => {
      if (message.kind === "renewed" || (message.kind === "said" && ["opinion", "accept", "adjudicate"].includes(message.event.kind))) this.#refresh();
    }, { signal });
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#refresh.cancel();
  }

  async onRoute({ params, query }) {
    const visit = ++this.#visit;
    this.#listed = null;
    this.setTitle(text.title);
    fill(this, skeleton(6));
    try {
      const show = params.campaign === undefined ? this.#list(visit) : params.campaign === "new" ? this.#make(visit, query) : this.#one(visit, params);
      await show;
    } catch (error) {
      if (isAbort(error) || visit !== this.#visit) return;
      const unknown = error.status === 404 || error.status === 422;
      fill(this, unknown ? h("state-view", { kind: "empty", heading: error.message, action: text.back, href: "/label" }) : errorView(error, () => this.onRoute({ params, query })));
    }
  }

  #press(key) {
    /** @type {any} */
    const work = this.querySelector("queue-work, queue-review");
    work?.press(key);
  }

  async #list(visit = this.#visit) {
    const { signal } = this;
    const [{ items }, me] = await Promise.all([api.campaigns({ signal }), api.me({ signal })]);
    if (visit !== this.#visit) return;
    const focused = this.#listed && this.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
    this.#listed = items;
    const may = me.permissions.includes("review");
    const make = may && h("a", { class: "button primary", href: "/label/new" }, text.make);
    const body = items.length
      ? campaignList(items, me.permissions, (campaign, kind) => this.#act(campaign, kind))
      : h("state-view", { kind: "empty", heading: text.none, hint: may ? text.noneHint : `${text.noneHint} ${text.noneForYou}` });
    fill(this, h("header", { class: "label-page-head" }, h("div", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)), make), body);
    /** @type {HTMLElement | null} */
    const again = focused ? this.querySelector(`[aria-label="${CSS.escape(focused)}"]`) : null;
    again?.focus();
  }

  async #act(campaign, kind) {
    if (kind === "close" && !confirm(text.sureClose)) return;
    try {
      await api.doToCampaign(campaign.id, { id: uuid(), base_version: campaign.version, event: { kind } });
    } catch (error) {
      toast(error.code === "stale" ? text.changed : error.message, { kind: "error" });
    }
    await this.#list();
  }

  async #make(visit, query) {
    const { signal } = this;
    const [model, { items }] = await Promise.all([loadModel(), api.campaignPeople({ signal })]);
    if (visit !== this.#visit) return;
    this.setTitle(text.form.title);
    const chosen = query.getAll("f").map((name) => ({ source: name.slice(0, name.lastIndexOf(":")), index: name.slice(name.lastIndexOf(":") + 1) }));
    const form = this.#form();
    form.make(model, items, chosen);
    form.focusField();
  }

  async #one(visit, { campaign: id, view }) {
    const { signal } = this;
    const campaign = await api.campaign(id, { signal });
    if (visit !== this.#visit) return;
    this.setTitle(view === "review" ? text.decide.title(campaign.name) : campaign.name);
    if (view === "change") {
      const { items } = await api.campaignPeople({ signal });
      if (visit !== this.#visit) return;
      const form = this.#form();
      form.change(campaign, items);
      form.focusField();
      return;
    }
    const element = h(view === "review" ? "queue-review" : "queue-work", {});
    fill(this, element);
    await element.show(campaign);
  }

  #form() {
    const form = h("queue-form", {});
    form.addEventListener("stored", ({ detail }) => navigate(detail.takes_part && detail.progress.left_for_me ? campaignPath(detail.id) : "/label"));
    fill(this, form);
    return form;
  }
}

customElements.define("label-page", LabelPage);
