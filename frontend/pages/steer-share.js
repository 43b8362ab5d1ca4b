/**
 * What a link says of the run that it was made from: which model wrote, on which build, and what came of it, as digests. So
 * whoever opens the link is told whether the same came out, bit for bit, and if not, what is different here.
 *
 * In the URL: `m` the model's fingerprint, cut short; `r` the digests, DIGEST.EXACT for the plain and for the steered text;
 * `b` the build; and the moves of sliders on its way, as steer-moves.js has them. Nothing here touches the document.
 *
 * @typedef {{digest: string, exact: string}} Outcome of one stream: of its tokens; of those and their log-probabilities
 * @typedef {{model: string, build: string[], streams: Outcome[], moves: import("./steer-moves.js").Move[]}} RunFacts `build` in
 *   the order of BUILD, `streams` of STREAMS
 */
import { steerPath } from "./steer-link.js";
import { formatMoves, parseMoves, sameMoves } from "./steer-moves.js";
import { requestInterventions } from "./steer-request.js";
import { STREAMS } from "../components/stream-frame.js";
import { share as text } from "./share-strings.js";

export { sameMoves, text };

const BUILD = ["version", "torch", "transformers", "device", "cpu", "threads", "dtype", "rows"];
const FINGERPRINT_DIGITS = 16;
const PARAMS = ["m", "r", "b"];

/**
 * What is to be said of a run that has ended, or null where it cannot be had again: it was stopped.
 * @param {import("./steer-run.js").SteerRun} run
 * @param {{fingerprint: string, build: object}} model as GET /api/model gives it
 * @returns {RunFacts|null}
 */
export function factsOf(run, model) {
  const streams = STREAMS.flatMap((name) => run.streams[name]?.outcome ?? []);
  if (streams.length < STREAMS.length) return null;
  return { model: model.fingerprint.slice(0, FINGERPRINT_DIGITS), build: buildOf(model), streams, moves: run.changes };
}

/**
 * Does the form still say what a run was about: what it began with, or what the moves of sliders on its way came to?
 * @param {import("./steer-run.js").SteerRun} run
 * @param {import("./steer-model.js").SteerState} begun what it began with
 * @param {import("./steer-model.js").SteerState} now what the form says
 */
export function isOf(run, begun, now) {
  const acting = (state, interventions) => steerPath({ ...state, interventions: requestInterventions(interventions) });
  const said = acting(now, now.interventions);
  return [begun, ...run.changes.slice(-1)].some(({ interventions }) => acting(begun, interventions) === said);
}

/** @returns {string[]} */
const buildOf = (model) => BUILD.map((name) => String(model.build[name]));

/** As part of a query string, to be put behind the state's own. @param {RunFacts} facts */
export function formatFacts({ model, build, streams, moves }) {
  const params = new URLSearchParams();
  params.set("m", model);
  params.set("r", streams.flatMap(({ digest, exact }) => [digest, exact]).join("."));
  params.set("b", build.map((value) => value.replaceAll("~", "-")).join("~"));
  return [params.toString().replaceAll("%7E", "~"), formatMoves(moves)].filter(Boolean).join("&");
}

/**
 * Read them out of a query string. Null where there are none, or they are damaged: the link is then one without them.
 * @param {string} search
 * @returns {RunFacts|null}
 */
export function parseFacts(search) {
  const params = new URLSearchParams(search);
  const [model, run, build] = PARAMS.map((name) => params.get(name) ?? "");
  const moves = parseMoves(params);
  const digests = run.split(".");
  const sound = /^[0-9a-f]{16}$/;
  const facts = build.split("~");
  if (!sound.test(model) || digests.length !== 4 || !digests.every((one) => sound.test(one)) || facts.length !== BUILD.length || !moves) return null;
  return { model, build: facts, streams: [0, 2].map((place) => ({ digest: digests[place], exact: digests[place + 1] })), moves };
}

/** What is different here from where the link was made, as sentences. @param {RunFacts} facts */
export function differences(facts, model) {
  if (facts.model !== model.fingerprint.slice(0, FINGERPRINT_DIGITS)) return [text.otherModel(facts.model)];
  const here = buildOf(model);
  return BUILD.flatMap((name, place) => (facts.build[place] === here[place] ? [] : [text.otherBuild(text.build[name], facts.build[place], here[place])]));
}

/**
 * Whether a run came out as the link says: "exact" to the last bit, "text" the words alone, "other", or null: it has not ended,
 * or other moves were made on its way.
 * @param {RunFacts} facts
 * @returns {"exact"|"text"|"other"|null}
 */
export function outcome(facts, run) {
  const streams = STREAMS.map((name) => run.streams[name].outcome);
  if (streams.includes(null) || !sameMoves(run.changes, facts.moves)) return null;
  if (streams.some(({ digest }, place) => digest !== facts.streams[place].digest)) return "other";
  return streams.every(({ exact }, place) => exact === facts.streams[place].exact) ? "exact" : "text";
}
