/** What the Feature page and its components say. */

import { formatInteger, formatPercent, formatR2, formatSigned, formatValue, plural } from "../lib/format.js";

export const feature = {
  title: (id, name) => (name ? `${name} (${id})` : id),
  breadcrumb: "Layer",
  unnamed: "Fires on",
  writes: "Promotes",
  collect: "Collect",
  collectTitle: "Put it into a collection",
  compare: "Compare",
  dead: "Never fired on the indexed corpus",
  deadHint: "So there is nothing to show that it fires on. What it would write to the output is known from its weights alone.",
  stats: {
    rate: "fires on",
    rateTitle: (count, tokens) => `${formatInteger(count)} of ${formatInteger(tokens)} tokens`,
    ofTokens: "of tokens",
    mean: "mean when on",
    max: "maximum",
    count: "firings",
    tokenR2: "token R²",
  },
  previous: "Previous feature of the layer",
  next: "Next feature of the layer",
  steer: "Steer with this",
  bench: { label: "Do it here", try: "Try a text", turn: "Turn it" },
  turn: {
    prompt: "The text that it begins with",
    initial: "Once upon a time",
    strength: "Strength, in maxima of the feature on the corpus",
    off: "off",
    isOff: "off (0)",
    value: (value, times) => `${value} (${times} × maximum)`,
    write: "Write",
    writing: "Writing… The slider works meanwhile.",
    hint: "Both texts are written side by side, the likeliest token at each step.",
    broken: "The stream ended early; what was written stays.",
    done: (parting, tokens) => (parting === null ? "Both texts came out the same at this strength." : `The texts part at token ${parting + 1} of ${tokens}.`),
    streams: { plain: "Untouched", steered: "Turned" },
    steer: "Open on Steer",
  },
  sweep: {
    run: "Dose and response",
    hint: "How the next token after this text changes with the strength.",
    working: "Trying strengths…",
    done: (count) => `${count} strengths were tried.`,
    strength: "Strength",
    kl: "Change (KL, nats)",
  },
  name: {
    open: "Name it",
    rename: "Propose another name",
    saved: "Proposed. Nothing anyone wrote before is lost.",
    proposals: (count) => `Names (${formatInteger(count)})`,
    unclear: "unclear",
    confidence: { high: "high confidence", medium: "medium confidence", low: "low confidence" },
  },
  tryIt: {
    title: "Try it",
    label: "Type a text and see where this feature fires",
    placeholder: "Type a text to try it",
    run: "Try",
    silent: "It does not fire anywhere in this text.",
    result: (firings, tokens, max) => `Fires on ${firings} of ${plural(tokens, "token", "tokens")}, at most ${formatValue(max)}`,
    against: (share) => `${formatPercent(share)} of its maximum on the corpus`,
  },
  contexts: {
    title: "Strongest contexts",
    snippet: "Snippets",
    full: "Full",
    expand: "Show the whole context",
    collapse: "Show only the part around the peak",
    keys: "(← →: the values)",
    none: "There are no stored contexts.",
    shown: (shown, all) => (shown === all ? `${all}, all different` : `${shown} different ones of ${all}`),
    folded: (count) => `×${count}`,
    foldedTitle: (count) => `${count} contexts with the same text around the peak, shown once`,
    peak: "Peak activation",
    where: (document, start) => `document ${document}, from token ${start}`,
  },
  bands: {
    title: "Over the whole range",
    note: "A fair sample from each tenth of its firings, strongest tenth first. The edges are ranks, not equal steps of activation; where many firings tie, a band holds more or less than a tenth.",
    /** 0 is the weakest tenth of the firings, 9 the strongest. */
    band: (decile) => (decile === 9 ? "Strongest tenth" : decile === 0 ? "Weakest tenth" : `${decile * 10} to ${decile * 10 + 10}%`),
    range: (low, high) => `${formatValue(low)} to ${formatValue(high)}`,
    share: (count, share) => `${plural(count, "firing", "firings")}, ${formatPercent(share)}`,
    none: "No sample stored for this band.",
  },
  logits: {
    promoted: "Promotes",
    suppressed: "Suppresses",
    note: "Its direct effect on the output: decoder direction times unembedding, a lens and not a prediction.",
    token: "Token",
    logit: "Logit",
  },
  histogram: {
    title: "Activations",
    axis: "activation (log scale)",
    count: "firings",
    table: "As a table",
    from: "From",
    to: "To",
    tried: "your text",
    bin: (low, high, count) => `${low} to ${high}: ${count}`,
    summary: (count, low, high) => `Histogram of ${plural(count, "firing", "firings")} between ${formatValue(low)} and ${formatValue(high)}.`,
  },
  neighbours: {
    title: "Nearest decoder directions",
    none: "No neighbours are stored.",
    cosine: "cosine",
  },
  firesOn: {
    title: "Fires on",
    note: "Share of its firings that fall on this token.",
    counted: (share) =>
      share === 0 ? "Not known: it fires on too many different tokens to keep count of." : `Counted on a fair sample of ${formatPercent(share)} of all tokens, since it fires on very many different ones.`,
  },
  firesBefore: {
    title: "Fires before",
    note: "Share of its firings that this token comes next after.",
    none: "No token came next after any of its sampled firings.",
    unknown: "This index is from before it was counted what comes next. Index the corpus anew to see it.",
    counted: (firings, all) => (firings === all ? "Counted on all its firings." : `Counted on a fair sample: ${formatInteger(firings)} of its ${plural(all, "firing", "firings")}.`),
  },
  cofiring: {
    title: "Fires together with",
    none: "Nothing fires together with it clearly more often than chance.",
    unknown: "This index is from before it was counted what fires together. Index the corpus anew to see it.",
    lift: (lift) => `${formatValue(lift)} ×`,
    liftTitle: (lift, joint) => `They fire on the same token ${formatValue(lift)} times as often as by chance: ${plural(joint, "time", "times")} in the sample.`,
    joint: "tokens on which both fire",
    counted: (tokens, all, firings) =>
      `${tokens === all ? `Counted on all ${plural(tokens, "token", "tokens")} of the corpus` : `Counted on ${formatInteger(tokens)} tokens drawn fairly from ${formatInteger(all)}`}; it fires on ${formatInteger(firings)} of them. In order of the evidence (G²), not of lift.`,
  },
  /** What token R² says; `few` firings in one half of the corpus, or null where there are enough. */
  tokenR2: (r2, few) => {
    const figure = `Token R² ${formatR2(r2)}`;
    if (few !== null) return `${figure} means little here: the feature fires only ${plural(few, "time", "times")} in one half of the corpus.`;
    if (r2 < 0.005) return `${figure}: the current token alone explains nothing of where and how strongly it fires; it is all context.`;
    if (r2 >= 0.995) return `${figure}: the current token alone explains all of where and how strongly it fires.`;
    return `${figure}: the current token alone explains ${Math.round(r2 * 100)}% of where and how strongly it fires; the rest is context.`;
  },
  unknown: "There is no such feature.",
  notReady: "Features can be shown once there is an index.",
  browse: "Browse all features",
};

/** What the weights alone say. */
export const weights = {
  pending: "Being worked out from the weights: a moment.",
  elsewhereTitle: "Alike in other layers, and opposite",
  nearestElsewhere: "Nearest in other layers",
  opposite: "Opposite, in all layers",
  cosine: "cosine of what the two write",
  connectionsTitle: "Connections",
  from: (layer) => `From layer ${layer}`,
  to: (layer) => `To layer ${layer}`,
  virtualWeight: "virtual weight: what one writes, read by the other",
  connectionsNote: "The direct path alone, along the skip connection. Attention and MLPs in between add to it, often more.",
  noPath: "No layer before or after it reads or writes the stream directly.",
  agreement: (cosine) => `What it reads and what it writes have a cosine of ${formatSigned(cosine)}.`,
  deviations: (edge) => (edge === 0 ? "0" : `${edge < 0 ? "−" : "+"}${Math.abs(edge)} σ`),
  logits: ({ std, skewness, kurtosis }) =>
    skewness === null
      ? "It moves no token's logit."
      : `All logits: standard deviation σ ${formatValue(std)}, skewness ${formatSigned(skewness)}, excess kurtosis ${formatSigned(kurtosis)}.`,
};
