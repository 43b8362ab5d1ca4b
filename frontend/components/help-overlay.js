/** The overlay that lists the shortcuts that are live on this page. */

import { h } from "../lib/dom.js";
import { keyNames, listShortcuts } from "../lib/shortcuts.js";
import { strings } from "../lib/strings.js";

export function showHelp() {
  const close = () => dialog.close();
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    h(
      "header",
      {},
      h("h2", { id: "help-title" }, strings.help.title),
      h("button", { type: "button", class: "icon-button", "aria-label": strings.help.close, onclick: close }, "×"),
    ),
    listShortcuts().map(({ group, entries }) =>
      h(
        "section",
        {},
        h("h3", {}, group),
        h("dl", {}, entries.map(({ keys, description }) => h("div", {}, h("dt", {}, keys.map((some, number) => [number > 0 && h("span", { class: "muted" }, strings.help.or), keyNames(some).map((key) => h("kbd", {}, key))])), h("dd", {}, description)))),
      ),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "?" || event.key === "Escape") close(); // the browser's own Escape is lost while a page fades in
  });
  document.body.append(dialog);
  dialog.showModal();
}
