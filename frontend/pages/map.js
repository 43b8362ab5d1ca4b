/**
 * <map-page>: all features in a plane, and beside it the list of those in view, or in a line drawn around some.
 *
 * The URL holds every choice: `layer`, `colour`, `method`, `only` one entry of the legend, the view (`x`, `y`, `z`),
 * `lasso`, `row` the current feature, `s` those that were chosen.
 */

import "../components/feature-map.js";
import { errorView, skeleton } from "../components/state-view.js";
import { api, isAbort } from "../lib/api.js";
import { announce, debounce, fill, h, svg } from "../lib/dom.js";
import { featureId, featurePath, formatPercent } from "../lib/format.js";
import { formatRing, parseRing } from "../lib/lasso.js";
import { MapPoints } from "../lib/map-points.js";
import { Page } from "../lib/page.js";
import { navigate, setQuery } from "../lib/router.js";
import { Selection, parseKey } from "../lib/selection.js";
import { addShortcut } from "../lib/shortcuts.js";
import { loadFeature, loadModel, onStale, session } from "../lib/store.js";
import { strings } from "../lib/strings.js";
import { COLOURS, colouring, legendLabel } from "./map-colours.js";
import { map as text } from "./map-strings.js";

const NAME_MS = 70; // the pointer must rest so long on a point before its name is asked for
const RETRY_MS = 4_000;
const ICONS = { zoomIn: "M5 12h14M12 5v14", zoomOut: "M5 12h14", whole: "M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5" };

class MapPage extends Page {
  /** @type {Selection} */ selection;
  /** @type {Promise<any>|undefined} */ bar;
  /** @type {MapPoints|null} */ #points = null;
  #shownKey = "";
  /** @type {any} */ #colouring = null;
  #visit = 0;
  #retry = 0;
  /** @type {string|null} */ #collection = null;
  /** @type {string[]} */ #collected = []; // what the collection of the URL has

