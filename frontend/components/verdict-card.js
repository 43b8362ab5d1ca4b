/** One prediction: what it claims, what would settle it, and how it stands. */

import { h } from "../lib/dom.js";
import { number, share } from "../lib/evidence-cells.js";
import { evidence as text } from "../pages/evidence-strings.js";
import { intervalMark } from "./interval-mark.js";
import { statusBadge } from "./status-badge.js";

/**
 * @param {{ key: string, claim: string, measure?: string, against?: string, rule?: string, today?: string[] }} prediction `today`: what can be seen of it and, after it, where
 * @param {any} [found] the verdict of a report; none where nothing was measured
 * @param {string|null} [more] where what is behind it stands
 */
export function verdictCard(prediction, found = null, more = null) {
  const { key, claim, measure, against, rule, today = [] } = prediction;
  const fact = (name, ...words) => h("div", {}, h("dt", {}, name), h("dd", {}, ...words));
  const mark = found ? statusBadge(found.status, text.statuses[found.status]) : statusBadge(text.open.mark, text.open.title);
  const facts = measure ? [fact(text.measure, measure), fact(text.against, against), fact(text.rule, rule)] : [];
  const [seen, href] = today;
  return h(
    "article",
    { class: "panel verdict-card", "aria-labelledby": `claim-${key}` },
    h("header", {}, h("span", { class: "verdict-key num muted" }, key), h("h2", { id: `claim-${key}` }, claim), mark),
    found && h("ul", { class: "conditions" }, found.conditions.map((each) => h("li", {}, condition(each)))),
    found && more && h("p", { class: "verdict-more" }, h("a", { href: more }, text.more(key))),
    found
      ? facts.length > 0 && h("details", {}, h("summary", {}, text.howJudged), h("dl", {}, facts))
      : h("dl", {}, facts, seen && fact(text.today, href ? h("a", { href }, seen) : seen)),
  );
}

/** What was asked of one number, and what was found. */
export function condition({ claim, sense, bound, unit, estimate, status, why_not: why }) {
  const show = unit === "share" ? share : number;
  const asked = text.asked(sense, unit === "share" ? `${+(100 * bound).toPrecision(6)}%` : String(bound).replace("-", "−"));
  if (!Number.isFinite(estimate?.value)) {
    return [h("div", {}, claim), h("div", { class: "muted small" }, text.notMeasured(why), " ", asked)];
  }
  const between = Number.isFinite(estimate.low) && Number.isFinite(estimate.high) ? ` (${show(estimate.low)} to ${show(estimate.high)})` : "";
  return [
    h("div", {}, claim),
    intervalMark({ ...estimate, bound, sense }),
    h("div", { class: "num" }, h("b", {}, show(estimate.value)), between, " ", h("span", { class: "muted" }, asked), " ", statusBadge(status)),
  ];
}
