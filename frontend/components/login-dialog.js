/**
 * Asks to log in over a page whose login is over. The page stays as it is, with what was typed, and its request is sent
 * again afterwards. Several requests that need it at once wait for one dialog.
 */

import { h } from "../lib/dom.js";
import { who } from "../lib/person.js";
import { people as text } from "../pages/people-strings.js";
import { loginForm } from "./login-form.js";

/** @type {Promise<boolean>|null} */ let asking = null;

/** Resolves to whether the same person is in again. Somebody else gets the page anew. */
export function askToLogIn() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

function ask() {
  const before = who.state.person;
  const opener = /** @type {HTMLElement|null} */ (document.activeElement);
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "login-dialog", "aria-labelledby": "login-again-title" });
    const form = loginForm({
      name: before?.name,
      onIn: ({ person }) => {
        if (before && person.id !== before.id) return location.reload();
        who.set({ person });
        return dialog.close("in");
      },
      extra: h("button", { type: "button", onclick: () => dialog.close() }, text.login.notNow),
    });
    dialog.append(h("h2", { id: "login-again-title" }, text.login.again), h("p", { class: "muted" }, text.login.againHint), form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      opener?.focus?.();
      resolve(dialog.returnValue === "in");
    });
    document.body.append(dialog);
    dialog.showModal();
    if (before) form.elements.namedItem("password").focus();
  });
}
