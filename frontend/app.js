/** Starts the dashboard: routes, header, shortcuts, and the watch over the server's health. */

import "./components/app-shell.js";
import "./components/state-view.js";
import { openPalette } from "./components/palette-dialog.js";
import { toast } from "./components/toast.js";
import { NOT_SERVED, api, onLoginNeeded } from "./lib/api.js";
import { h } from "./lib/dom.js";
import { Page } from "./lib/page.js";
import { loadPerson, loginPath, mustLogIn } from "./lib/person.js";
import { Router, navigate } from "./lib/router.js";
import { choose, setting } from "./lib/settings.js";
import { withSheets as both } from "./lib/sheets.js";
import { addShortcut, startShortcuts } from "./lib/shortcuts.js";
import { loadModel, onStale, watchHealth } from "./lib/store.js";
import { strings } from "./lib/strings.js";
import { toggleTheme } from "./lib/theme.js";

/**
 * A new page is one file in pages/, one in styles/ and one line here. `nav` marks its entry in the header.
 * A page's code and style sheet are fetched when it is first visited.
 */
const routes = [
  { path: "/", tag: "home-page", nav: "home", load: () => both(import("./pages/home.js"), "home") },
  { path: "/browse", tag: "browse-page", nav: "browse", load: () => both(import("./pages/browse.js"), "list", "browse") },
  { path: "/map", tag: "map-page", nav: "map", load: () => both(import("./pages/map.js"), "list", "map") },
  { path: "/feature/:source/:index", tag: "feature-page", nav: "browse", load: () => both(import("./pages/feature.js"), "feature", "histogram") },
  { path: "/inspect", tag: "inspect-page", nav: "inspect", load: () => both(import("./pages/inspect.js"), "hits", "inspect") },
  ...["/foreign", "/foreign/:source", "/foreign/:source/:index"].map((path) => ({ path, tag: "foreign-page", nav: "foreign", load: () => both(import("./pages/foreign.js"), "feature", "foreign") })),
  { path: "/compare", tag: "compare-page", nav: "browse", load: () => both(import("./pages/compare.js"), "feature", "feature-picker", "compare") },
  ...["/label", "/label/:campaign", "/label/:campaign/:view"].map((path) => ({ path, tag: "label-page", nav: "queue", load: () => both(import("./pages/label.js"), "feature", "histogram", "rubric", "queue") })),
  { path: "/collections", tag: "collections-page", nav: "browse", load: () => both(import("./pages/collections.js"), "collections") },
  { path: "/collection/:id", tag: "collection-page", nav: "browse", load: () => both(import("./pages/collection.js"), "collections") },
  { path: "/steer", tag: "steer-page", nav: "steer", load: () => both(import("./pages/steer.js"), "steer", "steer-form", "feature-picker", "streams") },
  { path: "/evidence", tag: "evidence-page", nav: "evidence", load: () => both(import("./pages/evidence.js"), "evidence") },
  { path: "/agreement", tag: "agreement-page", nav: "queue", load: () => both(import("./pages/agreement.js"), "agreement") },
  { path: "/person/:id", tag: "person-page", nav: "queue", load: () => both(import("./pages/person.js"), "labels") },
  { path: "/settings", tag: "settings-page", nav: "settings", load: () => both(import("./pages/settings.js"), "settings") },
  { path: "/login", tag: "login-page", load: () => both(import("./pages/login.js"), "people") },
  ...["/join", "/reset"].map((path) => ({ path, tag: "join-page", load: () => both(import("./pages/join.js"), "people") })),
  { path: "/account", tag: "account-page", load: () => both(import("./pages/account.js"), "people") },
  { path: "/people", tag: "people-page", load: () => both(import("./pages/people.js"), "people") },
];

class NotFoundPage extends Page {
  onRoute() {
    this.setTitle(strings.shell.notFound);
    this.replaceChildren(
      h("state-view", { kind: "empty", heading: strings.shell.notFound, hint: strings.shell.notFoundHint, href: "/", action: strings.nav.home }),
    );
  }
}
customElements.define("not-found-page", NotFoundPage);

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const shell = /** @type {import("./components/app-shell.js").AppShell} */ (document.querySelector("mfn-shell"));

const router = new Router(main, routes, {
  notFound: "not-found-page",
  onChange: (route) => shell.setCurrent(route?.nav ?? null),
  onError: (_error, retry) => {
    const view = h("state-view", { kind: "error", heading: strings.shell.moduleFailed, hint: strings.errors.notFetchedHint, action: strings.errors.retry });
    view.addEventListener("action", retry);
    main.replaceChildren(view);
    dispatchEvent(new CustomEvent(NOT_SERVED)); // most likely the server is away; when it is back, so is the page
    const once = new AbortController();
    onStale(() => {
      once.abort();
      if (view.isConnected) retry();
    }, { signal: once.signal });
  },
});

const group = strings.help.groups.everywhere;
addShortcut(["Mod+k", "/"], strings.help.palette, ({ key }) => (key === "/" && focusSearch()) || openPalette(), { group });
for (const [keys, page, path] of [["g h", "home", "/"], ["g b", "browse", "/browse"], ["g m", "map", "/map"], ["g i", "inspect", "/inspect"], ["g s", "steer", "/steer"], ["g c", "compare", "/compare"], ["g e", "evidence", "/evidence"], ["g l", "queue", "/label"], ["g ,", "settings", "/settings"]]) {
  addShortcut(keys, strings.help[page], () => navigate(path), { group });
}
addShortcut("g o", strings.help.collections, () => navigate("/collections"), { group });
addShortcut(null, strings.help.agreement, () => navigate("/agreement"), { group });
addShortcut("t", strings.help.theme, toggleTheme, { group });
addShortcut(null, strings.help.compact, () => choose("density", setting("density") === "compact" ? "comfortable" : "compact"), { group });
addShortcut("c", strings.help.copyLink, copyLink, { group });
addShortcut("?", strings.help.help, () => shell.showHelp(), { group });
shell.addEventListener("palette", openPalette);

/** A page with a search of its own marks its field with `data-search`: there, "/" is for that. */
function focusSearch() {
  const field = /** @type {HTMLInputElement|null} */ (main.querySelector("[data-search]"));
  field?.focus();
  field?.select();
  return field !== null;
}

/** A URL holds the whole state of its page. */
async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    toast(strings.help.copied);
  } catch {
    toast(strings.help.notCopied, { kind: "error" }); // not allowed, or no secure context: http on another host
  }
}

startShortcuts();
watchHealth({ signal: new AbortController().signal });
onLoginNeeded(async () => (await both(import("./components/login-dialog.js"), "people")).askToLogIn());

/** Where people log in, nothing is asked for before somebody has: the login page comes first, and loads all anew. */
async function start() {
  const out = await loadPerson().then(({ accounts, person }) => accounts && !person, () => false); // else each page says what went wrong
  if (out && mustLogIn()) navigate(loginPath(), { replace: true });
  if (!out) {
    loadModel().catch(() => {}); // pages that need the model ask again and show the error
    api.foreign().then(({ sources }) => {
      shell.showForeign(sources.length > 0);
      if (sources.length) addShortcut(null, strings.help.foreign, () => navigate("/foreign"), { group });
    }).catch(() => {}); // the page itself says what went wrong
  }
  router.start();
}

start();
