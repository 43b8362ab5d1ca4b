/** <account-page>: one's own password, logins and tokens. */

import { field, peopleForm } from "../components/login-form.js";
import { shownOnce } from "../components/shown-once.js";
import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { accounts } from "../lib/api-accounts.js";
import { isAbort } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { loadPerson, logOut, loginPath } from "../lib/person.js";
import { navigate } from "../lib/router.js";
import { people } from "./people-strings.js";

const text = people.account;
const DAYS = "90";

/** "Firefox on Linux" out of what a browser calls itself. The first name that fits: most carry those of others, too. */
function browserName(agent) {
  const first = (names) => names.find(([part]) => agent.includes(part))?.[1];
  const browser = first([["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]]);
  const system = first([["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS X", "macOS"], ["Linux", "Linux"]]);
  if (!browser) return agent.split(/[\s(]/)[0];
  return system ? text.browserOn(browser, system) : browser;
}

class AccountPage extends Page {
  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "people-page");
    this.logins = h("div", {}, skeleton(2));
    this.tokens = h("div", {}, skeleton(2));
    this.made = h("div", {});
  }

  async onRoute() {
    this.setTitle(text.title);
    try {
      const { accounts, person } = await loadPerson({ signal: this.signal });
      if (!accounts) {
        fill(this, h("state-view", { kind: "empty", heading: text.local, hint: text.localHint }));
        return;
      }
      if (!person) {
        navigate(loginPath(), { replace: true });
        return;
      }
      this.#build(person);
      await Promise.all([this.#load(this.logins, () => this.#showLogins()), this.#load(this.tokens, () => this.#showTokens())]);
    } catch (error) {
      if (!isAbort(error)) fill(this, errorView(error, () => this.onRoute()));
    }
  }

  #build({ name, role, permissions }) {
    const group = (title, ...content) => h("section", { class: "panel people-group" }, h("h2", {}, title), content);
    const toPeople = permissions.includes("administer") && h("a", { class: "button", href: "/people" }, people.admin.title);
    const out = h("button", { type: "button", onclick: () => this.#attempt(logOut) }, text.logOut);
    fill(
      this,
      h("header", { class: "people-head" }, h("div", {}, h("h1", {}, h("bdi", {}, name)), h("p", { class: "muted" }, people.roles[role])), h("div", { class: "people-actions" }, toPeople, out)),
      group(text.logins, this.logins),
      group(text.tokens, h("p", { class: "muted small" }, text.tokensHint), this.made, this.tokens, this.#tokenForm(permissions)),
      group(text.changePassword, this.#passwordForm(name)),
    );
  }

  #passwordForm(name) {
    const secret = (label, key, autocomplete, more) => field(label, { name: key, type: "password", autocomplete, maxlength: "256", ...more });
    const fields = [
      h("input", { name: "username", autocomplete: "username", value: name, hidden: true }),
      secret(text.old, "old", "current-password"),
      secret(text.new, "new", "new-password", { minlength: "12" }),
    ];
    const submit = async ({ old, new: next }) => {
      await accounts.changePassword({ old, new: next });
      form.reset();
      toast(text.changed);
      await this.#showLogins();
    };
    const form = peopleForm({ fields, button: text.change, submit });
    return form;
  }

  #tokenForm(permissions) {
    const scope = (name) => h("label", { class: "people-check" }, h("input", { type: "checkbox", name: "scope", value: name }), h("span", {}, people.scopes[name]));
    const days = h("select", { name: "days" }, Object.entries(text.dayChoices).map(([count, label]) => h("option", { value: count, selected: count === DAYS }, label)));
    const fields = [
      field(text.tokenName, { name: "name", maxlength: "64", autocomplete: "off", placeholder: text.tokenNamePlaceholder }),
      h("fieldset", { class: "people-scopes" }, h("legend", {}, text.scopes), permissions.map(scope)),
      h("label", { class: "people-field" }, h("span", {}, text.days), days),
    ];
    const submit = async ({ name }) => {
      const scopes = [...form.querySelectorAll("[name=scope]:checked")].map((box) => box.value);
      const { token } = await accounts.makeToken({ name, scopes, days: Number(days.value) });
      fill(this.made, shownOnce(text.made(name), token));
      form.reset();
      days.value = DAYS;
      this.made.querySelector("input").focus();
      await this.#showTokens();
    };
    const form = peopleForm({ fields, button: text.make, submit });
    return h("details", {}, h("summary", {}, text.make), form);
  }

  async #showLogins() {
    const { items } = await accounts.logins({ signal: this.signal });
    const others = items.some((login) => !login.current);
    const row = ({ id, current, address, agent, seen_at: seen, expires_at: until }) =>
      h(
        "li",
        { class: "people-row" },
        h("div", {}, h("span", { title: agent }, browserName(agent) || address), current && h("span", { class: "tag" }, text.current), h("p", { class: "muted small" }, `${address} · ${text.seen(formatTime(seen))} · ${text.until(formatTime(until))}`)),
        !current && h("button", { type: "button", onclick: () => this.#attempt(() => accounts.endLogin(id), () => this.#showLogins()) }, text.end),
      );
    fill(
      this.logins,
      h("ul", { class: "people-list" }, items.map(row)),
      others && h("button", { type: "button", onclick: () => this.#attempt(() => accounts.endOtherLogins(), () => this.#showLogins()) }, text.endOthers),
    );
  }

  async #showTokens() {
    const { items } = await accounts.tokens({ signal: this.signal });
    const revoke = (id, name) => {
      if (confirm(text.revokeSure(name))) this.#attempt(() => accounts.revokeToken(id), () => this.#showTokens());
    };
    const row = ({ id, name, prefix, scopes, used_at: used, expires_at: until }) =>
      h(
        "li",
        { class: "people-row" },
        h("div", {}, h("bdi", {}, name), " ", h("code", { class: "muted" }, `${prefix}…`), h("p", { class: "muted small" }, `${scopes.join(", ")} · ${text.used(used && formatTime(used))} · ${text.until(formatTime(until))}`)),
        h("button", { type: "button", onclick: () => revoke(id, name) }, text.revoke),
      );
    fill(this.tokens, items.length ? h("ul", { class: "people-list" }, items.map(row)) : h("p", { class: "muted" }, text.noTokens));
  }

  async #load(place, show) {
    try {
      await show();
    } catch (error) {
      if (!isAbort(error)) fill(place, errorView(error, () => this.#load(place, show)));
    }
  }

  async #attempt(act, after = () => {}) {
    try {
      await act();
      await after();
    } catch (error) {
      if (!isAbort(error)) toast(error.message, { kind: "error" });
    }
  }
}

customElements.define("account-page", AccountPage);
