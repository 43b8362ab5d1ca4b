/** <agreement-page>: how far people agree. */

import "../components/agreement-board.js";
import { fill, h } from "../lib/dom.js";
import { Page } from "../lib/page.js";
import { agreement as text } from "./agreement-strings.js";

class AgreementPage extends Page {
  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page");
    this.board = h("agreement-board", {});
    fill(this, h("h1", {}, text.title), h("p", { class: "lead muted" }, text.lead), this.board);
  }

  onRoute({ query }) {
    this.setTitle(text.title);
    return this.board.show(query);
  }
}
customElements.define("agreement-page", AgreementPage);
