/**
 * What the command palette offers: features by id or by what they are called, what was seen lately, pages and actions
 * (whatever is registered in lib/shortcuts.js), presets, a search. The focus stays in the field, arrows move the choice.
 */

import { api, isAbort } from "../lib/api.js";
import { debounce, fill, h } from "../lib/dom.js";
import { findReference } from "../lib/feature-ref.js";
import { featureId, featureName, featurePath } from "../lib/format.js";
import { fuzzyFilter } from "../lib/fuzzy.js";
import { recentFeatures } from "../lib/recent.js";
import { navigate } from "../lib/router.js";
import { keyNames, listActions } from "../lib/shortcuts.js";
import { loadFeature, loadModel, session } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { steerPath } from "../pages/steer-link.js";
import { featureNameNodes } from "./feature-name.js";
import { shut } from "./palette-dialog.js";

const SEARCH_MS = 120;
const SHOWN = { recent: 6, features: 8, actions: 8, presets: 4 };
const text = strings.palette;

/** @type {Promise<any>|null} */ let presets = null;

/** What works behind the dialog that palette-dialog.js has opened. */
export class Palette {
  #request = new AbortController();
  #items = [];
  #active = 0;
  #moved = false; // whether the reader has chosen a row, which then stays chosen when further results come
  #entered = null; // the Enter that waits for results of what was typed
  #found = []; // features for what was typed last
  #finding = false; // whether they are asked for
  #actions = listActions().filter(({ description }) => description !== strings.help.palette); // of the page below
  #search = debounce(() => this.#find(), SEARCH_MS);

