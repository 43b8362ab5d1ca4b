/**
 * The Steer page's generations: one at a time, the newest counts. Keeps what the texts on screen were begun with, and whether
 * it has been changed since.
 */
import { steerPath } from "./steer-link.js";
import { parts } from "./steer-parts.js";
import { requestBody, requestInterventions } from "./steer-request.js";
import { steer as text } from "./steer-strings.js";

/**
 * @typedef {object} Watchers what is told of a generation
 * @property {(run: import("./steer-run.js").SteerRun) => void} begun
 * @property {(event: string, data: any, stream: string|null) => void} arrived
 * @property {(run: import("./steer-run.js").SteerRun, how: {stopped: boolean}) => void} ended
 * @property {() => void} left it was stopped before it was begun
 * @property {(error: import("../lib/api.js").ApiError) => void} refused
 */
export class Writing {
  /** @type {object|null} */ #asked = null; // for what was asked for last, until it ends
  /** @type {import("./steer-run.js").Generation|null} */ #generation = null; // from when it is begun
  #watchers;
  /** What the texts on screen were begun with, and the same as a path. Null where there are none. */
  /** @type {import("./steer-model.js").SteerState|null} */ begun = null;
  /** @type {string|null} */ path = null;
  /** Features that were followed beside the ones turned. */
  /** @type {{source: string, index: number}[]} */ watched = [];
  /** The moves that it was told to make again. @type {import("./steer-moves.js").Move[]} */
  changes = [];
  /** Did anybody move a slider since it began? */
  moved = false;
  /** The last run that ended. */
  /** @type {import("./steer-run.js").SteerRun|null} */ last = null;

  /** @param {Watchers} watchers */
  constructor(watchers) {
    this.#watchers = watchers;
  }

  /** Has it been asked for, and not ended? */
  get active() {
    return this.#asked !== null;
  }

  /** Is the request on its way? Until then, changes go into its body. */
  get started() {
    return this.#generation?.started ?? false;
  }

  /** The run on screen. */
  get run() {
    return this.#generation?.run ?? (this.#asked ? null : this.last);
  }

  /**
   * Write, instead of what is being written.
   * @param {() => Promise<import("./steer-model.js").SteerState>|import("./steer-model.js").SteerState} settle gives the state
   *   to begin with once it is complete
   * @param {{changes?: {step: number, interventions: object[]}[], watch?: {source: string, index: number}[]}} options
   *   `changes`: moves of the sliders, to be made again
   */
  async start(settle, { changes = [], watch = [] } = {}) {
    this.drop();
    const asked = {};
    this.#asked = asked;
    const refused = (error) => {
      if (asked !== this.#asked) return;
      this.#asked = this.#generation = null;
      this.forget();
      this.#watchers.refused(error);
    };
    const settled = await Promise.all([settle(), parts.run()]).catch(refused);
    if (!settled || asked !== this.#asked) return;
    const [state, { Generation }] = settled;
    const generation = new Generation();
    this.#generation = generation;
    Object.assign(this, { begun: state, path: steerPath(state), last: null, changes, moved: false, watched: watch });
    this.#watchers.begun(generation.run);
    const arrived = (event, data, stream) => asked === this.#asked && this.#watchers.arrived(event, data, stream);
    try {
      await generation.start(requestBody(state, { changes, watch }), arrived, { brokenMessage: text.connectionBroke });
      if (asked === this.#asked) this.#finish(generation.run, { stopped: false });
    } catch (error) {
      refused(error);
    }
  }

  /** Turn something else, from the next token on. */
  update(interventions) {
    this.moved = true;
    this.#generation?.update(requestInterventions(interventions));
  }

  /** Leave it as far as it came. */
  stop() {
    if (!this.#asked) return;
    const generation = this.#generation;
    this.drop();
    if (generation) this.#finish(generation.run, { stopped: true });
    else this.#watchers.left();
  }

  /** Leave it without a word: the page is gone, or shows something else. */
  drop() {
    this.#generation?.stop();
    this.#asked = this.#generation = null;
  }

  /** Nothing is on screen. */
  forget() {
    Object.assign(this, { begun: null, path: null, last: null, changes: [], moved: false, watched: [] });
  }

  #finish(run, how) {
    this.#asked = this.#generation = null;
    this.last = run;
    this.#watchers.ended(run, how);
  }
}
