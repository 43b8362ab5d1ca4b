/** What the Steer page says at first; what comes later brings its own: turn-, stream-, setting-, share-, run- and preset-strings.js. */

import { formatInteger } from "../lib/format.js";

export const tokens = (count) => `${formatInteger(count)} ${count === 1 ? "token" : "tokens"}`;

export const steer = {
  title: "Steer",
  lead: "Turn features of the model and watch its text change as it is written, beside the text it writes untouched.",
  prompt: "Prompt",
  promptPlaceholder: "The text the model continues…",
  openings: "Or begin with",
  openingTexts: ["Once upon a time", "I watched this film last night and", "The history of the city", "def main():\n"],
  features: "Features turned",
  noFeatures: "None yet: both texts will be the same. Search for a feature below, click a token of a text to see what fired there, or take a preset.",
  meaning: "What do the numbers mean?",
  meaningText: "Values are in units of the code. A feature at value v moves the model's inner stream by α · s · v along the feature's direction, where s is the length (rms) of the stream at that token. Features in the middle of their range do best; far beyond the maximum the text falls apart.",
  settings: "Settings",
  /** @param {import("./steer-model.js").Settings} settings */
  settingsSummary: ({ max_new_tokens: length, temperature, top_p: topP, top_k: topK, min_p: minP, seed, ...rest }) => {
    const filters = [topP < 1 && `top-p ${topP}`, topK > 0 && `top-k ${topK}`, minP > 0 && `min-p ${minP}`];
    const chance = temperature === 0 ? ["likeliest token"] : [`temperature ${temperature}`, ...filters, `seed ${seed}`];
    const { repetition_penalty: repetition, frequency_penalty: frequency, presence_penalty: presence, stop, logit_bias: biases } = rest;
    const penalties = repetition !== 1 || frequency !== 0 || presence !== 0;
    const more = [penalties && "penalties", stop.length > 0 && "stops", biases.length > 0 && "token bias"];
    return [tokens(length), ...chance, ...more].filter(Boolean).join(" · ");
  },
  generate: "Generate",
  again: "Generate again",
  stop: "Stop",
  generateHint: "Ctrl + Enter",
  auto: "Write again when I change something",
  copy: "Copy",
  copies: { link: "Link", curl: "curl", python: "Python", openai: "OpenAI's client" },
  share: "Copy link",
  curl: "Copy as curl",
  python: "Copy as Python",
  openai: "Copy for OpenAI's client",
  plain: "Untouched",
  plainHint: "What the model writes by itself.",
  tokenHint: "Point at a token to see how likely it was, what else the model considered, and which features fired. Click to keep it.",
  steered: "Steered",
  steeredHint: "What it writes with your features turned.",
  stale: "You changed something since this was written.",
  movedMeanwhile: "Sliders moved while this was written. From the start it may read differently.",
  replay: "Replay with the same moves",
  broken: "The texts below stay as far as they came.",
  connectionBroke: "The connection broke off while the model was writing.",
  noPrompt: "Write a prompt first.",
  presets: "Presets",
  presetsLead: "Start from one of these",
  presetsFailed: "The presets could not be loaded.",
  savePreset: "Save as preset",
  version: (number) => `v${number}`,
  versionsOf: (name) => `Versions of “${name}”`,
  exportPresets: "Export presets",
  importPresets: "Import presets",
  imported: (created, changed, unchanged) => `Imported: ${created} new, ${changed} changed, ${unchanged} as they were.`,
  noJson: "This file is not JSON.",
  deletePreset: (name) => `Delete preset “${name}”`,
  deleted: (name) => `Deleted “${name}”.`,
  usePreset: (name) => `Use preset “${name}”`,
  turned: (count) => (count === 1 ? "1 feature" : `${count} features`),
  waiting: "Waiting for the model…",
  finished: "Both texts are written.",
  added: (name) => `Added ${name}.`,
  removed: "Feature removed.",
  idle: "",
  tooLong: (most) => `This is more than an address can hold (${formatInteger(most)} characters): it stays with this tab, a copied link does not carry it.`,
  writing: "Writing. Move a slider, and the text follows from its next token on.",
  followedLater: "This feature is followed from the next text on.",
  cameOut: ({ parting, streams: { plain, steered } }) => {
    if (!plain.tokens.length || !steered.tokens.length) return "";
    return parting === null ? "Both texts are the same." : `The texts part at token ${formatInteger(parting + 1)}.`;
  },
  draft: (prompt, count) => `You were steering “${prompt.length > 48 ? `${prompt.slice(0, 48)}…` : prompt}”${count ? ` with ${count === 1 ? "1 feature" : `${count} features`}` : ""}.`,
  addToDraft: "Add this to it",
  outOf: (label, min, max) => `${label} must lie between ${formatInteger(min)} and ${formatInteger(max)}.`,
  shortcuts: { generate: "Generate or stop", add: "Add a feature" },
  group: "Steer",
};

/** What the shades of tokens mean. */
export const colouring = {
  title: "Colour",
  kinds: { none: "Off", probability: "Probability", kl: "Change (KL)", feature: "Feature" },
  feature: "Feature to colour by",
  noFeature: "Turn a feature first, or choose one from what fired at a token",
  option: (id, name) => (name ? `${id} ${name}` : id),
  notes: {
    none: "",
    probability: "the model's own probability of the token",
    kl: "against the untouched text, until they part",
    feature: "what the feature did where the token was predicted",
  },
};

/** Runs that were kept; what their list says is in run-strings.js. */
export const history = { title: "History", run: "run", runs: "runs", empty: "nothing yet" };
