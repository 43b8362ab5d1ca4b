/** Something that is shown this once, with a button to copy it: a link, a token. */

import { h } from "../lib/dom.js";
import { people as text } from "../pages/people-strings.js";
import { toast } from "./toast.js";

export function shownOnce(heading, value) {
  const output = h("input", { class: "shown-once-value", readonly: true, value, "aria-label": heading, onfocus: () => output.select() });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      toast(text.copied);
    } catch {
      output.focus(); // no secure context, or not allowed
      toast(text.notCopied, { kind: "error" });
    }
  };
  return h("div", { class: "shown-once", role: "status" }, h("p", {}, heading), h("div", { class: "shown-once-row" }, output, h("button", { type: "button", onclick: copy }, text.copy)));
}
