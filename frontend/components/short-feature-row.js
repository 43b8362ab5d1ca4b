/** One feature in a list beside a map, where there is little room: what it is called, and how often it fires. */

import { h } from "../lib/dom.js";
import { featureId, featureName, featurePath, formatPercent } from "../lib/format.js";
import { chooseButton } from "./choose-button.js";
import { featureNameNodes } from "./feature-name.js";
import { statusMark } from "./status-mark.js";

/** A row as `featureRow` makes it, shorter. */
export function shortFeatureRow(row) {
  const href = featurePath(row.source, row.index);
  const id = featureId(row.layer, row.index);
  const cell = (name, ...children) => h("div", { role: "gridcell", class: `cell-${name}` }, ...children);
  return h(
    "div",
    { role: "row", class: "feature-row is-short", dataset: { href, key: `${row.source}:${row.index}` } },
    cell("choose", chooseButton(id)),
    cell("id", h("a", { href, class: "row-link num", tabindex: "-1", "aria-label": `${id} ${featureName(row)}` }, id)),
    cell(row.label ? "name" : "name is-tokens", statusMark(row.status), featureNameNodes(row)),
    cell("rate", h("span", { class: "num" }, formatPercent(row.rate))),
  );
}
