/** Words of scores: what a label is worth, and how far two of them expect the same. */

import { formatInteger, plural } from "../lib/format.js";

export const scores = {
  names: { detection: "detection", tokens: "F1", fuzzing: "fuzzing", intruder: "intruder", embedding: "embedding", simulation: "simulation" },
  means: {
    tokens: "Of the tokens on which the label expects it, on how many it fires; of its activation, how much the label expects. F1 of both; 0 is worst.",
    detection: "Of snippets, in some of which it fires: which ones? The share told right, those with a firing and those without counting alike.",
    fuzzing: "Of snippets with marks, on its firings or on other tokens: which marks are right?",
    intruder: "Of five snippets it fires in four: which is the fifth?",
    embedding: "How often a snippet in which it fires lies nearer to the label than one in which it does not.",
    simulation: "How far the strengths that the label has one expect follow the real ones: correlation over tokens.",
  },
  none: "no score",
  line: (name, value) => `${name} ${value}`,
  interval: (low, high) => `${low} to ${high}`,
  columns: { scorer: "Score", value: "Value", interval: "95 %", chance: "Chance", shuffled: "Another label", random: "Random token", n: "Answers", reader: "Read by", label: "Label", feature: "Feature" },
  list: "Labels by score",
  listNone: "No label has such a score yet.",
  order: "Order",
  orders: { asc: "the worst first", desc: "the best first" },
  more: (left) => `Show more (${left} left)`,
  carriedOut: "a program, at its word",
  unread: (count) => `${formatInteger(count)} unread`,
  about: "On text that nobody saw who wrote the label. 1 is best; chance is what guessing gives. With 95 % the true value lies in the interval, which is wide where answers are few. “Another label” is what a label of another feature scores here.",
  text: ({ corpus, documents }) => `${corpus}, ${plural(documents, "document", "documents")}`,
  agree: "How far names expect the same",
  between: (one, other) => `“${one}” and “${other}”`,
  kappa: (value, interval) => `κ ${value}${interval ? ` (${interval})` : ""}`,
  truth: (one, other) => `with where it fires ${one} and ${other}`,
  snippets: (count) => plural(count, "snippet", "snippets"),
  aboutAgree: "Asked of the same snippets, without any person: 1 is the same answer throughout, 0 what chance gives.",
};
