/** Tables of tokens with a bar each, and what token R² says: on the Feature page and in comparisons. */

import { h } from "../lib/dom.js";
import { formatInteger, formatPercent, formatSigned } from "../lib/format.js";
import { feature as text } from "../pages/feature-strings.js";
import { tokenChip } from "./token-chip.js";

/** With fewer firings in one half of the corpus, token R² is mostly chance. */
const ENOUGH_FIRINGS = 200;

export const quiet = (words) => h("p", { class: "muted small" }, words);

/** In words; null where it is not known. */
export function tokenR2Note({ token_r2: r2, half_firings: firings }) {
  return r2 === null ? null : text.tokenR2(r2, firings < ENOUGH_FIRINGS ? firings : null);
}

/**
 * tokens: { text, logit }[]; direction: "up" or "down"; `also` marks texts that others have, too.
 * @param {Set<string>|null} [also]
 */
export function logitTable(title, tokens, direction, also = null) {
  const strongest = Math.max(1e-9, ...tokens.map(({ logit }) => Math.abs(logit)));
  const row = ({ text: token, logit }) =>
    h("tr", { class: also?.has(token) ? "is-shared" : null }, h("th", { scope: "row" }, tokenChip(token)), h("td", { class: "num bar", style: { "--length": `${(Math.abs(logit) / strongest) * 100}%` } }, formatSigned(logit)));
  return h("table", { class: `bars is-${direction}` }, h("caption", {}, title), h("tbody", {}, tokens.map(row)));
}

/** tokens: { text, share }[]. @param {Set<string>|null} [also] */
export function shareTable(tokens, note, also = null) {
  const row = ({ text: token, share }) =>
    h("tr", { class: also?.has(token) ? "is-shared" : null }, h("th", { scope: "row" }, tokenChip(token)), h("td", { class: "num bar", style: { "--length": `${share * 100}%` } }, formatPercent(share)));
  return h("table", { class: "bars is-share", title: note }, h("tbody", {}, tokens.map(row)));
}

/** What comes next after it fires; on the sample, or not known of an index from before there was one. */
export function nextTokens({ next_tokens: tokens, sampled_firings: sampled, firing_count: all }) {
  const { none, note, unknown, counted } = text.firesBefore;
  if (tokens === null) return quiet(unknown);
  return [tokens.length ? shareTable(tokens, note) : quiet(none), h("p", { class: "muted small note" }, counted(sampled, all))];
}

/** "12,345" of the tokens on which both fire. */
export const jointCount = ({ joint }) => h("span", { class: "num small muted", title: text.cofiring.joint }, formatInteger(joint));
