/** Two or more evidence documents side by side: each condition and check, and the settings in which they differ. */

import { h } from "../lib/dom.js";
import { evidence as text } from "../pages/evidence-strings.js";
import { condition } from "./verdict-card.js";
import { statusBadge } from "./status-badge.js";

/** @param {{ key: string, document: any }[]} chosen */
export function compareView(chosen) {
  const documents = chosen.map(({ document }) => document);
  return h("section", { class: "evidence-compare", "aria-label": text.sideBySide }, h("h2", {}, text.sideBySide),
    sideBySide(text.verdictsTitle, chosen, documents.map(conditionsOf)),
    sideBySide(text.checks, chosen, documents.map(checksOf)),
    sideBySide(text.differences, chosen, differing(documents.map(({ settings }) => new Map(flat(settings))))));
}

/** A row for each name that any of them has. @param {Map<string, any>[]} columns */
function sideBySide(title, chosen, columns) {
  const names = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  if (!names.length) return null;
  const rows = names.map((name) => h("tr", {}, h("th", { scope: "row" }, name), columns.map((column) => h("td", {}, column.get(name) ?? h("span", { class: "muted" }, "–")))));
  return h("section", {}, h("h3", {}, title),
    h("div", { class: "evidence-scroll", tabindex: 0, role: "region", "aria-label": title },
      h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), chosen.map(({ document }) => h("th", { scope: "col" }, document.title)))), h("tbody", {}, rows))));
}

const conditionsOf = ({ verdicts }) => new Map(verdicts.flatMap(({ name, status, conditions }) => [
  [String(name), statusBadge(status)],
  ...conditions.map((each) => [`${name}: ${each.claim}`, condition(each).slice(1)]),
]));

const checksOf = ({ checks }) => new Map(checks.map(({ claim, status, found }) => [claim, [statusBadge(status), h("div", { class: "small" }, found)]]));

function flat(settings, before = "") {
  return Object.entries(settings).flatMap(([key, value]) => (value && typeof value === "object" && !Array.isArray(value) ? flat(value, `${before}${key}.`) : [[`${before}${key}`, typeof value === "string" ? value : JSON.stringify(value)]]));
}

/** Only what is not the same in all. */
function differing(columns) {
  const same = (name) => columns.every((column) => column.get(name) === columns[0].get(name));
  return columns.map((column) => new Map([...column].filter(([name]) => !same(name))));
}
