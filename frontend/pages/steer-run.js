/**
 * One generation as it arrives: the plain and the steered stream, token by token, as plain data.
 *
 * `apply(event)` takes the server's events in order and returns what changed; the page draws from that. Whatever had been
 * written when a stream broke stays.
 *
 * @typedef {{id: number, text: string}} PromptToken
 * @typedef {{stream: string, step: number, id: number, text: string, delta: string, logprob: number, kl: number|null,
 *   alternatives: {id: number, text: string, logprob: number}[], fired: {source: string, index: number, value: number}[],
 *   watched: {source: string, index: number, value: number, untouched: number}[]}} Token
 * @typedef {{tokens: Token[], text: string, state: "waiting"|"writing"|"done"|"broken", reason: string|null, seconds: number|null,
 *   outcome: {digest: string, exact: string}|null}} Stream `outcome`: digests of what was written, once it has ended
 */
import { steering } from "../lib/api-steer.js";

export class SteerRun {
  #ahead = {}; // what was said of each stream's next token
  /** @param {string[]} names streams expected, e.g. ["plain", "steered"] */
  constructor(names = ["plain", "steered"]) {
    /** @type {string|null} */ this.requestId = null;
    /** @type {PromptToken[]} */ this.promptTokens = [];
    /** @type {Record<string, Stream>} */
    this.streams = Object.fromEntries(
      names.map((name) => [name, { tokens: [], text: "", state: "waiting", reason: null, seconds: null, outcome: null }]),
    );
    /** @type {number|null} The first step at which the streams chose different tokens. */ this.parting = null;
    /** @type {{step: number, interventions: object[]}[]} What the steered text was changed to, and from which token on. */
    this.changes = [];
    this.ended = false;
    /** @type {string|null} */ this.problem = null;
  }

  /**
   * Take one event of the server.
   * @param {string} name
   * @param {any} data
   * @returns {string|null} the stream that changed, if one did
   */
  apply(name, data) {
    if (name === "start") {
      this.requestId = data.request_id;
      this.promptTokens = data.prompt_tokens;
      return null;
    }
    if (name === "updated") {
      this.changes.push({ step: data.step, interventions: data.interventions });
      return null;
    }
    if (name === "end") {
      this.ended = true;
      return null;
    }
    if (name === "error") {
      this.break(data.message ?? "The server stopped writing.");
      return null;
    }
    if (name === "features" || name === "effect") {
      const { stream = "steered", ...said } = data;
      this.#ahead[stream] = { ...this.#ahead[stream], ...said };
      return null;
    }
    const stream = this.streams[data.stream];
    if (!stream) return null;
    if (name === "token") {
      Object.assign(data, { kl: null, fired: [], watched: [] }, this.#ahead[data.stream]);
      delete this.#ahead[data.stream];
      const step = stream.tokens.push(data) - 1;
      const others = Object.values(this.streams).filter((other) => other.tokens.length > step);
      if (others.some((other) => other.tokens[step].id !== data.id)) this.parting ??= step;
      stream.text += data.delta;
      stream.state = "writing";
    } else if (name === "done") {
      stream.state = "done";
      stream.reason = data.reason;
      stream.seconds = data.seconds;
      stream.text = data.text ?? stream.text;
      stream.outcome = { digest: data.digest, exact: data.exact_digest };
    }
    return data.stream;
  }

  /** The connection is over without an `end`: mark what was still being written as broken. */
  break(problem) {
    this.problem = problem;
    this.ended = true;
    for (const stream of Object.values(this.streams)) {
      if (stream.state !== "done") stream.state = "broken";
    }
  }
}

/** Complete sentences at the start of `text`, and the rest: what a screen reader is told, and what waits. */
export function splitSentences(text) {
  const end = /^[\s\S]*[.!?。！？…؟।\n]["'”’»)\]]*(?=\s|$)/u.exec(text);
  return end ? [end[0].trim(), text.slice(end[0].length)] : ["", text];
}

/** Least time between two updates of a running generation, in milliseconds. */
const UPDATE_EVERY_MS = 120;

/**
 * One request to the server and the `SteerRun` it fills. Sliders call `update` as often as they like: at most one
 * request is on its way, and the newest values always arrive last.
 */
export class Generation {
  #abort = new AbortController();
  /** @type {object[]|null} */ #pending = null;
  #sending = false;

  constructor() {
    this.run = new SteerRun();
    /** Has the request been sent? Until then, changes go into its body. */
    this.started = false;
  }

  /**
   * Generate until the end, a break, or `stop`. Refusals before the first event (busy, invalid) are thrown as `ApiError`.
   * @param {object} body the request
   * @param {(event: string, data: any, stream: string|null) => void} onEvent called after each event has been applied
   */
  async start(body, onEvent, { brokenMessage }) {
    const { signal } = this.#abort;
    this.started = true;
    try {
      for await (const { event, data } of steering.generate(body, { signal })) {
        if (signal.aborted) return;
        onEvent(event, data, this.run.apply(event, data));
        if (event === "start") this.#send();
        if (this.run.ended) return;
      }
      this.run.break(brokenMessage);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status !== undefined) throw error;
      this.run.break(brokenMessage);
    }
  }

  /** Leave: the server stops within a token. */
  stop() {
    this.run.ended = true;
    this.#abort.abort();
  }

  /** Replace what is turned, from the next token on. @param {object[]} interventions as the API takes them */
  update(interventions) {
    this.#pending = interventions;
    if (this.run.requestId) this.#send();
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#pending && !this.run.ended) {
      const interventions = this.#pending;
      this.#pending = null;
      const pause = new Promise((resolve) => {
        setTimeout(resolve, UPDATE_EVERY_MS);
      });
      // A refusal here is not worth a message: the generation may just have ended, and the next one sends everything.
      await steering.updateGeneration(this.run.requestId, interventions, { signal: this.#abort.signal }).catch(() => {});
      await pause;
    }
    this.#sending = false;
  }
}
