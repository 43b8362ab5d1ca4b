/** <person-entry>: who is in, in the header, and the way to their account. Empty where nobody need log in. */

import { fill, h } from "../lib/dom.js";
import { loginPath, who } from "../lib/person.js";
import { strings } from "../lib/strings.js";

class PersonEntry extends HTMLElement {
  /** @type {AbortController} */ controller;
  connectedCallback() {
    const { signal } = (this.controller = new AbortController());
    who.subscribe((state) => this.#show(state), { signal });
    this.#show(who.state);
  }

  disconnectedCallback() {
    this.controller.abort();
  }

  #show({ accounts, person }) {
    if (!accounts) fill(this);
    else if (!person) fill(this, h("a", { class: "button quiet", href: loginPath() }, strings.person.logIn));
    else {
      const { name } = person;
      const initial = [...name][0].toLocaleUpperCase();
      fill(this, h("a", { class: "person-link", href: "/account", title: strings.person.account(name), "aria-label": strings.person.account(name) }, h("span", { class: "person-initial", "aria-hidden": "true" }, initial), h("bdi", { class: "person-name" }, name)));
    }
  }
}

customElements.define("person-entry", PersonEntry);
