/**
 * `<mfn-steer-tools>`: takes a setting of the Steer page elsewhere: as a link, as a command, as a program, as a preset.
 *
 * Set `.state`, a function that gives the page's state, and `.link`, an async one that gives {href, said}.
 * Event (bubbling): `presetsave`.
 */
import { h } from "../lib/dom.js";
import { loadModel } from "../lib/store.js";
import { curlCommand, openaiProgram, pythonProgram } from "../pages/steer-code.js";
import { steer as text } from "../pages/steer-strings.js";
import { toast } from "./toast.js";

export class SteerTools extends HTMLElement {
  /** @type {() => import("../pages/steer-model.js").SteerState} */ state;
  /** @type {() => Promise<{href: string, said: string}>} */ link;

  connectedCallback() {
    if (this.firstChild) return;
    this.classList.add("steer-tools");
    const button = (short, label, onclick) => h("button", { class: "quiet", type: "button", "aria-label": label, onclick }, short);
    this.append(
      h("span", { class: "muted small", "aria-hidden": "true" }, text.copy),
      button(text.copies.link, text.share, () => this.#copyLink()),
      button(text.copies.curl, text.curl, () => this.#copy(curlCommand(this.state(), location.origin), text.curled)),
      button(text.copies.python, text.python, () => this.#copy(pythonProgram(this.state(), location.origin), text.pythoned)),
      button(text.copies.openai, text.openai, () => this.#copyOpenai()),
      button(text.savePreset, text.savePreset, () => this.dispatchEvent(new CustomEvent("presetsave", { bubbles: true }))));
  }

  async #copyLink() {
    const { href, said } = await this.link();
    this.#copy(href, said);
  }

  async #copyOpenai() {
    const model = await loadModel().catch(() => null);
    if (model) this.#copy(openaiProgram(this.state(), model.name, location.origin), text.openaied);
    else toast(text.noModel, { kind: "error" });
  }

  async #copy(content, done) {
    try {
      await navigator.clipboard.writeText(content);
      toast(done);
    } catch {
      this.#byHand(content);
    }
  }

  #byHand(content) {
    const area = h("textarea", { rows: "8", readonly: true, "aria-label": text.copyFailed, value: content });
    const dialog = h("dialog", { class: "copy-by-hand", onclose: () => dialog.remove() },
      h("p", {}, text.copyFailed), area, h("button", { type: "button", onclick: () => dialog.close() }, text.close));
    this.append(dialog);
    dialog.showModal();
    area.select();
  }
}

customElements.define("mfn-steer-tools", SteerTools);
