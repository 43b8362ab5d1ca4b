/** A setting of the Steer page on the clipboard: as a link, as a command, as a program. */
import { h } from "../lib/dom.js";
import { loadModel } from "../lib/store.js";
import { curlCommand, openaiProgram, pythonProgram } from "../pages/steer-code.js";
import { copying as text } from "../pages/share-strings.js";
import { toast } from "./toast.js";

/** What is copied, and what is said of it; null where that is said already. By what is asked for. */
export const made = {
  link: async (tools) => {
    const { href, said } = await tools.link();
    return { content: href, said };
  },
  curl: (tools) => ({ content: curlCommand(tools.state(), location.origin), said: text.curled }),
  python: (tools) => ({ content: pythonProgram(tools.state(), location.origin), said: text.pythoned }),
  openai: async (tools) => {
    const model = await loadModel().catch(() => null);
    if (model) return { content: openaiProgram(tools.state(), model.name, location.origin), said: text.openaied };
    toast(text.noModel, { kind: "error" });
    return null;
  },
};

/** @param {{content: string, said: string}|null} made @param {HTMLElement} tools where a dialog goes if nothing may be copied */
export async function copyOut(made, tools) {
  if (!made) return;
  try {
    await navigator.clipboard.writeText(made.content);
    toast(made.said);
  } catch {
    byHand(made.content, tools);
  }
}

function byHand(content, tools) {
  const area = h("textarea", { rows: "8", readonly: true, "aria-label": text.copyFailed, value: content });
  const dialog = h("dialog", { class: "copy-by-hand", onclose: () => dialog.remove() },
    h("p", {}, text.copyFailed), area, h("button", { type: "button", onclick: () => dialog.close() }, text.close));
  tools.append(dialog);
  dialog.showModal();
  area.select();
}
