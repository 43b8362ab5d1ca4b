/** <mfn-shell>: header with navigation, and a banner that says when the index or the server is not ready. */

import { fill, h, svg } from "../lib/dom.js";
import { sentence } from "../lib/format.js";
import { session } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { currentTheme, onThemeChange, toggleTheme } from "../lib/theme.js";
import { showHelp } from "./help-overlay.js";

const PAGES = [
  { nav: "browse", href: "/browse" },
  { nav: "map", href: "/map" },
  { nav: "inspect", href: "/inspect" },
  { nav: "steer", href: "/steer" },
  { nav: "foreign", href: "/foreign", hidden: true }, // unless the server has any
];

class AppShell extends HTMLElement {
  #links = new Map();
  #banner = h("div", { class: "banner", role: "status" });
  #shown = "";

  connectedCallback() {
    const { signal } = (this.controller = new AbortController());
    const theme = h("button", { type: "button", class: "icon-button", onclick: toggleTheme });
    const home = h("a", { class: "brand", href: "/" }, mark(), h("span", {}, strings.appName));
    this.#links.set("home", home);
    const nav = h(
      "nav",
      { class: "site-nav", "aria-label": strings.nav.label },
      PAGES.map(({ nav: name, href, hidden = false }) => {
        const link = h("a", { href, hidden }, strings.nav[name]);
        this.#links.set(name, link);
        return link;
      }),
    );
    const help = h("button", { type: "button", class: "icon-button help-button", title: strings.nav.help, "aria-label": strings.nav.help, onclick: showHelp }, "?");
    this.append(h("header", { class: "site-header" }, home, nav, h("div", { class: "site-tools" }, help, theme)), this.#banner);

    const showTheme = () => {
      const dark = currentTheme() === "dark";
      theme.title = strings.nav.theme[dark ? "light" : "dark"];
      theme.setAttribute("aria-label", theme.title);
      fill(theme, themeIcon(dark));
    };
    showTheme();
    onThemeChange(showTheme, { signal });
    session.subscribe((state) => this.#showState(state), { signal });
  }

  disconnectedCallback() {
    this.controller.abort();
    this.replaceChildren();
  }

  /** Whether there are dashboards from elsewhere to be read. */
  showForeign(any) {
    this.#links.get("foreign").hidden = !any;
  }

  /** Mark one entry of the navigation as the current page; null for none. */
  setCurrent(nav) {
    for (const [name, link] of this.#links) {
      if (name === nav) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  #showState({ health, offline }) {
    const [text, hint, progress] = banner(health, offline);
    const shown = JSON.stringify([text, hint, progress]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#banner.classList.toggle("is-problem", offline || health?.index.state === "error");
    fill(
      this.#banner,
      text && h("span", {}, text),
      hint && h("span", { class: "muted" }, hint),
      progress !== null && h("progress", { max: 1, value: progress, "aria-label": text }),
    );
  }
}

function banner(health, offline) {
  const { shell } = strings;
  if (offline) return [shell.offline, null, null];
  if (!health) return [null, null, null];
  const { state, progress, message } = health.index;
  if (state === "building") return [shell.building(progress ?? 0), message || null, progress ?? 0];
  if (state === "missing") return message ? [sentence(message), null, null] : [shell.missing, shell.missingHint, null];
  if (state === "error") return [shell.indexError, message ? sentence(message) : null, null];
  if (!health.model_loaded) return [shell.loadingModel, null, null];
  return [null, null, null];
}

function mark() {
  const bars = [
    [3, 13, 6],
    [8, 9, 10],
    [13, 3, 16],
    [18, 11, 8],
  ];
  return svg(
    "svg",
    { class: "mark", viewBox: "0 0 24 22", width: 22, height: 20, "aria-hidden": "true" },
    bars.map(([x, y, height]) => svg("rect", { x, y, width: 3.4, height, rx: 1 })),
  );
}

function themeIcon(dark) {
  const path = dark
    ? "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10Zm0-5v2m0 16v2M4.2 4.2l1.500 1.500m12.600 12.600 1.500 1.500M2 12h2m16 0h2M4.200 19.800l1.500-1.500M18.300 5.700l1.500-1.500"
    : "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500Z";
  return svg("svg", { viewBox: "0 0 24 24", width: 18, height: 18, class: "stroke-icon", "aria-hidden": "true" }, svg("path", { d: path }));
}

customElements.define("mfn-shell", AppShell);
