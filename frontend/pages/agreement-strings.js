/** Words of the agreement board. */

import { plural } from "../lib/format.js";

export const agreement = {
  title: "Agreement",
  lead: "How far people say the same of the same feature. Programs have no part in it.",
  questions: "Questions",
  names: { one_concept: "One concept?", specificity: "How specific?", confidence: "How confident?", vote: "Votes", verdict: "Verdict", name: "Names: words in common" },
  hints: {
    one_concept: "no, partly, yes: in this order",
    specificity: "1 to 5, in this order",
    confidence: "low, medium, high: in this order",
    vote: "for or against a name as it is worded now",
    verdict: "whether somebody named a feature, or what they held against it",
    name: "the share of words that two names of a feature have in common; whether other words mean the same is not known",
  },
  columns: { what: "", alpha: "α", scale: "", raw: "Equal", units: "Compared", people: "People", opinions: "Opinions", missing: "Missing", single: "Alone" },
  columnHints: {
    alpha: "Krippendorff’s α: 1 is perfect agreement, 0 what chance gives. In brackets 95 %, by drawing what was compared anew",
    raw: "Of two opinions on the same, how often they are equal; of two names, the share of words in common. Each thing that was compared weighs alike",
    units: "Features or names on which two people or more have an opinion",
    missing: "How many opinions these people did not give on what was compared",
    single: "Features or names with one opinion, which say nothing of agreement",
  },
  inCampaign: "Opinions given in the campaign ",
  everything: "Show everything",
  undefined: "Not defined: nothing was said by two people, or everybody said the same throughout",
  interval: (low, high) => `${low} to ${high}`,
  nothing: (single) => (single ? `No two people have said anything of the same yet: ${plural(single, "opinion stands", "opinions stand")} alone.` : "Nobody has said anything yet."),
  byPair: "By two people",
  byTag: "By tag",
  byTime: "Over time",
  periods: { day: "By day", week: "By week", month: "By month" },
  from: (day) => `from ${day}`,
  and: " and ",
  note: "What was compared counts in the period of the last opinion on it. Opinions on earlier words of a name count no longer.",
};
