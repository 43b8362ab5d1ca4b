/** What the Evidence page says. */

import { formatValue } from "../lib/format.js";

export const evidence = {
  title: "Evidence",
  lead: "Whoever says that a model can be read must say what would prove them wrong. Layers of monosemantic feature neurons stand or fall by five predictions. One that fails is a result, too, and is shown as one.",
  emptyHeading: "Nothing has been measured of this model yet.",
  emptyHint: "A verdict takes experiments on held-out text with several trained models beside this one; no server can work it out from the model that it serves. This version of MFN Studio does not read such results. Below: each prediction, what would settle it, and what can be seen of it today.",
  verdicts: { open: { mark: "open", title: "No experiment has been read in." } },
  measure: "Measure",
  against: "Against",
  rule: "Holds if",
  today: "Today",
  known: "What the model card says",
  knownNote: "These are facts about one model, not verdicts on the predictions.",
  /** @type {Record<string, [string, (value: number) => string]>} */
  card: {
    cross_entropy: ["Held-out cross-entropy", (value) => `${formatValue(value)} nats a token`],
    dense_twin_cross_entropy: ["The same model without features", (value) => `${formatValue(value)} nats a token`],
    above_dense_twin_percent: ["Price of the features", (value) => `${formatValue(value)}% more cross-entropy`],
    tokens: ["Held-out tokens", (value) => value.toLocaleString("en-GB")],
  },
  noCard: "The model's card gives no figures on held-out text.",
  predictions: [
    {
      key: "P1",
      claim: "Features fire about as often as they were meant to, and overlap little.",
      measure: "Share of live features whose rate is within a factor of two of the target; features that never or hardly fire; how much the features of one token overlap.",
      against: "A sparse code with random directions",
      rule: "80% of the live features are near the target, and the overlap is below the random one.",
      today: ["Rates and dead features of every layer are on Home.", "/"],
    },
    {
      key: "P2",
      claim: "Concepts are read from single features better than from a sparse autoencoder trained afterwards.",
      measure: "Linear probes for labelled concepts: on the best feature, on a few, on all.",
      against: "A sparse autoencoder of the same size on the same model without features; probes on the stream itself",
      rule: "The best feature is at least 10% further above chance, by the lower end of the interval, and nothing is lost on all features.",
      today: ["Browse for a concept and look at what the nearest features fire on.", "/browse"],
    },
    {
      key: "P3",
      claim: "Models trained from other seeds find the same features.",
      measure: "One-to-one matching of features by how their activations correlate on the same text.",
      against: "Random encoders, and autoencoders on models of other seeds",
      rule: "The match is closer than both.",
      today: ["It takes models of several seeds; a server has one."],
    },
    {
      key: "P4",
      claim: "Turning a feature does what was predicted.",
      measure: "Rank correlation of predicted and measured changes of logits over a sweep of strengths, and what changes in unrelated text.",
      against: "Random directions of the same length",
      rule: "The median correlation is 0.8 or more, and above the random one.",
      today: ["For one feature and one prompt, Steer predicts and measures it while you look.", "/steer"],
    },
    {
      key: "P5",
      claim: "Features carry over to kinds of text that were never trained on.",
      measure: "How much perplexity is lost on such text, beside the loss on text of the kind that was trained on.",
      against: "A sparse autoencoder fine-tuned on it",
      rule: "At most 5% is lost.",
      today: ["Inspect any text and see what fires.", "/inspect"],
    },
  ],
};
