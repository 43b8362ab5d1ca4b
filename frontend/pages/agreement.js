/** <agreement-page>: how far people agree. */

import "../components/agreement-board.js";
import { isAbort } from "../lib/api.js";
import { campaigns } from "../lib/api-campaigns.js";
import { fill, h } from "../lib/dom.js";
import { Page } from "../lib/page.js";
import { agreement as text } from "./agreement-strings.js";

class AgreementPage extends Page {
  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page");
    this.board = h("agreement-board", {});
    this.scope = h("p", { class: "agreement-scope", hidden: true });
    fill(this, h("h1", {}, text.title), h("p", { class: "lead muted" }, text.lead), this.scope, this.board);
  }

  onRoute({ query }) {
    this.setTitle(text.title);
    this.#name(query.get("campaign"));
    return this.board.show(query);
  }

  /** Of which campaign it is, and the way to that of everything. */
  async #name(campaign) {
    const { signal } = this;
    this.scope.hidden = !campaign;
    if (!campaign || this.scope.dataset.campaign === campaign) return;
    this.scope.dataset.campaign = campaign;
    try {
      const { name } = await campaigns.one(campaign, { signal });
      if (this.scope.dataset.campaign === campaign) fill(this.scope, text.inCampaign, h("b", {}, name), " ", h("a", { href: "/agreement" }, text.everything));
    } catch (error) {
      if (!isAbort(error)) fill(this.scope); // the board says what is wrong
    }
  }
}
customElements.define("agreement-page", AgreementPage);
