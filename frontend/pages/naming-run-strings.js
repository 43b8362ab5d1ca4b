/** Words of the page of runs that suggest names and score labels. */

import { plural } from "../lib/format.js";

export const runs = {
  link: "Suggestions and scores",
  heading: "Suggestions and scores",
  lead: "What programs suggest that features be called, and what any label is worth on text that nobody saw who wrote it. It is done in the background; what it stores stands beside the labels.",
  title: "Start a run",
  what: "What",
  kinds: { suggest: "Suggest names by tokens, logits and neighbours", score: "Score labels", explain: "Have a language model suggest names" },
  missing: { suggest: "", score: "This server has no held-out text (MFN_HELD_OUT).", explain: "This server has no language model for it (MFN_READER_URL)." },
  on: (name) => `On ${name}; documents that the index was made of are left out.`,
  asks: (name) => `Have ${name} read the labels`,
  features: "These features alone (optional)",
  featuresHint: "SOURCE:INDEX, as in the address of a feature; one a line",
  badLine: (line) => `“${line}” is not SOURCE:INDEX.`,
  budget: (most) => `The most it may cost (${most} at most)`,
  start: "Start",
  busy: "Another run is at work.",
  none: "Nothing has been run yet.",
  states: { waiting: "starting", working: "at work", done: "done", stopped: "stopped", failed: "failed" },
  all: "all features",
  some: (count) => plural(count, "feature", "features"),
  cost: (read, written, cost, budget) => `${read} tokens read, ${written} written, cost ${cost}${budget === null ? "" : ` of ${budget}`}`,
  stop: "Stop",
  resume: "Go on",
  back: "All campaigns",
};
