/** What the Steer page fetches beside its first screen, each when it is first needed: the code and what styles it. */
import { once } from "../lib/ahead.js";
import { withSheets } from "../lib/sheets.js";

export const parts = {
  /** What stands below the texts; its effects come once there is something to have an effect. */
  more: once(() => withSheets(import("../components/steer-more.js"), "steer-more")),
  effect: once(() => withSheets(import("../components/steer-effect.js"), "hits", "effect")),
  /** The cards of features that are turned. */
  turns: once(() => withSheets(import("../components/intervention-editor.js"), "hits", "turn")),
  settings: once(() => withSheets(import("../components/setting-fields.js"), "setting-fields")),
  /** Texts that grow, and what is known of their tokens. */
  streams: once(() => withSheets(import("../components/steer-streams.js"), "hits", "token-detail")),
  run: once(() => import("./steer-run.js")),
  /** What links say of a run, and what is said of them. */
  share: once(async () => (await Promise.all([import("./steer-share.js"), import("../components/run-provenance.js")]))[0]),
  copy: once(() => withSheets(import("../components/copy-out.js"), "steer-dialogs")),
  runs: once(() => withSheets(import("../components/run-list.js"), "run-history")),
  versions: once(() => withSheets(import("../components/preset-versions.js"), "steer-dialogs")),
  save: once(() => withSheets(import("../components/save-preset.js"), "steer-dialogs")),
};

/** All that somebody who begins to do something here may need next. */
export const next = () => Promise.all([parts.turns(), parts.streams(), parts.run(), parts.effect(), parts.share(), parts.settings(), parts.copy()]);
