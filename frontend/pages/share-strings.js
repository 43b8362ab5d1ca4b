/** What is said when something of the Steer page is copied, and of links to runs. */

import { formatInteger } from "../lib/format.js";

export const share = {
  shared: "Link copied. It holds the prompt, the features and the settings.",
  linkTooLong: (most) => `Link copied, but it is longer than the ${formatInteger(most)} characters that the server takes.`,
  withRun: "Link copied. Who opens it gets this text again, and is told if anything differs.",
  withoutMoves: "Link copied, without the moves of the sliders: there are more than an address can hold.",
  otherModel: (fingerprint) => `This link was made with another model (fingerprint ${fingerprint}…): its features are not those of this one.`,
  otherBuild: (name, there, here) => `${name}: ${there} there, ${here} here.`,
  build: { version: "MFN Studio", torch: "PyTorch", transformers: "transformers", device: "Device", cpu: "Processor", threads: "Threads", dtype: "Number format", rows: "Streams in one pass" },
  buildLead: "This link was made on another build, on which sums are rounded in another order, so the text may come out different.",
  comparing: "When both texts are written, they are compared with those of the link.",
  exact: "Reproduced: both texts and every probability are those of the link, bit for bit.",
  text: "Reproduced: both texts are those of the link. Their probabilities differ in the last digits.",
  other: "Not reproduced: the text is not the one that the link was made from.",
  otherHere: "Model, build and settings are the same, so something else has changed what the model computes.",
};

export const copying = {
  curled: "Command copied.",
  pythoned: "Program copied. It needs nothing but Python, and prints the steered text while it is written.",
  openaied: "Program copied. It needs OpenAI's client (pip install openai) and has the steered text written.",
  noModel: "The model is not there yet: its name is part of the program.",
  copyFailed: "The browser did not allow copying. Copy it from here:",
  close: "Close",
};
