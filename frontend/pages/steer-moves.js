/**
 * Moves of the sliders that were made while a text was written, as part of a link.
 *
 * In the URL: `move` repeats, one a move, STEP~INTERVENTION~INTERVENTION: all interventions that there are from that token on,
 * each as the state's own `f` has it; empty where it stands as in the move before, `:VALUE` where its value alone is
 * another. So a slider that is dragged through a whole text still fits into an address. Nothing here touches the document.
 *
 * @typedef {{step: number, interventions: object[]}} Move from this new token on; interventions as the API has them
 */
import { formatIntervention } from "./steer-link.js";
import { intervention } from "./steer-model.js";
import { parseIntervention } from "./steer-reading.js";
import { requestInterventions } from "./steer-request.js";

const MOST_MOVES = 1024; // as the server has it
const VALUE = 2; // place in an intervention's words

/** What stands for `word` where `before` stood in its place. */
function shortened(word, before) {
  if (word === before) return "";
  const [now, then = []] = [word, before].map((text) => text?.split(","));
  const alone = now.length === then.length && now[VALUE] && now.every((part, place) => place === VALUE || part === then[place]);
  return alone ? `:${now[VALUE]}` : word;
}

/** The reverse; undefined where there was nothing before. */
function restored(told, before) {
  if (told === "") return before;
  return told.startsWith(":") ? before?.split(",").toSpliced(VALUE, 1, told.slice(1)).join(",") : told;
}

/** As part of a query string, "" for no moves. @param {Move[]} moves */
export function formatMoves(moves) {
  let before = [];
  const parts = moves.map(({ step, interventions }) => {
    const words = interventions.map((item) => formatIntervention(intervention(item)));
    const told = words.map((word, place) => shortened(word, before[place]));
    before = words;
    const params = new URLSearchParams({ move: [step, ...told].join("~") });
    return params.toString().replaceAll("%7E", "~").replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%3A", ":");
  });
  return parts.join("&");
}

/**
 * Read them out of a query.
 * @param {URLSearchParams} params
 * @returns {Move[]|null} null where one is damaged: without it the others would lead elsewhere
 */
export function parseMoves(params) {
  let words = [];
  const moves = [];
  for (const text of params.getAll("move")) {
    const [step, ...told] = text.split("~");
    words = told.map((word, place) => restored(word, words[place]));
    const interventions = words.map((word) => (word ? parseIntervention(word) : null));
    if (!/^\d{1,4}$/.test(step) || Number(step) <= (moves.at(-1)?.step ?? -1) || interventions.includes(null)) return null;
    moves.push({ step: Number(step), interventions: requestInterventions(interventions) });
  }
  return moves.length <= MOST_MOVES ? moves : null;
}

/** Are they the same moves? @param {Move[]} some @param {Move[]} others */
export const sameMoves = (some, others) => formatMoves(some) === formatMoves(others);
