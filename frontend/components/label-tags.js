/** The tags of a feature, to be taken off, and a field for another. */

import { h } from "../lib/dom.js";
import { labels as text } from "../pages/label-strings.js";

/** `say(event)` says something and gives whether it was taken in. */
export function labelTags(state, me, say) {
  const may = me.permissions.includes("label");
  const tags = state.tags.map(({ tag, person }) =>
    h("li", { class: "chip tag", title: person.name }, h("bdi", {}, tag),
      may && h("button", { type: "button", class: "quiet", dataset: { key: `untag:${tag}` }, "aria-label": text.removeTag(tag), onclick: () => say({ kind: "untag", tag }) }, "×")));
  const field = h("input", { maxlength: "60", dataset: { key: "tag" }, "aria-label": text.addTag, placeholder: text.addTag, autocomplete: "off" });
  const form = may && h("form", {
    class: "add-tag",
    onsubmit: async (event) => {
      event.preventDefault();
      const tag = field.value.trim();
      field.value = ""; // what is written in it would not be filled anew
      if (tag && !(await say({ kind: "tag", tag }))) field.value = tag;
    },
  }, field);
  return h("div", { class: "label-tags" }, h("ul", { class: "tags", "aria-label": text.tags }, tags), form);
}
