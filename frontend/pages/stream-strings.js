/** What is said of texts while they are written, and of one of their tokens. */

import { formatInteger, formatValue } from "../lib/format.js";
import { tokens } from "./steer-strings.js";

export const stream = {
  writing: "Writing…",
  written: (count, pace) => (pace === null ? tokens(count) : `${tokens(count)}, ${formatInteger(Math.round(pace))} a second`),
  broken: (count) => `Broke off after ${tokens(count)}`,
  breaksOff: "The text breaks off here.",
  changed: (step) => `From here, token ${step + 1}, your sliders' new values`,
  space: "space",
  reasons: { length: "", stop: "A text to stop at came next.", eos: "The model ends its text here.", context: "The model's context is full.", cancelled: "Stopped." },
};

export const detail = {
  title: "Token",
  probability: "Probability",
  logprob: (value) => `log probability ${value < 0 ? "−" : ""}${formatValue(Math.abs(value))}`,
  kl: "Change against untouched",
  klValue: (value) => `${formatValue(value)} nats`,
  alternatives: "Considered",
  chosen: "taken",
  fired: "What fired to predict it",
  firedPrompt: "What fires on it",
  watched: "What you follow",
  untouched: (value) => `was ${value}`,
  nothing: "No feature was reported here.",
  loading: "Looking…",
  add: "Add",
  addTitle: "Turn this feature",
  colour: "Colour",
  colourTitle: "Shade both texts by this feature",
  already: "Turned",
  prompt: "in the prompt",
  generated: (stream, step) => `${stream}, token ${step + 1}`,
  close: "Close",
};
