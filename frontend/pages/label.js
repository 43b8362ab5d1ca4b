/** <label-page>: campaigns, and what one does in them: work through one, review it, open or change one. */

import "../components/queue-form.js";
import { campaignList, campaignPath } from "../components/queue-list.js";
import "../components/queue-review.js";
import "../components/queue-work.js";
import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { api, isAbort } from "../lib/api.js";
import { campaigns } from "../lib/api-campaigns.js";
import { debounce, fill, h, refill, uuid } from "../lib/dom.js";
import { listen } from "../lib/live.js";
import { Page } from "../lib/page.js";
import { loadPerson } from "../lib/person.js";
import { navigate, rankOf } from "../lib/router.js";
import { loadModel } from "../lib/store.js";
import { queue as text } from "./label-queue-strings.js";
import { runs } from "./naming-run-strings.js";

const SETTLE_MS = 300;

class LabelPage extends Page {
  #visit = 0;
  #listed = null;
  /** What stands there stays if it cannot be read anew: the banner says why. */
  #refresh = debounce(() => this.#listed && this.#list().catch(() => {}), SETTLE_MS);

  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "label-page");
    const { signal } = this;
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
      const show = params.campaign === undefined ? this.#list(visit) : params.campaign === "new" ? this.#make(visit, query) : params.campaign === "runs" ? this.#runs(visit) : this.#one(visit, params, query);
      await show;
    } catch (error) {
      if (isAbort(error) || visit !== this.#visit) return;
      const unknown = error.status === 404 || error.status === 422;
      fill(this, unknown ? h("state-view", { kind: "empty", heading: error.message, action: text.back, href: "/label" }) : errorView(error, () => this.onRoute({ params, query })));
    }
  }

  async #list(visit = this.#visit) {
    const { signal } = this;
    const [{ items }, { person }] = await Promise.all([api.campaigns({ signal }), loadPerson({ signal })]);
    const permissions = person?.permissions ?? [];
    if (visit !== this.#visit) return;
    this.#listed = items;
    const may = permissions.includes("review");
    const ways = h("div", { class: "campaign-actions" }, h("a", { class: "button", href: "/collections", dataset: { key: "collections" } }, text.collections), h("a", { class: "button", href: "/settings#labels", dataset: { key: "files" } }, text.files), h("a", { class: "button", href: "/agreement", dataset: { key: "agreement" } }, text.agreement), may && h("a", { class: "button", href: "/label/runs", dataset: { key: "runs" } }, runs.link), may && h("a", { class: "button primary", href: "/label/new", dataset: { key: "make" } }, text.make));
    const body = items.length
      ? campaignList(items, permissions, (campaign, kind) => this.#act(campaign, kind))
      : h("state-view", { kind: "empty", heading: text.none, hint: may ? text.noneHint : `${text.noneHint} ${text.noneForYou}` });
    refill(this, h("header", { class: "label-page-head" }, h("div", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)), ways), body);
  }

  async #act(campaign, kind) {
    if (kind === "close" && !confirm(text.sureClose)) return;
    try {
      await campaigns.change(campaign.id, { id: uuid(), base_version: campaign.version, event: { kind } });
    } catch (error) {
      toast(error.code === "stale" ? text.changed : error.message, { kind: "error" });
    }
    this.#refresh();
    this.#refresh.flush();
  }

  async #make(visit, query) {
    const { signal } = this;
    const [model, { items }] = await Promise.all([loadModel(), campaigns.people({ signal })]);
    if (visit !== this.#visit) return;
    this.setTitle(text.form.title);
    const collection = query.get("collection");
    const collected = collection ? (await import("../lib/api-collections.js").then(({ collections }) => collections.one(collection, {}, { signal }))).items : [];
    if (visit !== this.#visit) return;
    const chosen = collection ? collected : query.getAll("f").map((name) => ({ source: name.slice(0, name.lastIndexOf(":")), index: name.slice(name.lastIndexOf(":") + 1) }));
    const form = this.#form();
    form.make(model, items, chosen);
    form.focusField();
  }

  async #one(visit, { campaign: id, view }, query) {
    const { signal } = this;
    const campaign = await campaigns.one(id, { signal });
    if (visit !== this.#visit) return;
    this.setTitle(view === "review" ? text.decide.title(campaign.name) : campaign.name);
    if (view === "change") {
      const { items } = await campaigns.people({ signal });
      if (visit !== this.#visit) return;
      const form = this.#form();
      form.change(campaign, items);
      form.focusField();
      return;
    }
    const element = h(view === "review" ? "queue-review" : "queue-work", {});
    fill(this, element);
    await element.show(campaign, rankOf(query.get("at")));
  }

  async #runs(visit) {
    // whoever labels does without these
    await Promise.all([import("../components/naming-runs.js"), import("../components/score-list.js")]);
    if (visit !== this.#visit) return;
    this.setTitle(runs.heading);
    const work = h("naming-runs", {});
    const list = h("score-list", {});
    const head = h("div", {}, h("a", { href: "/label" }, runs.back), h("h1", {}, runs.heading), h("p", { class: "muted" }, runs.lead));
    fill(this, h("header", { class: "label-page-head" }, head), work, list);
    await Promise.all([work.show(), list.show()]);
  }

  #form() {
    const form = h("queue-form", {});
    form.addEventListener("stored", ({ detail }) => navigate(detail.takes_part && detail.progress.left_for_me ? campaignPath(detail.id) : "/label"));
    fill(this, form);
    return form;
  }
}

customElements.define("label-page", LabelPage);
