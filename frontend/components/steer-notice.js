/**
 * `<mfn-steer-notice>`: the line above the texts. It says how things stand, and gives way to what went wrong or what can be
 * done next. It keeps its room when there is little to say, so that what comes up while a text is written moves nothing.
 */
import { fill, h } from "../lib/dom.js";
import { strings } from "../lib/strings.js";

export class SteerNotice extends HTMLElement {
  #status = "";

  connectedCallback() {
    this.classList.add("steer-notice");
    this.setAttribute("aria-live", "polite");
  }

  /** How things stand; shown where there is no message. @param {string} status */
  status(status) {
    this.#status = status;
    if (!this.querySelector(".notice")) this.clear();
  }

  clear() {
    fill(this, this.#status && h("p", { class: "steer-status muted small" }, this.#status));
  }

  /**
   * @param {string} message
   * @param {{kind?: "note"|"error", hint?: string|null, retry?: (() => void)|null, retryAfter?: number|null,
   *   retryLabel?: string|null, extra?: Node|false|null}} options `retryAfter`: seconds before another try
   */
  show(message, { kind = "note", hint = null, retry = null, retryAfter = null, retryLabel = null, extra = null } = {}) {
    const label = retryLabel ?? (retryAfter ? strings.errors.retryIn(retryAfter) : strings.errors.retry);
    const button = retry && h("button", { type: "button", onclick: retry }, label);
    fill(this, h("div", { class: `notice is-${kind}`, role: kind === "error" ? "alert" : null },
      h("p", {}, message, hint && h("span", { class: "notice-hint" }, " ", hint)), extra, button));
    if (button && retryAfter) this.#countDown(button, retryAfter);
  }

  #countDown(button, seconds) {
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? strings.errors.retryIn(seconds) : strings.errors.retry;
    if (seconds > 0 && button.isConnected) setTimeout(() => this.#countDown(button, Math.ceil(seconds) - 1), 1_000);
  }
}

customElements.define("mfn-steer-notice", SteerNotice);