  /**
   * `parts`: the dialog and, within it, the field, the list and a line for screen readers. `keys`: events of the keys that
   * were pressed after what now stands in the field was typed.
   */
  constructor({ dialog, input, list, status }, keys = []) {
    this.dialog = dialog;
    this.input = input;
    this.list = list;
    this.status = status;
    input.addEventListener("input", () => this.#typed());
    input.addEventListener("keydown", (event) => this.#key(event));
    dialog.addEventListener("close", () => {
      this.#search.cancel();
      this.#request.abort();
    });
    this.#bringPresets();
    this.#typed();
    for (const event of keys) if (dialog.open) this.#key(event);
  }

  get #query() {
    return this.input.value.trim();
  }

  async #bringPresets() {
    presets ??= api.presets().then(({ items }) => items);
    try {
      this.presets = await presets;
    } catch {
      presets = null; // the next time asks again
      this.presets = []; // without an answer there are none to offer
    }
    if (!this.dialog.open || !this.#query) return;
    this.#show();
    this.#actIfEntered();
  }

  #typed() {
    this.#moved = false;
    this.#entered = null;
    if (this.#query) this.#search();
    else {
      this.#search.cancel();
      this.#request.abort();
      this.#finding = false;
      this.#found = [];
    }
    this.#show();
  }

  async #find() {
    this.#request.abort();
    const request = (this.#request = new AbortController());
    const query = this.#query;
    this.#finding = true;
    const named = loadModel().then(({ sources }) => {
      const asked = findReference(query, sources);
      return asked && loadFeature(asked.source, asked.index).catch(() => ({ ...asked, label: null, top_tokens: [] }));
    });
    try {
      const [byId, list] = await Promise.all([named, api.features({ q: query, limit: SHOWN.features }, { signal: request.signal }).catch((error) => (isAbort(error) ? Promise.reject(error) : { items: [] }))]);
      if (request.signal.aborted) return;
      const others = list.items.filter((item) => item.source !== byId?.source || item.index !== byId?.index);
      this.#found = byId ? [byId, ...others] : others;
    } catch (error) {
      if (isAbort(error) || request.signal.aborted) return;
      this.#found = []; // the server is away: pages and actions are still there
    }
    this.#finding = false;
    this.#show();
    this.#actIfEntered();
  }

  /** [{ name, items }]: what is offered for what stands in the field. */
  #groups() {
    const query = this.#query;
    const byGroup = (actions) => [...Map.groupBy(actions, ({ group }) => group)].map(([name, some]) => ({ name, items: some.map(actionItem) }));
    if (!query) {
      const sources = session.state.model?.sources.map(({ key }) => key) ?? [];
      const recent = recentFeatures().filter(({ source }) => sources.includes(source)).slice(0, SHOWN.recent).map((one) => featureItem({ ...one, label: one.name }));
      return [{ name: text.groups.recent, items: recent }, ...byGroup(this.#actions)];
    }
    const actions = this.#fitting(query);
    const known = fuzzyFilter(this.presets ?? [], query, ({ name }) => name).slice(0, SHOWN.presets);
    const features = { name: text.groups.features, items: this.#found.map(featureItem) };
    const exact = this.#found.length > 0 && findsById(query, this.#found[0]);
    const rest = [
      ...byGroup(actions),
      { name: text.groups.presets, items: known.map((preset) => ({ key: `preset ${preset.id}`, href: steerPath(preset), content: h("span", { class: "palette-name", dir: "auto" }, preset.name) })) },
    ];
    const search = {
      name: text.groups.search,
      items: [
        { key: "browse", href: `/browse?${new URLSearchParams({ q: query })}`, content: h("span", { class: "palette-name", dir: "auto" }, text.browse(query)) },
        { key: "inspect", href: `/inspect?${new URLSearchParams({ text: query })}`, content: h("span", { class: "palette-name", dir: "auto" }, text.inspect(query)) },
      ],
    };
    // what was named exactly, or an action that begins like this, stands first
    return exact || !begins(actions, query) ? [features, ...rest, search] : [...rest, features, search];
  }

  /** Whether further results can no longer change which row is the chosen one. */
  get #decided() {
    const query = this.#query;
    if (!query || this.#moved) return true;
    if (!this.#search.pending() && !this.#finding && this.presets) return true;
    const sources = session.state.model?.sources; // whether it names a feature is known without asking, once these are
    return sources !== undefined && !findReference(query, sources) && begins(this.#fitting(query), query);
  }

  #fitting(query) {
    return fuzzyFilter(this.#actions, query, ({ description }) => description).slice(0, SHOWN.actions);
  }

  #show() {
    const kept = this.#items[this.#active]?.key;
    const groups = this.#groups().filter(({ items }) => items.length);
    this.#items = groups.flatMap(({ items }) => items);
    let place = 0;
    fill(
      this.list,
      groups.map(({ name, items }, number) =>
        h("div", { role: "group", "aria-labelledby": `palette-group-${number}` },
          h("div", { class: "palette-group muted", id: `palette-group-${number}`, role: "presentation" }, name),
          items.map((item) => this.#option(item, place++))),
      ),
      this.#items.length === 0 && h("p", { class: "muted palette-nothing" }, text.nothing),
    );
    const again = this.#moved ? this.#items.findIndex(({ key }) => key === kept) : -1;
    this.#activate(Math.max(0, again));
    this.status.textContent = text.found(this.#items.length);
  }

  #option(item, place) {
    return h(
      "div",
      {
        role: "option", id: `palette-option-${place}`, class: "palette-option", "aria-selected": "false",
        onpointerdown: (event) => event.preventDefault(), // the focus stays in the field
        onpointermove: () => place === this.#active || this.#activate(place, { scroll: false }),
        onclick: (event) => this.#act(place, event),
      },
      item.content,
      item.note && h("span", { class: "palette-note muted num" }, item.note),
      item.keys && h("span", { class: "palette-keys" }, keyNames(item.keys).map((key) => h("kbd", {}, key))),
    );
  }

  #activate(place, { scroll = true } = {}) {
    this.#active = place;
    const options = this.list.querySelectorAll("[role=option]");
    for (const [number, option] of options.entries()) option.setAttribute("aria-selected", String(number === place));
    if (!options[place]) return this.input.removeAttribute("aria-activedescendant");
    this.input.setAttribute("aria-activedescendant", options[place].id);
    if (scroll) options[place].scrollIntoView({ block: "nearest" });
    if (place === 0 && scroll) this.list.scrollTop = 0; // so that the first group's name is seen
  }

  #key(event) {
    if (event.isComposing) return;
    const last = this.#items.length - 1;
    const to = { ArrowDown: this.#active >= last ? 0 : this.#active + 1, ArrowUp: this.#active <= 0 ? last : this.#active - 1, PageDown: Math.min(last, this.#active + 8), PageUp: Math.max(0, this.#active - 8) }[event.key];
    if (to !== undefined) {
      this.#moved = true;
      this.#entered = null;
      this.#activate(Math.max(0, to));
    } else if (event.key === "Enter") this.#enter(event);
    else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") this.#entered || shut(this.dialog);
    else return;
    event.preventDefault();
  }

  /**
   * Enter right after typing waits for the results of what was typed, so that "3/812" and Enter never opens something
   * else. It waits until they come, until more is typed or another row is chosen, or for Escape; whoever types on with
   * Ctrl+K, taking it for done, does not take it back.
   */
  #enter(event) {
    if (this.#decided) return this.#act(this.#active, event);
    this.#entered = event;
    this.status.textContent = text.searching;
    this.#search.flush();
  }

  #actIfEntered() {
    if (this.#entered && this.dialog.open && this.#decided) this.#act(this.#active, this.#entered);
  }

  #act(place, event) {
    const item = this.#items[place];
    if (!item) return;
    shut(this.dialog);
    if (item.href && (event.ctrlKey || event.metaKey)) open(item.href, "_blank", "noopener");
    else if (item.href) navigate(item.href);
    else item.run();
  }
}

/** Whether a word of one of these actions begins like this. */
const begins = (actions, query) => actions.some(({ description }) => description.toLocaleLowerCase().split(/\W+/).some((word) => word.startsWith(query.toLocaleLowerCase())));

const actionItem = ({ keys, description, handler }) => ({ key: `action ${description}`, run: handler, keys: keys.find((some) => some !== "/") ?? keys[0], content: h("span", { class: "palette-name" }, description) });

function featureItem(feature) {
  const { source, index } = feature;
  const named = featureName(feature);
  return {
    key: `feature ${source}/${index}`,
    href: featurePath(source, index),
    note: featureId(feature.layer ?? layerIn(source), index),
    content: h("span", { class: "palette-name" }, named ? featureNameNodes({ ...feature, top_tokens: feature.top_tokens ?? [] }) : text.goTo),
  };
}

const layerIn = (source) => /\.(\d+)-[0-9a-f]+$/.exec(source)?.[1] ?? "?";

const findsById = (query, { source, layer, index }) => findReference(query, [{ key: source, layer, n_features: index + 1 }])?.index === index;
