/** A table of an evidence document: it scrolls within its box and is sorted by its headings. */

import { announce, fill, h } from "../lib/dom.js";
import { cell, interval, isFeature } from "../lib/evidence-cells.js";
import { evidence as text } from "../pages/evidence-strings.js";
import { statusBadge } from "./status-badge.js";

const MOST_ROWS = 1000; // that are shown; the files have all
const WORDS = new Set(["text", "status", "feature"]);

/**
 * @param {{ title: string, columns: any[], rows: any[], caption?: string }} table
 * @param {(layer: number, index: number) => string|null} [pathOf] the page of a feature, where there is one
 */
export function evidenceTable({ title, columns, rows, caption = "" }, pathOf = () => null) {
  const body = h("tbody", {});
  const shown = (sorted) => fill(body, sorted.slice(0, MOST_ROWS).map((row) => h("tr", {}, columns.map((column) => tableCell(row, column, pathOf)))));
  const heads = columns.map((column) =>
    h("th", { scope: "col", class: WORDS.has(column.kind) ? "words" : null },
      h("button", { type: "button", onclick: (event) => sort(event.currentTarget.parentElement, column) }, column.title || text.nameless, column.unit && h("span", { class: "muted" }, ` ${column.unit}`))));
  function sort(head, column) {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    shown([...rows].sort((a, b) => compare(a[column.key], b[column.key], down)));
    announce(text.sorted(column.title || text.nameless, down));
  }
  shown(rows);
  const left = rows.length > MOST_ROWS ? text.firstRows(MOST_ROWS, rows.length) : "";
  return h("div", { class: "evidence-table" },
    title && h("h3", {}, title),
    h("div", { class: "evidence-scroll", tabindex: 0, role: "region", "aria-label": title || text.tableName }, h("table", {}, h("thead", {}, h("tr", {}, heads)), body)),
    (caption || left) && h("p", { class: "muted small" }, [caption, left].filter(Boolean).join(" ")));
}

function tableCell(row, column, pathOf) {
  const value = row[column.key];
  const words = WORDS.has(column.kind) || typeof value === "string";
  if (column.kind === "status" && value) return h("td", { class: "words" }, statusBadge(String(value)));
  const written = cell(value, column.kind);
  const path = column.kind === "feature" && isFeature(value) ? pathOf(value[0], value[1]) : null;
  const between = interval(row, column);
  return h("td", { class: words ? "words" : "num", title: Number.isFinite(value) && !Number.isInteger(value) ? String(value) : null },
    path ? h("a", { href: path }, written) : written, between && h("span", { class: "muted small" }, ` ${between}`));
}

/** Numbers before words; what was not measured comes last in either direction. */
function compare(a, b, down) {
  const missing = (value) => value === null || value === undefined;
  if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b));
  const found = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -found : found;
}