  connectedCallback() {
    super.connectedCallback();
    const { signal } = this;
    this.classList.add("page", "fills-screen");
    this.selection = new Selection();
    this.map = h("mfn-feature-map");
    this.tip = h("div", { class: "map-tip", hidden: true });
    this.legend = h("div", { class: "map-legend", role: "group", "aria-label": text.legend });
    this.about = h("p", { class: "map-about muted small" });
    this.state = h("div", { class: "map-state" });
    this.stage = h("div", { class: "map-stage" }, this.map, this.tip, this.#buttons(), this.legend, this.state);
    this.body = h("div", { class: "map-body" }, this.stage, h("div", { class: "map-panel-room panel" }));
    this.room = h("div", { hidden: true });
    this.append(h("h1", { class: "visually-hidden" }, text.title), this.#toolbar(), this.room, this.body);

    this.#listen(signal);
    // The map is drawn without its list, and the list takes as much code: it is fetched while the points are.
    this.panelled = import("../components/map-panel.js").then(
      () => !signal.aborted && this.#addPanel(signal),
      (error) => fill(this.body.lastElementChild, errorView(error, () => location.reload())),
    );
    addShortcut("Escape", strings.help.chooseNone, () => this.#escape(), { group: text.title, signal });
    onStale(() => this.#show(new URLSearchParams(location.search), true), { signal });
    signal.addEventListener("abort", () => clearTimeout(this.#retry));
    loadModel().then((model) => this.#showLayers(model.sources), () => {});
  }

  #toolbar() {
    const choice = (label, name, options) => {
      const select = h("select", { "aria-label": label, onchange: () => this.#choose(name, select.value) }, options);
      return [h("label", { class: "filter" }, h("span", { class: "filter-name" }, label), select), select];
    };
    const [layer, layers] = choice(text.layer, "layer", [h("option", { value: "" }, text.all)]);
    const [colour, colours] = choice(text.colour, "colour", COLOURS.map((value) => h("option", { value }, text.colours[value])));
    const [method, methods] = choice(text.method, "method", Object.entries(text.methods).map(([value, label]) => h("option", { value }, label)));
    this.layers = layers;
    this.colours = colours;
    this.methods = methods;
    this.methodField = method;
    return h("div", { class: "map-toolbar" }, layer, colour, method, this.about);
  }

  #choose(name, value) {
    const initial = { layer: "", colour: "layer", method: this.#points?.head.methods.at(-1) }[name];
    setQuery({ [name]: value === initial ? null : value, only: null }, { replace: false });
  }

  #buttons() {
    const button = (name, act) => h("button", { type: "button", class: "icon-button", title: text[name], "aria-label": text[name], onclick: act }, icon(ICONS[name]));
    this.lasso = h("button", { type: "button", class: "map-lasso", "aria-pressed": "false", title: text.lassoTitle, onclick: () => this.#setLasso(!this.map.lassoes) }, text.lasso);
    return h("div", { class: "map-buttons" }, button("zoomIn", () => this.map.zoom(1.6)), button("zoomOut", () => this.map.zoom(1 / 1.6)), button("whole", () => this.map.whole()), this.lasso);
  }

  #listen(signal) {
    const on = (element, name, act) => element.addEventListener(name, act, { signal });
    on(this.map, "point", ({ detail }) => this.#point(detail));
    on(this.map, "pick", ({ detail }) => this.#pick(detail));
    on(this.map, "view", () => this.#viewed());
    on(this.map, "theme", () => this.#colour());
    on(this.map, "lasso", ({ detail }) => {
      this.#setLasso(false);
      setQuery({ lasso: formatRing(detail) }, { replace: false });
    });
    on(this.selection, "change", () => {
      setQuery({ s: this.selection.toString() }, { silent: true });
      this.#markChosen();
      this.#addBar(signal);
    });
  }

  #addPanel(signal) {
    this.panel = h("mfn-map-panel");
    this.panel.setup(this.selection);
    this.body.lastElementChild.replaceWith(this.panel);
    const on = (name, act) => this.panel.addEventListener(name, act, { signal });
    on("mark", ({ detail }) => this.map.mark(this.#pointOf(detail ?? new URLSearchParams(location.search).get("row"))));
    on("current", ({ detail }) => {
      setQuery({ row: detail }, { silent: true });
      this.map.mark(this.#pointOf(detail));
    });
    on("drop", () => setQuery({ lasso: null }, { replace: false }));
  }

  /** The bar of what was chosen comes with the first choice. */
  #addBar(signal) {
    if (!this.selection.size) return;
    this.bar ??= import("../components/selection-bar.js").then(({ selectionBar }) => this.append(selectionBar(this.selection, signal)));
  }

  onRoute({ query }) {
    this.setTitle(text.title);
    return this.#show(query);
  }

  async #show(query, anew = false) {
    const visit = ++this.#visit;
    clearTimeout(this.#retry);
    this.#showCollection(query.get("collection"));
    const [layer, method] = [query.get("layer"), query.get("method")];
    const key = JSON.stringify([session.state.epoch, layer, method]);
    if (anew || key !== this.#shownKey) {
      if (!this.#points) fill(this.state, h("p", { class: "muted" }, text.loading), skeleton(3));
      try {
        const points = new MapPoints(await api.mapPoints({ layer, method }, { signal: this.signal }));
        if (visit !== this.#visit) return;
        this.#points = points;
        this.#shownKey = key;
        this.state.replaceChildren();
        this.map.show(points);
        this.#told(layer);
      } catch (error) {
        if (visit !== this.#visit || isAbort(error)) return;
        this.#failed(error);
        return;
      }
    }
    this.colours.value = COLOURS.includes(query.get("colour")) ? query.get("colour") : COLOURS[0];
    this.layers.value = layer ?? "";
    await this.#colour();
    if (visit !== this.#visit) return;
    this.selection.parse(query.get("s"));
    const number = (name) => (query.has(name) ? Number(query.get(name)) : Number.NaN);
    const { camera } = this.map;
    const view = [number("x"), number("y"), number("z")];
    if (`${view}` !== `${viewOf(camera)}` && !(view.every(Number.isNaN) && camera.isWhole)) this.map.look({ x: view[0], y: view[1], zoom: view[2] });
    this.map.ring = parseRing(query.get("lasso"));
    this.map.mark(this.#pointOf(query.get("row")));
    this.#markChosen();
    this.#list();
  }

  /** Says which collection is marked, and marks what it has as soon as there are points. */
  async #showCollection(id) {
    if (id === this.#collection) return;
    this.#collection = id;
    this.#collected = [];
    this.room.hidden = id === null;
    const leave = () => setQuery({ collection: null }, { replace: false });
    const keys = id ? await import("../components/collection-chip.js").then(({ showChip }) => showChip(this.room, id, leave)).catch(() => []) : [];
    if (this.signal.aborted || id !== this.#collection) return;
    this.#collected = keys;
    if (this.#points) this.#markChosen();
  }

  #told(layer) {
    const head = this.#points?.head;
    if (!head) return;
    this.methods.value = head.method;
    this.methodField.hidden = head.methods.length < 2;
    const sampled = head.n_shown < head.n_features;
    this.about.textContent = [sampled ? text.sample(head.n_shown, head.n_features) : text.everything(head.n_features), text.about[head.method](head.explained)].join(". ").replace("..", ".");
    if (layer === null) this.#showLayers(head.sources);
    announce(text.announce(head.n_shown));
  }

  #showLayers(sources) {
    const { value } = this.layers;
    const layers = [...new Set(sources.map((source) => source.layer))].sort((a, b) => a - b);
    fill(this.layers, h("option", { value: "" }, text.all), layers.map((layer) => h("option", { value: layer }, text.layerNumber(layer))));
    this.layers.value = new URLSearchParams(location.search).get("layer") ?? value;
  }

  #failed(error) {
    const waits = error.code === "map_not_ready" || error.code === "model_not_ready";
    const retry = () => this.#show(new URLSearchParams(location.search), true);
    if (waits) {
      fill(this.state, h("state-view", { kind: "empty", heading: text.notDrawn, hint: text.notDrawnHint }));
      this.#retry = setTimeout(retry, RETRY_MS);
    } else if (error.status === 404 || error.status === 422) {
      fill(this.state, h("state-view", { kind: "error", heading: text.noMethod, hint: error.message, action: text.whole, href: "/map" }));
    } else fill(this.state, errorView(error, retry));
  }

  // -- colours -----------------------------------------------------------------------------------------------------

  async #colour() {
    const points = this.#points;
    if (!points) return;
    const by = this.colours.value;
    const made = await colouring(points, by);
    if (points !== this.#points || by !== this.colours.value) return; // another was chosen meanwhile
    this.#colouring = made;
    const { lookOf, looks, legend } = this.#colouring;
    const only = Number(new URLSearchParams(location.search).get("only") ?? Number.NaN);
    const alone = legend.some(({ look }) => look === only);
    this.map.colour(alone ? (i) => (lookOf(i) === only ? only : -1) : lookOf, looks);
    this.colours.title = text.colourTitles[by];
    this.#showLegend(alone ? only : null);
  }

  #showLegend(only) {
    const { looks, legend, ramp } = this.#colouring;
    const swatch = ({ rgb, shape }) => h("i", { class: shape === "diamond" ? "swatch is-diamond" : "swatch", style: { "--swatch": `rgb(${rgb.join(" ")})` } });
    const entry = (each) => h("button", { type: "button", class: "legend-entry", "aria-pressed": String(each.look === only), title: text.legendTitle,
      onclick: () => setQuery({ only: each.look === only ? null : each.look }, { replace: false }) }, swatch(looks[each.look]), legendLabel(each));
    fill(
      this.legend,
      ramp && h("div", { class: "legend-ramp" }, h("span", {}, ramp.from), h("i", { class: "ramp", style: { "--ramp": ramp.colours.map((rgb) => `rgb(${rgb.join(" ")})`).join(", ") } }), h("span", {}, ramp.to)),
      legend.length > 1 || ramp ? legend.map(entry) : null,
    );
  }

  // -- points ------------------------------------------------------------------------------------------------------

  #pointOf(key) {
    const feature = parseKey(key);
    return feature ? this.map.find(feature) : -1;
  }

  #markChosen() {
    this.map.choose([...this.#collected, ...this.selection.keys].map((key) => this.#pointOf(key)).filter((i) => i >= 0));
  }

  #named = debounce(async (i) => {
    if (!this.#points) return;
    const { source, index } = this.#points.feature(i);
    try {
      const [feature, { featureNameNodes }] = await Promise.all([loadFeature(source, index), import("../components/feature-name.js")]);
      if (this.tipped === i) this.#tip(i, [featureNameNodes(feature), feature.label ? featureNameNodes({ ...feature, label: null }) : []]);
    } catch {
      // the tip already says which feature it is; its page says what is wrong
    }
  }, NAME_MS);

  #point(i) {
    this.tipped = i;
    this.#named.cancel();
    this.tip.hidden = i < 0;
    if (i < 0) return;
    this.#tip(i, []);
    this.#named(i);
  }

  /** @param {number} i @param {Node[][]} lines what else is known of it */
  #tip(i, lines) {
    const points = this.#points;
    if (!points) return;
    const id = featureId(points.layer(i), points.index[i]);
    fill(this.tip,
      h("p", { class: "map-tip-head" }, h("strong", { class: "num" }, id), h("span", { class: "muted num" }, Number.isNaN(points.rate[i]) ? "" : formatPercent(points.rate[i]))),
      lines.filter((line) => line.length).map((line) => h("p", { class: "map-tip-name" }, line)));
    const [left, top] = this.map.placeOf(i);
    const { clientWidth, clientHeight } = this.stage;
    this.tip.classList.toggle("is-left", left > clientWidth - 260);
    this.tip.classList.toggle("is-above", top > clientHeight - 110);
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${top}px`;
  }

  #pick({ point, touch, aside }) {
    if (!this.#points) return;
    const { source, index } = this.#points.feature(point);
    if (touch && this.tapped !== point) {
      this.tapped = point; // the second tap on the same point opens it
      return;
    }
    const path = featurePath(source, index);
    if (aside) open(path, "_blank", "noopener");
    else navigate(path);
  }

  #setLasso(on) {
    this.map.lassoes = on;
    this.lasso.setAttribute("aria-pressed", String(on));
  }

  #escape() {
    if (this.map.lassoes) this.#setLasso(false);
    else if (this.map.ring) setQuery({ lasso: null }, { replace: false });
    else this.selection.clear();
  }

  #viewed() {
    if (!this.#points) return;
    const [x, y, z] = viewOf(this.map.camera);
    setQuery(this.map.camera.isWhole ? { x: null, y: null, z: null } : { x, y, z }, { silent: true });
    this.tapped = -1;
    if (!this.map.ring) this.#list();
  }

  // -- list --------------------------------------------------------------------------------------------------------

  async #list() {
    const points = this.#points;
    if (!points) return;
    const found = this.map.shown(points.namedFirst);
    const count = found.length;
    await this.panelled;
    if (this.signal.aborted || points !== this.#points) return;
    const name = `${this.#shownKey} ${count} ${found[0]} ${found[count - 1]} ${found[count >> 1]} ${found[count >> 2]}`;
    this.panel?.show({ count, featureAt: (rank) => points.feature(found[rank]), inLasso: this.map.ring !== null, name });
  }
}

const viewOf = ({ x, y, zoom }) => [x, y, zoom].map((value) => Number(value.toPrecision(5)));

const icon = (path) => svg("svg", { viewBox: "0 0 24 24", width: 16, height: 16, class: "stroke-icon", "aria-hidden": "true" }, svg("path", { d: path }));

customElements.define("map-page", MapPage);
