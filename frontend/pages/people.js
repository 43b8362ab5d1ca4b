/** <people-page>: who is here, who is invited, and what was done: for admins. `show` in the URL says which. */

import { shownOnce } from "../components/shown-once.js";
import { errorView, skeleton } from "../components/state-view.js";
import { toast } from "../components/toast.js";
import { field, peopleForm } from "../components/login-form.js";
import { accounts } from "../lib/api-accounts.js";
import { isAbort } from "../lib/api.js";
import { fill, h, refill } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { who } from "../lib/person.js";
import { people } from "./people-strings.js";

const text = people.admin;
const VIEWS = Object.keys(text.tabs);

/** A choice among the roles. */
const roleMenu = (props, chosen) => h("select", props, Object.entries(people.roles).map(([role, name]) => h("option", { value: role, selected: role === chosen, title: people.roleHints[role] }, name)));

class PeoplePage extends Page {
  #before = null;
  #view = "people"; // an answer for a view that was left comes too late

  connectedCallback() {
    super.connectedCallback();
    this.classList.add("page", "people-page");
    this.tabs = h("nav", { class: "chips", "aria-label": text.title });
    this.made = h("div", {});
    this.body = h("div", {});
    fill(this, h("header", { class: "people-head" }, h("h1", {}, text.title), this.tabs), this.made, this.body);
  }

  async onRoute({ query }) {
    const view = VIEWS.includes(query.get("show")) ? query.get("show") : "people";
    this.#view = view;
    this.setTitle(view === "people" ? text.title : text.tabs[view]);
    fill(this.tabs, VIEWS.map((name) => h("a", { class: "button chip", href: name === "people" ? "/people" : `/people?show=${name}`, "aria-current": name === view ? "page" : null }, text.tabs[name])));
    fill(this.made);
    fill(this.body, skeleton(5));
    await this.#show(view);
  }

  async #show(view) {
    try {
      await { people: () => this.#people(), invitations: () => this.#invitations(), log: () => this.#log() }[view]();
    } catch (error) {
      if (!isAbort(error) && view === this.#view) fill(this.body, errorView(error, () => this.#show(view)));
    }
  }

  async #people() {
    const { items } = await accounts.people({ signal: this.signal });
    if (this.#view === "people") refill(this.body, h("ul", { class: "panel people-list" }, items.map((person) => this.#person(person))));
  }

  #person({ id, name, role, active, seen_at: seen }) {
    const mine = id === who.state.person?.id;
    const menu = roleMenu({ "aria-label": text.role(name), disabled: !active, dataset: { key: `${id} role` } }, role);
    menu.addEventListener("change", () => this.#attempt(() => accounts.changePerson(id, { role: menu.value }), () => toast(text.changed(name, people.roles[menu.value])), () => this.#people()));
    const reset = async () => {
      const { path } = await accounts.makeReset(id);
      fill(this.made, shownOnce(text.resetMade(name), location.origin + path));
      this.made.querySelector("input").focus();
    };
    const turn = () => {
      if (!active || confirm(text.sure(name))) this.#attempt(() => accounts.changePerson(id, { active: !active }), () => this.#people());
    };
    const words = active ? text.deactivate : text.reactivate;
    return h(
      "li",
      { class: active ? "people-row" : "people-row is-out" },
      h("div", {}, h("bdi", {}, name), mine && h("span", { class: "tag" }, text.you), !active && h("span", { class: "tag" }, text.outOfUse), h("p", { class: "muted small" }, text.seen(seen && formatTime(seen)))),
      h(
        "div",
        { class: "people-actions" },
        menu,
        active && h("button", { type: "button", "aria-label": `${text.reset}: ${name}`, onclick: () => this.#attempt(reset) }, text.reset),
        !mine && h("button", { type: "button", "aria-label": `${words}: ${name}`, dataset: { key: `${id} turn` }, onclick: turn }, words),
      ),
    );
  }

  async #invitations() {
    const { items } = await accounts.invitations({ signal: this.signal });
    if (this.#view !== "invitations") return;
    const form = peopleForm({
      fields: [
        h("label", { class: "people-field" }, h("span", {}, text.inviteRole), roleMenu({ name: "role" }, "labeller")),
        field(text.inviteNote, { name: "note", required: false, maxlength: "200", autocomplete: "off", placeholder: text.inviteNotePlaceholder }),
      ],
      button: text.inviteSubmit,
      submit: async (values) => {
        const { path } = await accounts.invite(values);
        fill(this.made, shownOnce(text.inviteMade, location.origin + path));
        await this.#invitations();
        this.made.querySelector("input").focus();
      },
    });
    const row = ({ id, role, note, state, made_by: by, created_at: made, expires_at: until, name }) =>
      h(
        "li",
        { class: state === "open" ? "people-row" : "people-row is-out" },
        h(
          "div",
          {},
          h("bdi", {}, note || people.roles[role]),
          h("span", { class: "tag" }, state === "used" ? text.usedBy(name) : text.states[state]),
          h("p", { class: "muted small" }, [people.roles[role], `${formatTime(made)} ${text.by(by)}`, state === "open" && text.until(formatTime(until))].filter(Boolean).join(" · ")),
        ),
        state === "open" && h("button", { type: "button", onclick: () => this.#attempt(() => accounts.revokeInvitation(id), () => this.#invitations()) }, text.revoke),
      );
    fill(
      this.body,
      h("section", { class: "panel people-group" }, h("h2", {}, text.invite), form),
      items.length ? h("ul", { class: "panel people-list" }, items.map(row)) : h("p", { class: "muted" }, text.noInvitations),
    );
  }

  async #log() {
    const { columns } = text;
    const rows = h("tbody");
    const older = h("button", { type: "button", onclick: () => this.#attempt(more) }, text.older);
    const more = async () => {
      const { items, next } = await accounts.audit({ before: this.#before }, { signal: this.signal });
      rows.append(...items.map(logRow));
      this.#before = next;
      older.hidden = next === null;
    };
    this.#before = null;
    await more();
    if (this.#view !== "log") return;
    const head = h("thead", {}, h("tr", {}, Object.values(columns).map((name) => h("th", { scope: "col" }, name))));
    fill(this.body, rows.children.length ? h("div", { class: "panel people-log" }, h("table", {}, head, rows), older) : h("p", { class: "muted" }, text.logEmpty));
  }

  async #attempt(...steps) {
    try {
      for (const step of steps) await step();
    } catch (error) {
      if (isAbort(error)) return;
      toast(error.message, { kind: "error" });
      if (steps.length > 1) await this.#show(this.#view); // what was chosen does not hold: show what does
    }
  }
}

function logRow({ at, action, actor, via, address, subject, details }) {
  const name = via === "command line" ? text.commandLine(actor) : actor || text.nobody;
  const more = Object.entries(details).map(([key, value]) => text.details[key]?.(value) ?? `${key} ${JSON.stringify(value)}`);
  const what = [text.actions[action] ?? action, text.via[via]].filter(Boolean).join(", ");
  const cell = (label, ...content) => h("td", { dataset: { label } }, content);
  const { columns } = text;
  return h(
    "tr",
    {},
    cell(columns.at, h("time", { datetime: at, class: "num" }, formatTime(at))),
    cell(columns.actor, h("bdi", {}, name)),
    cell(columns.action, what, more.length > 0 && h("span", { class: "muted small" }, ` ${more.join(", ")}`)),
    cell(columns.subject, h("bdi", {}, subject)),
    cell(columns.address, h("span", { class: "num" }, address)),
  );
}

customElements.define("people-page", PeoplePage);
