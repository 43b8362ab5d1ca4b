/**
 * `<mfn-inspect-differences>`: what fires in one of two inspected texts and not, or less, in the other.
 *
 * `show(first, second)` takes two inspections. Only the strongest features of each token are known, and it says so.
 */
import { fill, h } from "../lib/dom.js";
import { formatInteger, formatSigned, formatValue } from "../lib/format.js";
import { compare as text } from "../pages/inspect-strings.js";
import { featureLink } from "./feature-hits.js";

const SHOWN = 12;
const AFTER_FIRST = 1; // the first token, on which every model stores oddly large values, says nothing of a text

/**
 * Features by how much their strongest values in the two texts differ.
 * @param {import("./heat-strip.js").Inspection} first @param {import("./heat-strip.js").Inspection} second
 * @returns {{hit: object, layer: number, strongest: [number, number], tokens: [number, number]}[]} `tokens`: on how many it
 *   is among the strongest
 */
export function differences(first, second) {
  const found = new Map();
  for (const [side, { layers }] of [first, second].entries()) {
    for (const { source, layer, positions } of layers) {
      for (const hit of positions.slice(AFTER_FIRST).flat()) {
        const key = `${source}/${hit.index}`;
        if (!found.has(key)) found.set(key, { hit: { ...hit, source }, layer, strongest: [0, 0], tokens: [0, 0] });
        const entry = found.get(key);
        entry.tokens[side] += 1;
        if (Math.abs(hit.value) > Math.abs(entry.strongest[side])) entry.strongest[side] = hit.value;
      }
    }
  }
  const size = ({ strongest: [a, b] }) => Math.abs(a - b);
  return [...found.values()].filter((entry) => size(entry) > 0).sort((a, b) => size(b) - size(a));
}

export class InspectDifferences extends HTMLElement {
  show(first, second, per) {
    const found = differences(first, second);
    const { columns } = text;
    const row = ({ hit, layer, strongest: [a, b], tokens: [inFirst, inSecond] }) => h("tr", {},
      h("th", { scope: "row" }, featureLink(hit)),
      h("td", { class: "num" }, formatInteger(layer)),
      [[a, inFirst], [b, inSecond]].map(([value, count]) => h("td", { class: "num" }, count ? formatValue(value) : "–", h("span", { class: "muted small" }, ` ${text.on(count)}`))),
      h("td", { class: "num" }, formatSigned(b - a)));
    fill(this, h("h2", {}, text.title), h("p", { class: "muted small" }, text.note(per)),
      found.length === 0 ? h("p", { class: "muted" }, text.same) : h("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": text.title },
        h("table", { class: "differences" },
          h("thead", {}, h("tr", {}, Object.values(columns).map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, found.slice(0, SHOWN).map(row)))),
      found.length > SHOWN && h("p", { class: "muted small" }, text.more(found.length - SHOWN)));
  }
}

customElements.define("mfn-inspect-differences", InspectDifferences);
