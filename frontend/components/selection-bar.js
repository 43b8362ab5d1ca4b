/** What can be done with the features that were chosen: compare, steer together, have labelled, collect, copy the list. */

import { api } from "../lib/api.js";
import { FEWEST, MOST, comparePath } from "../lib/compare-path.js";
import { collect } from "../lib/collect.js";
import { announce, fill, h } from "../lib/dom.js";
import { featureId, featureName, layerOf } from "../lib/format.js";
import { who } from "../lib/person.js";
import { MOST_STEERED, featureKey, labelPath, parseKey, pathOf, steerPath } from "../lib/selection.js";
import { selection as text } from "../pages/browse-strings.js";
import { toast } from "./toast.js";

/**
 * @param {import("../lib/selection.js").Selection} selection
 * @param {AbortSignal} signal
 * @returns {HTMLElement} a bar that is there as long as anything is chosen
 */
export function selectionBar(selection, signal) {
  const count = h("strong", { class: "num" });
  const actions = h("div", { class: "selection-actions" });
  const bar = h("div", { class: "selection-bar", role: "region", "aria-label": text.label, hidden: true }, count, actions);
  /** A link, or where it cannot be followed, the reason. */
  const action = (name, allowed, why, href) =>
    allowed ? h("a", { class: "button", href }, name) : h("span", { class: "button is-off", role: "link", "aria-disabled": "true", title: why, "aria-label": `${name}: ${why}` }, name);
  const show = () => {
    const { keys, size } = selection;
    bar.hidden = size === 0;
    count.textContent = text.count(size);
    fill(
      actions,
      action(text.compare, size >= FEWEST && size <= MOST, text.compareWhy(FEWEST, MOST), comparePath(keys.flatMap((key) => parseKey(key) ?? []))),
      action(text.steer, size <= MOST_STEERED, text.steerWhy(MOST_STEERED), steerPath(keys)),
      who.state.person?.permissions.includes("review") && h("a", { class: "button", href: labelPath(keys) }, text.haveLabelled),
      h("button", { type: "button", onclick: () => collect(keys.flatMap((key) => parseKey(key) ?? [])) }, text.collect),
      h("button", { type: "button", onclick: () => copy(keys) }, text.copy),
      h("button", { type: "button", class: "quiet", onclick: () => selection.clear() }, text.clear),
    );
    if (size) announce(text.count(size));
  };
  selection.addEventListener("change", show, { signal });
  show();
  return bar;
}

/** One line a feature: what it is, what it is called, where it is. */
async function copy(keys) {
  try {
    const features = keys.flatMap((key) => parseKey(key) ?? []);
    const { items } = await api.featureRows(features);
    const names = new Map(items.map((row) => [featureKey(row), featureName(row)]));
    const lines = features.map(({ source, index }) => {
      const key = featureKey({ source, index });
      return [featureId(layerOf(source), index), (names.get(key) ?? "").replaceAll(/\s+/g, " "), new URL(pathOf(key), location.href).href].join("\t");
    });
    await navigator.clipboard.writeText(`${lines.join("\n")}\n`);
    toast(text.copied(keys.length));
  } catch (error) {
    toast(text.notCopied(error.message), { kind: "error" });
  }
}
