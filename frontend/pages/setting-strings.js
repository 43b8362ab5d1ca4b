/** What the settings of the Steer page say once they are opened. */

import { formatInteger } from "../lib/format.js";

export const settings = {
  hints: {
    temperature: "0 always takes the likeliest token",
    top_p: "Only the likeliest tokens that together reach this probability",
    top_k: "Only so many of the likeliest tokens; 0 for all",
    min_p: "Only tokens with at least this share of the likeliest one's probability",
    repetition_penalty: "Above 1 against tokens that the prompt or the text has already",
    frequency_penalty: "Taken from a token's logit for each time that the text has it",
    presence_penalty: "Taken once from the logit of each token that the text has",
    seed: "Of the random numbers; both texts share them",
  },
  stopAt: "Stop at",
  stopPlaceholder: "One text a line",
  stopHint: "A text ends before any of these, one a line. \\n stands for a line break, \\t for a tab.",
  tooManyStops: (most) => `At most ${most} texts to stop at.`,
  longStop: (most) => `A text to stop at has at most ${most} characters.`,
};

/** Tokens that are made likelier or less likely. */
export const bias = {
  title: "Token bias",
  token: "Token to make likelier or less likely",
  placeholder: "Text, with its space",
  hint: "Added to the logits of the tokens that this text is. Most words begin with a space.",
  add: "Add",
  added: (names) => `Added ${names.join(", ")}.`,
  value: (name) => `Added to the logit of “${name}”`,
  remove: (name) => `Remove “${name}”`,
  unnamed: (id) => `token ${id}`,
  tooMany: (most) => `At most ${formatInteger(most)} tokens.`,
};
