/** What the landing page says. */

import { formatCompact, formatInteger, plural } from "../lib/format.js";

export const home = {
  title: "Home",
  lead: "Every block of this language model thinks in named features. See what each one fires on, and turn it while the model writes.",
  searchPlaceholder: "A word, a name, a language…",
  searchLabel: "Search features",
  search: "Search",
  browse: "Browse",
  browseHint: (count) => `${formatInteger(count)} features: what they fire on, what they write, how often.`,
  browseLinks: [
    ["Most frequent", "/browse"],
    ["Strongest", "/browse?sort=max"],
    ["Rare", "/browse?max_rate=0.001"],
    ["Named", "/browse?status=labelled"],
  ],
  inspect: "Inspect",
  inspectHint: "Paste a text and see which features fire on each token, layer by layer.",
  inspectTexts: ["The film was a complete waste of time.", "def area(width, height):\n    return width * height", "Le chat dort près de la fenêtre."],
  steer: "Steer",
  steerHint: "Turn features up or off and watch the text change beside the untouched one.",
  steerPrompts: ["The film was", "Once upon a time"],
  layers: "Layers",
  layer: "Layer",
  alive: "Alive",
  dead: "Dead",
  named: "Named",
  namedTitle: (people, automatic) => `${formatInteger(people)} by people, ${formatInteger(automatic)} automatically`,
  fvu: "FVU",
  l0: "L0",
  alpha: "α",
  layersNote:
    "FVU: share of the variance of the stream that the code does not explain; 0 is perfect, 1 no better than the mean. L0: features that fire on a token, on average. α: how much of the stream passes through the code.",
  facts: {
    parameters: (n) => `${formatCompact(n)} parameters`,
    layers: (n) => plural(n, "block", "blocks"),
    width: (n) => `width ${formatInteger(n)}`,
    vocabulary: (n) => `vocabulary ${formatInteger(n)}`,
    context: (n) => `context ${formatInteger(n)}`,
  },
  corpus: (name, documents, tokens) => `Features are shown on ${name}: ${plural(documents, "document", "documents")}, ${formatCompact(tokens)} tokens.`,
  card: "Model card",
  fingerprint: "Fingerprint",
};
