/** Starts the dashboard: routes, header, shortcuts, and the watch over the server's health. */

import "./components/app-shell.js";
import "./components/state-view.js";
import { showHelp } from "./components/help-overlay.js";
import { api } from "./lib/api.js";
import { h } from "./lib/dom.js";
import { Page } from "./lib/page.js";
import { Router, navigate } from "./lib/router.js";
import { addShortcut, startShortcuts } from "./lib/shortcuts.js";
import { loadModel, watchHealth } from "./lib/store.js";
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
  { path: "/feature/:source/:index", tag: "feature-page", nav: "browse", load: () => both(import("./pages/feature.js"), "feature") },
  { path: "/inspect", tag: "inspect-page", nav: "inspect", load: () => both(import("./pages/inspect.js"), "inspect") },
  ...["/foreign", "/foreign/:source", "/foreign/:source/:index"].map((path) => ({ path, tag: "foreign-page", nav: "foreign", load: () => both(import("./pages/foreign.js"), "feature", "foreign") })),
  { path: "/steer", tag: "steer-page", nav: "steer", load: () => both(import("./pages/steer.js"), "steer", "presets", "effect") },
];

/** Waits for a page's module and its style sheets, later ones over earlier ones, so that nothing is ever shown unstyled. */
async function both(module, ...sheets) {
  await Promise.all(sheets.map(styled));
  return module;
}

async function styled(sheet) {
  const href = `/assets/styles/${sheet}.css`;
  if (document.head.querySelector(`link[href="${href}"]`)) return;
  const link = h("link", { rel: "stylesheet", href });
  const loaded = new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => {
      link.remove();
      reject(new Error(href));
    });
  });
  document.head.append(link);
  await loaded;
}

class NotFoundPage extends Page {
  onRoute() {
    this.setTitle(strings.shell.notFound);
    this.replaceChildren(
      h("state-view", { kind: "empty", heading: strings.shell.notFound, hint: strings.shell.notFoundHint, href: "/", action: strings.nav.home }),
    );
  }
}
customElements.define("not-found-page", NotFoundPage);

const main = document.getElementById("main");
const shell = document.querySelector("mfn-shell");

const router = new Router(main, routes, {
  notFound: "not-found-page",
  onChange: (route) => shell.setCurrent(route?.nav ?? null),
  onError: (error, retry) => {
    const view = h("state-view", { kind: "error", heading: strings.shell.moduleFailed, hint: error.message, action: strings.errors.retry });
    view.addEventListener("action", retry);
    main.replaceChildren(view);
  },
});

const group = strings.help.groups.everywhere;
addShortcut("/", strings.help.search, focusSearch, { group });
addShortcut("g h", strings.help.home, () => navigate("/"), { group });
addShortcut("g b", strings.help.browse, () => navigate("/browse"), { group });
addShortcut("g m", strings.help.map, () => navigate("/map"), { group });
addShortcut("g i", strings.help.inspect, () => navigate("/inspect"), { group });
addShortcut("g s", strings.help.steer, () => navigate("/steer"), { group });
addShortcut("t", strings.help.theme, toggleTheme, { group });
addShortcut("?", strings.help.help, showHelp, { group });

/** A page that can be searched marks its field with `data-search`; from any other page, search is on Browse. */
function focusSearch() {
  const field = main.querySelector("[data-search]");
  if (field) {
    field.focus();
    field.select();
  } else {
    navigate("/browse?focus=search");
  }
}

startShortcuts();
watchHealth({ signal: new AbortController().signal });
loadModel().catch(() => {}); // pages that need the model ask again and show the error
api.foreign().then(({ sources }) => shell.showForeign(sources.length > 0)).catch(() => {}); // the page itself says what went wrong
router.start();
