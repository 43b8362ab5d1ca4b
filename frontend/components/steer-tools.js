/**
 * `<mfn-steer-tools>`: takes a setting of the Steer page elsewhere: as a link, as a command, as a program, as a preset. What
 * makes them of it (copy-out.js) is fetched for the first one.
 *
 * Set `.state`, a function that gives the page's state, and `.link`, an async one that gives {href, said}.
 * Event (bubbling): `presetsave`.
 */
import { h } from "../lib/dom.js";
import { parts } from "../pages/steer-parts.js";
import { steer as text } from "../pages/steer-strings.js";
import { saidOf } from "./state-view.js";
import { toast } from "./toast.js";

export class SteerTools extends HTMLElement {
  /** @type {() => import("../pages/steer-model.js").SteerState} */ state;
  /** @type {() => Promise<{href: string, said: string}>} */ link;

  connectedCallback() {
    if (this.firstChild) return;
    this.classList.add("steer-tools");
    const button = (short, label, onclick) => h("button", { class: "quiet", type: "button", "aria-label": label, onclick }, short);
    const copies = [["link", text.share], ["curl", text.curl], ["python", text.python], ["openai", text.openai]];
    this.append(
      h("span", { class: "muted small", "aria-hidden": "true" }, text.copy),
      ...copies.map(([what, label]) => button(text.copies[what], label, () => this.#copy(what))),
      button(text.savePreset, text.savePreset, () => this.dispatchEvent(new CustomEvent("presetsave", { bubbles: true }))));
  }

  async #copy(what) {
    try {
      const out = await parts.copy();
      await out.copyOut(await out.made[what](this), this);
    } catch (error) {
      toast(saidOf(error).message, { kind: "error" });
    }
  }
}

customElements.define("mfn-steer-tools", SteerTools);
