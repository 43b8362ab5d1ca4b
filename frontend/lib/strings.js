/** What the interface says everywhere. What one page says stands beside it in pages/…-strings.js, so that it can be translated. */

import { formatValue } from "./format.js";

export const strings = {
  appName: "MFN Studio",

  nav: {
    label: "Pages",
    home: "Home",
    browse: "Browse",
    map: "Map",
    inspect: "Inspect",
    steer: "Steer",
    queue: "Label",
    evidence: "Evidence",
    foreign: "Elsewhere",
    settings: "Settings",
    menu: "Menu",
    search: "Search or act",
    theme: { light: "Switch to the light theme", dark: "Switch to the dark theme" },
    help: "Keyboard shortcuts",
  },

  person: { logIn: "Log in", account: (name) => `${name}: your account` },

  shell: {
    building: (progress) => `The index of features is being built: ${Math.floor(progress * 100)}%`,
    missing: "There is no index of features yet.",
    missingHint: "Run “mfn index” with a corpus to build one.",
    indexError: "Building the index failed.",
    loadingModel: "The model is being loaded…",
    offline: "The server does not answer. Trying again every second; nothing you typed is lost.",
    back: "The server answers again.",
    restarting: "The model is started again. Browsing goes on; what needs the model waits a moment. Nothing you typed is lost.",
    updated: (version) => `The server is now MFN Studio ${version}. This page is of the version before.`,
    reload: "Load it anew",
    notFound: "There is no such page.",
    notFoundHint: "The address may be mistyped, or the page may have moved.",
    moduleFailed: "This page could not be loaded.",
  },

  help: {
    title: "Keyboard shortcuts",
    or: "or",
    close: "Close",
    groups: { everywhere: "Everywhere", browse: "Browse", feature: "Feature", compare: "Compare", queue: "Label" },
    palette: "Search, go to, or do anything",
    search: "Search",
    copyLink: "Copy the link to what is shown",
    copied: "The link is on the clipboard.",
    notCopied: "The clipboard cannot be reached. The link is in the address bar.",
    compact: "Show more on the screen, or less",
    help: "Show this help",
    home: "Go to Home",
    browse: "Go to Browse",
    map: "Go to Map",
    inspect: "Go to Inspect",
    steer: "Go to Steer",
    evidence: "Go to Evidence",
    agreement: "See how far people agree",
    queue: "Go to Label",
    compare: "Go to Compare",
    settings: "Go to Settings",
    foreign: "Go to dashboards from elsewhere",
    theme: "Switch between light and dark",
    next: "Next feature",
    previous: "Previous feature",
    open: "Open the feature",
    choose: "Choose it, or give it up (also Space; with Shift, all up to there)",
    chooseNone: "Choose none",
    moves: { PageDown: "A page down", PageUp: "A page up", Home: "To the first", End: "To the last" },
    nextFeature: "Next feature of the layer",
    previousFeature: "Previous feature of the layer",
    steerFeature: "Steer with this feature",
    nameFeature: "Name this feature",
    tryFeature: "Try a text",
    turnFeature: "Turn it here",
    viewFeature: "Show contexts in full, or as snippets",
  },

  palette: {
    label: "Go to a feature or a page, search, or do something",
    placeholder: "A feature (3/812), a word, a page, an action…",
    results: "Results",
    groups: { recent: "Seen lately", features: "Features", presets: "Presets", search: "Search" },
    browse: (query) => `Search features for “${query}”`,
    inspect: (query) => `Inspect the text “${query}”`,
    goTo: "go to",
    nothing: "Nothing fits.",
    found: (count) => (count === 1 ? "1 result" : `${count} results`),
    searching: "Searching…",
    keys: { move: "move", act: "open", close: "close" },
  },

  errors: {
    title: "That did not work.",
    retry: "Try again",
    retryIn: (seconds) => `Try again in ${Math.ceil(seconds)} s`,
    notFetched: "This part could not be loaded.",
    notFetchedHint: "The server may be away for a moment. If it stays so, load the page anew.",
    unreachable: "The server does not answer.",
    unreachableHint: "Is it still running? Start it with “mfn demo” or “mfn serve”.",
    badAnswer: "The server's answer could not be read.",
    status: (status) => `The server refused the request (HTTP ${status}).`,
  },

  token: {
    bytes: "part of a character (bytes in hexadecimal)",
    special: "special token",
    control: (name) => `a character that nobody sees: ${name}`,
    strength: (text, value) => `${text}  ${formatValue(value)}`,
    strongest: (strengths) => `${strengths} (strongest here)`,
    legend: "activation",
  },

  list: {
    choose: (id) => `Choose ${id}`,
    chooseTitle: "Choose (Space); with Shift, all up to here",
  },
  label: {
    automatic: "automatic",
    automaticShort: "auto",
    automaticTitle: "A program wrote this, and no person.",
  },

  /** Of features that fire, but hardly; by status. */
  rareness: {
    ultra_rare: { mark: "ultra-rare", title: "It fires on fewer than one token in a million of the indexed corpus." },
    undetermined: { mark: "seldom", title: "It fired fewer than 10 times. Whether it is ultra-rare (fewer than one token in a million) cannot be told: fewer than 3 million tokens were read." },
  },

  states: { loading: "Loading…", slow: "This takes longer than it should. It goes on; there is no need to load the page anew." },
};
