/** The form in which somebody logs in: on the page for it, and in the dialog over a page whose login is over. */

import { accounts } from "../lib/api-accounts.js";
import { h } from "../lib/dom.js";
import { people as text } from "../pages/people-strings.js";

/** A labelled input with room for a hint. */
export function field(label, props, /** @type {string|null} */ hint = null) {
  return h("label", { class: "people-field" }, h("span", {}, label), h("input", { required: true, ...props }), hint && h("span", { class: "muted small" }, hint));
}

/**
 * A form with `fields`, a button, and a place for what went wrong. `submit(values)` may throw: its message is shown, and
 * what was typed stays, but for passwords that were refused.
 */
export function peopleForm({ fields, button, submit, extra = null }) {
  const problem = h("p", { class: "error-text", role: "alert" });
  const send = h("button", { type: "submit", class: "primary" }, button);
  const form = h("form", { class: "people-form", method: "post" }, fields, problem, h("div", { class: "dialog-buttons" }, extra, send));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    send.disabled = true;
    try {
      await submit(Object.fromEntries(new FormData(form)));
    } catch (error) {
      problem.textContent = [error.message, error.hint].filter(Boolean).join(" ");
      const wrong = form.elements.namedItem(error.field ?? "") ?? form.querySelector('input[type="password"]');
      wrong?.focus();
      wrong?.select?.();
    } finally {
      send.disabled = false;
    }
  });
  return form;
}

/** `onIn(session)` is called once somebody is in. `name` is put in already; `extra` are further buttons. */
export function loginForm({ name = "", onIn, extra = null }) {
  return peopleForm({
    fields: [
      field(text.name, { name: "name", autocomplete: "username", maxlength: "200", value: name, autocapitalize: "none", spellcheck: "false" }),
      field(text.password, { name: "password", type: "password", autocomplete: "current-password", maxlength: "1024" }),
    ],
    button: text.login.submit,
    submit: async (values) => onIn(await accounts.logIn(values)),
    extra,
  });
}
