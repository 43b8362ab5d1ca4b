/** <join-page>: what a link that works once leads to: an invitation (/join#…) or a new password (/reset#…). */

import { field, peopleForm } from "../components/login-form.js";
import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { accounts } from "../lib/api-accounts.js";
import { fill, h } from "../lib/dom.js";
import { Page } from "../lib/page.js";
import { navigate } from "../lib/router.js";
import { people as text } from "./people-strings.js";

const newPassword = () => field(text.password, { name: "password", type: "password", autocomplete: "new-password", minlength: "12", maxlength: "256" }, text.join.passwordHint);

class JoinPage extends Page {
  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "people-door");
  }

  async onRoute({ path }) {
    const reset = path === "/reset";
    const words = reset ? text.reset : text.join;
    const token = location.hash.slice(1);
    this.setTitle(words.title);
    if (!token) {
      fill(this, h("state-view", { kind: "empty", heading: text.join.noToken, hint: text.join.noTokenHint }));
      return;
    }
    fill(this, skeleton(4));
    try {
      const found = await (reset ? accounts.lookAtReset : accounts.lookAtInvitation)(token, { signal: this.signal });
      const [intro, form] = reset ? this.#reset(token, found) : this.#join(token, found);
      fill(this, h("section", { class: "panel" }, h("h1", {}, words.title), h("p", { class: "muted" }, intro), form));
      form.querySelector("input").focus();
    } catch (error) {
      if (!this.signal.aborted) fill(this, errorView(error, error.status === 404 ? null : () => this.onRoute({ path })));
    }
  }

  #join(token, { role }) {
    const name = field(text.name, { name: "name", autocomplete: "username", maxlength: "64", spellcheck: "false" }, text.join.nameHint);
    const submit = async (values) => {
      await accounts.join({ token, ...values });
      location.assign("/"); // loaded anew, as who they are now
    };
    return [text.join.invited(text.roles[role]), peopleForm({ fields: [name, newPassword()], button: text.join.submit, submit })];
  }

  #reset(token, { name }) {
    const submit = async ({ password }) => {
      await accounts.resetPassword({ token, password });
      toast(text.reset.done);
      navigate("/login", { replace: true });
    };
    // A browser that keeps passwords wants to know whose it is.
    const whose = h("input", { name: "username", autocomplete: "username", value: name, hidden: true });
    return [text.reset.whose(name), peopleForm({ fields: [whose, newPassword()], button: text.reset.submit, submit })];
  }
}

customElements.define("join-page", JoinPage);
