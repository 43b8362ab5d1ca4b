/** <mfn-shell>: header with navigation, and a banner that says when the index or the server is not ready. */

import { announce, fill, h, svg } from "../lib/dom.js";
import { withSheets } from "../lib/sheets.js";
import { keyNames } from "../lib/shortcuts.js";
import { session } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { currentTheme, onThemeChange, toggleTheme } from "../lib/theme.js";
import { bannerOf } from "./banner.js";
import "./person-entry.js";
import { toast } from "./toast.js";

/** `primary`: also in the header of a phone, where the others are in the menu. `hidden`: unless the server has any. */
const PAGES = [
  { nav: "browse", href: "/browse", primary: true },
  { nav: "map", href: "/map" },
  { nav: "inspect", href: "/inspect", primary: true },
  { nav: "steer", href: "/steer", primary: true },
  { nav: "queue", href: "/label" },
  { nav: "evidence", href: "/evidence" },
  { nav: "foreign", href: "/foreign", hidden: true },
];
const BACK_MS = 4_000;

export class AppShell extends HTMLElement {
  /** @type {AbortController} */ controller;
  #links = []; // { nav, link }
  #banner = h("div", { class: "banner", role: "status" });
  #shown = "";
  #back = 0; // timer of the message that the server answers again
  #wasAway = false;

  connectedCallback() {
    const { signal } = (this.controller = new AbortController());
    const link = (nav, props, ...children) => {
      const made = h("a", props, ...children);
      this.#links.push({ nav, link: made });
      return made;
    };
    const pages = (only) => PAGES.filter(only).map(({ nav, href, primary, hidden = false }) => link(nav, { href, hidden, class: primary ? "is-primary" : null }, strings.nav[nav]));
    const themes = [h("button", { type: "button", class: "icon-button only-wide", onclick: toggleTheme }), h("button", { type: "button", class: "menu-row", onclick: toggleTheme })];
    const search = h(
      "button",
      { type: "button", class: "palette-button", "aria-haspopup": "dialog", "aria-keyshortcuts": "Control+K Meta+K", "aria-label": strings.nav.search, onclick: () => this.dispatchEvent(new CustomEvent("palette", { bubbles: true })) },
      icon("M10.500 3a7.500 7.500 0 1 0 0 15 7.500 7.500 0 0 0 0-15Zm5.500 13 5 5"),
      h("span", { class: "palette-button-text" }, strings.nav.search),
      h("span", { class: "palette-button-keys", "aria-hidden": "true" }, keyNames("Mod+k").map((key) => h("kbd", {}, key))),
    );
    const menu = h(
      "div",
      { id: "site-menu", class: "site-menu", popover: "auto" },
      h("nav", { "aria-label": strings.nav.menu }, link("home", { href: "/" }, strings.nav.home), pages(() => true), link("settings", { href: "/settings" }, strings.nav.settings)),
      themes[1],
      h("button", { type: "button", class: "menu-row", onclick: () => { menu.hidePopover(); this.showHelp(); } }, strings.nav.help),
    );
    this.append(
      h(
        "header",
        { class: "site-header" },
        link("home", { class: "brand", href: "/", "aria-label": strings.appName }, mark(), h("span", {}, strings.appName)),
        h("nav", { class: "site-nav", "aria-label": strings.nav.label }, pages(() => true)),
        h(
          "div",
          { class: "site-tools" },
          search,
          h("person-entry"),
          h("button", { type: "button", class: "icon-button only-wide", title: strings.nav.help, "aria-label": strings.nav.help, onclick: () => this.showHelp() }, "?"),
          link("settings", { href: "/settings", class: "button icon-button only-wide", title: strings.nav.settings, "aria-label": strings.nav.settings }, icon("M4 7h9m5 0h2M4 17h2m5 0h9M13 7a2.500 2.500 0 1 0 5 0 2.500 2.500 0 0 0-5 0ZM6 17a2.500 2.500 0 1 0 5 0 2.500 2.500 0 0 0-5 0Z")),
          themes[0],
          h("button", { type: "button", class: "icon-button only-narrow", popovertarget: menu.id, "aria-label": strings.nav.menu, title: strings.nav.menu }, icon("M4 7h16M4 12h16M4 17h16")),
        ),
        menu,
      ),
      this.#banner,
    );
    menu.addEventListener("click", (event) => event.target.closest("a, button") && menu.hidePopover());

    const showTheme = () => {
      const dark = currentTheme() === "dark";
      const words = strings.nav.theme[dark ? "light" : "dark"];
      themes[0].title = words;
      themes[0].setAttribute("aria-label", words);
      fill(themes[0], themeIcon(dark));
      fill(themes[1], words);
    };
    showTheme();
    onThemeChange(showTheme, { signal });
    session.subscribe((state) => this.#showState(state), { signal });
  }

  disconnectedCallback() {
    this.controller.abort();
    this.#links = [];
    this.replaceChildren();
  }

  /** What keys there are on this page. */
  async showHelp() {
    try {
      const { showHelp } = await withSheets(import("./help-overlay.js"), "help");
      showHelp();
    } catch {
      toast(strings.shell.moduleFailed, { kind: "error" }); // the server is away: the banner says more
    }
  }

  /** Whether there are dashboards from elsewhere to be read. */
  showForeign(any) {
    for (const { nav, link } of this.#links) if (nav === "foreign") link.hidden = !any;
  }

  /** Mark one entry of the navigation as the current page; null for none. */
  setCurrent(current) {
    for (const { nav, link } of this.#links) {
      if (nav === current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** For some seconds, once all is well again. */
  #sayBack() {
    this.#wasAway = false;
    announce(strings.shell.back);
    clearTimeout(this.#back);
    this.#back = setTimeout(() => {
      this.#back = 0;
      this.#showState(session.state);
    }, BACK_MS);
  }

  #showState(state) {
    const trouble = bannerOf(state);
    if (isAway(state)) this.#wasAway = true;
    else if (this.#wasAway && !trouble) this.#sayBack();
    const { kind, text, hint, progress, action } = trouble ?? (this.#back ? { kind: "good", text: strings.shell.back } : {});
    const shown = JSON.stringify([kind, text, hint, progress]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#banner.dataset.kind = kind ?? "";
    fill(
      this.#banner,
      text && h("span", {}, text),
      hint && h("span", { class: "muted" }, hint),
      progress !== undefined && h("progress", { max: 1, value: progress, "aria-label": text }),
      action && h("button", { type: "button", class: "banner-action", onclick: action.run }, action.text),
    );
  }
}

/** Whether something that was there is not: the server, or its model. */
const isAway = ({ offline, health, wasLoaded }) => offline || (wasLoaded && !health?.model_loaded);

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

const icon = (path) => svg("svg", { viewBox: "0 0 24 24", width: 18, height: 18, class: "stroke-icon", "aria-hidden": "true" }, svg("path", { d: path }));

const themeIcon = (dark) =>
  icon(
    dark
      ? "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10Zm0-5v2m0 16v2M4.200 4.200l1.500 1.500m12.600 12.600 1.500 1.500M2 12h2m16 0h2M4.200 19.800l1.500-1.500M18.300 5.700l1.500-1.500"
      : "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500Z",
  );

customElements.define("mfn-shell", AppShell);
