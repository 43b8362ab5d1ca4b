/** <login-page>: name and password, then back to where one wanted to go (`next`). */

import { loginForm } from "../components/login-form.js";
import { fill, h } from "../lib/dom.js";
import { Page } from "../lib/page.js";
import { nextPath } from "../lib/person.js";
import { people as text } from "./people-strings.js";

class LoginPage extends Page {
  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "people-door");
  }

  onRoute({ query }) {
    this.setTitle(text.login.title);
    // Loaded anew: nothing that was read for somebody else, or for nobody, is left.
    const form = loginForm({ onIn: () => location.assign(nextPath(query.get("next"))) });
    fill(this, h("section", { class: "panel" }, h("h1", {}, text.login.title), form, h("p", { class: "muted small" }, text.login.forgotten)));
    form.elements.namedItem("name").focus();
  }
}

customElements.define("login-page", LoginPage);
