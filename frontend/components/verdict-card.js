/** One prediction: what it claims, what would settle it, and how it stands. */

import { h } from "../lib/dom.js";
import { evidence as text } from "../pages/evidence-strings.js";

/**
 * @param {{ key: string, claim: string, measure: string, against: string, rule: string, today: string[] }} prediction `today`: what can be seen of it and, after it, where
 * @param {keyof typeof text.verdicts} verdict
 */
export function verdictCard({ key, claim, measure, against, rule, today: [today, href] }, verdict) {
  const { mark, title } = text.verdicts[verdict];
  const fact = (name, ...words) => h("div", {}, h("dt", {}, name), h("dd", {}, ...words));
  return h(
    "article",
    { class: "panel verdict-card", "aria-labelledby": `claim-${key}` },
    h("header", {}, h("span", { class: "verdict-key num muted" }, key), h("h2", { id: `claim-${key}` }, claim), h("span", { class: "verdict-mark", dataset: { verdict }, title }, mark)),
    h("dl", {}, fact(text.measure, measure), fact(text.against, against), fact(text.rule, rule), fact(text.today, href ? h("a", { href }, today) : today)),
  );
}
