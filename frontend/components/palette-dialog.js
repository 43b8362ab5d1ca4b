/**
 * The command palette's dialog: one field from which everything is reached. A combobox with a listbox (ARIA 1.2) in a modal
 * dialog. It opens at once, so that no letter is lost; what works behind it is fetched when it is first needed, and is
 * handed the keys that came before it was there.
 */

import { fill, h } from "../lib/dom.js";
import { strings } from "../lib/strings.js";

const text = strings.palette;
const KEPT = ["Enter", "ArrowDown", "ArrowUp", "PageDown", "PageUp"];

/** Open it, unless a dialog is open already. */
export async function openPalette() {
  if (document.querySelector("dialog[open]")) return;
  const input = h("input", {
    class: "palette-input", type: "text", inputmode: "search", enterkeyhint: "go", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    placeholder: text.placeholder, role: "combobox", "aria-label": text.label, "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list",
  });
  const list = h("div", { id: "palette-list", class: "palette-list", role: "listbox", "aria-label": text.results });
  const status = h("p", { class: "visually-hidden", role: "status" });
  const hint = (keys, words) => h("span", {}, keys.map((key) => h("kbd", {}, key)), " ", words);
  const hints = h("footer", { class: "palette-hints muted", "aria-hidden": "true" }, hint(["↑", "↓"], text.keys.move), hint(["↵"], text.keys.act), hint(["Esc"], text.keys.close));
  const dialog = h("dialog", { class: "palette", "aria-label": text.label }, input, list, hints, status);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && shut(dialog));
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault(); // or the browser closes it, and no more
    shut(dialog);
  });
  document.body.append(dialog);
  const early = keepKeys(input);
  dialog.showModal();
  try {
    const { Palette } = await import("./command-palette.js");
    const keys = early();
    if (dialog.open) new Palette({ dialog, input, list, status }, keys);
  } catch {
    fill(list, h("p", { class: "palette-nothing error-text" }, strings.errors.unreachable));
  }
}

/**
 * Close it for good, at once. A dialog that is merely closed keeps the focus in its field until the browser paints, and
 * tells that it was closed no sooner: whatever is typed in between would go there, and be lost.
 */
export function shut(dialog) {
  dialog.close();
  dialog.remove();
}

/** Keeps the keys that act on what is typed into the field, until more is typed; the function it returns ends that and gives them. */
function keepKeys(input) {
  const until = new AbortController();
  let keys = [];
  input.addEventListener("input", () => (keys = []), { signal: until.signal });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || !KEPT.includes(event.key)) return;
    event.preventDefault();
    keys.push(event);
  }, { signal: until.signal });
  return () => {
    until.abort();
    return keys;
  };
}
