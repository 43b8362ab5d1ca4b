/**
 * <mfn-feature-map>: points in a plane to move about in. Two canvases: one for the points, painted anew when the view or
 * the colours change, one above it for what follows the pointer.
 *
 * Mouse: drag to move, wheel to zoom, click a point, Shift and drag to draw a line around some. Touch: one finger moves,
 * two zoom. Keys: arrows, + and −, 0 for all of it. The list beside the map says the same without the map.
 *
 * Events: "point" {detail: i or −1} when another point is under the pointer, "pick" {detail: i}, "view" when the view came
 * to rest, "lasso" {detail: ring} when a line was drawn.
 */

import { h } from "../lib/dom.js";
import { Camera } from "../lib/camera.js";
import { MOST_CORNERS, bounds, inside } from "../lib/lasso.js";
import { clear, paint } from "../lib/point-painter.js";
import { PointGrid } from "../lib/point-grid.js";
import { onThemeChange, themeColor } from "../lib/theme.js";
import { map as text } from "../pages/map-strings.js";

const REACH_PX = 14; // from the pointer to a point that is meant
const REST_MS = 160;
const STEP = 0.15; // of the view, by key
const ZOOM_STEP = 1.5;
const CLICK_PX = 5; // a press that moves less is a click
const RING_STEP_PX = 3;
const OUTSIDE = 0.12; // opacity of what is not in the lasso

export class FeatureMap extends HTMLElement {
  camera = new Camera();
  /** @type {import("../lib/map-points.js").MapPoints|null} */ #map = null;
  /** @type {PointGrid} of what is shown */ #grid = new PointGrid(new Float32Array(), new Float32Array());
  /** @type {(i: number) => number} */ #lookOf = () => 0;
  /** @type {import("../lib/point-painter.js").Look[]} */ #looks = [];
  /** @type {import("../lib/lasso.js").Ring|null} */ #ring = null;
  /** @type {Uint8Array|null} which points are in the ring */ #within = null;
  /** @type {import("../lib/lasso.js").Ring|null} */ #drawing = null;
  /** @type {Map<number, [number, number]>} */ #pointers = new Map();
  /** @type {[number, number]|null} */ #pressed = null;
  #hovered = -1;
  #marked = -1;
  #chosen = [];
  #frame = 0;
  #rest = 0;
  #moving = false;
  #lassoes = false;

  /** What is shown; the parts that ask for it are there only with it. */
  get #points() {
    return /** @type {import("../lib/map-points.js").MapPoints} */ (this.#map);
  }

  connectedCallback() {
    if (this.canvas) return;
    const { signal } = (this.controller = new AbortController());
    this.canvas = h("canvas", { class: "map-points", "aria-hidden": "true" });
    this.over = h("canvas", { class: "map-over", tabindex: "0", role: "application", "aria-roledescription": text.role, "aria-label": text.canvas });
    this.append(this.canvas, this.over);
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this);
    onThemeChange(() => this.dispatchEvent(new Event("theme")), { signal });
    const on = (name, handle, options) => this.over.addEventListener(name, handle.bind(this), { signal, ...options });
    on("pointerdown", this.#down);
    on("pointermove", this.#move);
    on("pointerup", this.#up);
    on("pointercancel", this.#cancel);
    on("pointerleave", (event) => event.pointerType !== "touch" && this.#hover(-1)); // a finger that lifts leaves, too
    on("wheel", this.#wheel, { passive: false });
    on("dblclick", (event) => this.#change(() => this.camera.zoomAt(event.shiftKey ? 1 / ZOOM_STEP : ZOOM_STEP, ...this.#at(event))));
    on("keydown", this.#key);
  }

  disconnectedCallback() {
    this.controller?.abort();
    this.observer?.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#rest);
  }

  /**
   * @param {import("../lib/map-points.js").MapPoints} points
   */
  show(points) {
    if (points === this.#points) return;
    this.#map = points;
    this.#grid = new PointGrid(points.x, points.y);
    this.#hovered = -1;
    this.#marked = -1;
    this.#chosen = [];
    this.#size();
    this.ring = this.#ring;
  }

  /**
   * How points look.
   * @param {(i: number) => number} lookOf @param {import("../lib/point-painter.js").Look[]} looks
   */
  colour(lookOf, looks) {
    this.#lookOf = lookOf;
    this.#looks = looks;
    this.#schedule();
  }

  /** Whether dragging draws a line around points instead of moving the map. */
  set lassoes(value) {
    this.#lassoes = value;
    this.classList.toggle("is-lasso", value);
  }

  get lassoes() {
    return this.#lassoes;
  }

  /** The line around points, or null. @param {import("../lib/lasso.js").Ring|null} ring */
  set ring(ring) {
    this.#ring = ring;
    this.#within = ring && this.#points ? this.#inside(ring) : null;
    this.#schedule();
  }

  get ring() {
    return this.#ring;
  }

  /** Mark the point that is spoken of elsewhere; −1 for none. */
  mark(i) {
    if (this.#marked === i) return;
    this.#marked = i;
    this.#drawOver();
  }

  /** Mark the points that were chosen. @param {number[]} points */
  choose(points) {
    this.#chosen = points;
    this.#drawOver();
  }

  /** Points in the ring or, without one, in view, by some order of all points. @param {Uint32Array} order */
  shown(order) {
    const within = this.#within;
    if (within) return order.filter((i) => within[i] && this.#lookOf(i) >= 0);
    const [left, top, right, bottom] = this.camera.view();
    const { x, y } = this.#points;
    return order.filter((i) => x[i] >= left && x[i] <= right && y[i] >= top && y[i] <= bottom && this.#lookOf(i) >= 0);
  }

  /** See a part of it. @param {{x?: number, y?: number, zoom?: number}} view */
  look(view) {
    this.camera.set(view);
    this.#schedule();
  }

  zoom(factor) {
    this.#change(() => this.camera.zoomAt(factor));
  }

  /** Bring a point into sight, if it is not. */
  reach(i) {
    const { x, y } = this.#points;
    const [left, top] = this.camera.toScreen(x[i], y[i]);
    const edge = 24;
    if (left > edge && top > edge && left < this.camera.width - edge && top < this.camera.height - edge) return;
    this.#change(() => this.camera.set({ x: x[i], y: y[i] }));
  }

  whole() {
    this.#change(() => this.camera.set({ x: 0.5, y: 0.5, zoom: 1 }));
  }

  #inside(ring) {
    const found = new Uint8Array(this.#points.n);
    const { x, y } = this.#points;
    for (const i of this.#grid.near(...bounds(ring))) if (inside(ring, x[i], y[i])) found[i] = 1;
    return found;
  }

  /** Where an event is, in pixels of the map. */
  /** @returns {[number, number]} pixels from the upper left corner */
  #at({ clientX, clientY }) {
    const { left, top } = this.over.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }

  #change(act) {
    act();
    this.#hover(-1);
    this.#moving = true;
    this.#schedule();
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#moving = false;
      this.#schedule();
      this.dispatchEvent(new Event("view"));
    }, REST_MS);
  }

  // -- pointer and keys -------------------------------------------------------------------------------------------

  #down(event) {
    if (event.button !== 0) return;
    this.over.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#at(event));
    const at = this.#at(event);
    if (this.#pointers.size > 1) {
      this.#pressed = null;
      this.#drawing = null;
    } else {
      this.#pressed = at;
      if (this.#lassoes || event.shiftKey) this.#drawing = [this.camera.toMap(...at)];
    }
  }

  #move(event) {
    const at = this.#at(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.#hover(this.#nearest(at));
      return;
    }
    if (this.#drawing) {
      this.#draw(at);
      return;
    }
    if (this.#pressed && Math.hypot(at[0] - this.#pressed[0], at[1] - this.#pressed[1]) < CLICK_PX) return;
    this.#pressed = null;
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    this.#pointers.set(event.pointerId, at);
    this.#change(() => {
      if (!others.length) this.camera.pan(at[0] - before[0], at[1] - before[1]);
      else {
        // the other finger stands still for this event: the map turns about it
        const [held] = others;
        const spread = (place) => Math.max(1, Math.hypot(place[0] - held[0], place[1] - held[1]));
        this.camera.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
        this.camera.zoomAt(spread(at) / spread(before), (held[0] + at[0]) / 2, (held[1] + at[1]) / 2);
      }
    });
  }

  #up(event) {
    const drawn = this.#drawing;
    const pressed = this.#pressed;
    this.#cancel(event);
    if (drawn && drawn.length > 2) {
      this.#close(drawn);
    } else if (pressed) {
      const i = this.#nearest(this.#at(event));
      if (event.pointerType === "touch") this.#hover(i); // a finger cannot rest over a point: the first tap says what it is
      if (i >= 0) this.dispatchEvent(new CustomEvent("pick", { detail: { point: i, touch: event.pointerType === "touch", aside: event.ctrlKey || event.metaKey } }));
    }
    this.#drawOver();
  }

  /** A line was drawn: it stands as it is until it is known with few corners. @param {import("../lib/lasso.js").Ring} drawn */
  async #close(drawn) {
    this.ring = drawn;
    const evenly = (ring) => ring.filter((_, i) => i % Math.ceil(ring.length / MOST_CORNERS) === 0);
    const { simplified } = await import("../lib/lasso-corners.js").catch(() => ({ simplified: evenly })); // without it, less well
    if (this.#ring !== drawn || !this.isConnected) return; // another line, or none, meanwhile
    this.ring = simplified(drawn);
    this.dispatchEvent(new CustomEvent("lasso", { detail: this.ring }));
  }

  #cancel(event) {
    this.#pointers.delete(event.pointerId);
    this.#pressed = null;
    this.#drawing = null;
  }

  #draw(at) {
    const last = this.#drawing?.at(-1);
    if (!this.#drawing || !last) return;
    const [x, y] = this.camera.toScreen(...last);
    if (Math.hypot(at[0] - x, at[1] - y) < RING_STEP_PX) return;
    this.#drawing.push(this.camera.toMap(at[0], at[1]));
    this.#drawOver();
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
    const speed = event.ctrlKey ? 0.01 : 0.0022; // a pinch on a touchpad comes as a wheel with Ctrl
    const factor = Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * speed);
    this.#change(() => this.camera.zoomAt(factor, ...this.#at(event)));
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { width, height } = this.camera;
    const pans = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const zooms = { "+": ZOOM_STEP, "=": ZOOM_STEP, "-": 1 / ZOOM_STEP, "−": 1 / ZOOM_STEP };
    if (pans[event.key]) this.#change(() => this.camera.pan(pans[event.key][0] * width * STEP, pans[event.key][1] * height * STEP));
    else if (zooms[event.key]) this.zoom(zooms[event.key]);
    else if (event.key === "0") this.whole();
    else return;
    event.preventDefault();
  }

  #nearest([left, top]) {
    if (!this.#points) return -1;
    const [x, y] = this.camera.toMap(left, top);
    return this.#grid.nearest(x, y, REACH_PX / this.camera.scale, (i) => this.#lookOf(i) >= 0);
  }

  #hover(i) {
    if (this.#hovered === i) return;
    this.#hovered = i;
    this.over.classList.toggle("is-over", i >= 0);
    this.#drawOver();
    this.dispatchEvent(new CustomEvent("point", { detail: i }));
  }

  /** The point of a feature, or −1. @param {{source: string, index: number}} feature */
  find(feature) {
    return this.#points?.find(feature) ?? -1;
  }

  /** Where a point is on the screen, in pixels of the map. */
  placeOf(i) {
    return this.camera.toScreen(this.#points.x[i], this.#points.y[i]);
  }

  // -- painting ----------------------------------------------------------------------------------------------------

  #size() {
    this.camera.width = this.clientWidth || 1;
    this.camera.height = this.clientHeight || 1;
  }

  #resize() {
    this.#size();
    this.#schedule();
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.dispatchEvent(new Event("view")), REST_MS);
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
      this.#drawOver();
    });
  }

  /** While the map moves, a coarser picture is painted: a fine one takes as many times as long as it has more pixels. */
  #paint() {
    if (!this.#points || !this.#looks.length || this.camera.width < 2) return;
    const ratio = this.#moving ? 1 : Math.min(2, devicePixelRatio || 1);
    const [width, height] = [Math.round(this.camera.width * ratio), Math.round(this.camera.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d", { alpha: false });
    if (this.image?.width !== width || this.image?.height !== height) this.image = context.createImageData(width, height);
    clear(this.image, rgbOf(themeColor("--surface")));
    const [left, top] = this.camera.toScreen(0, 0);
    const place = { scale: this.camera.scale * ratio, left: left * ratio, top: top * ratio };
    const n = this.#looks.length;
    const within = this.#within;
    const looks = within ? [...this.#looks, ...this.#looks.map((look) => ({ ...look, opacity: look.opacity * OUTSIDE }))] : this.#looks;
    const lookOf = within ? (i) => (this.#lookOf(i) < 0 ? -1 : this.#lookOf(i) + (within[i] ? 0 : n)) : this.#lookOf;
    const { x, y } = this.#points;
    for (const above of [false, true]) {
      if (above && !looks.some((look) => look.above)) continue;
      const of = (i) => (lookOf(i) >= 0 && Boolean(looks[lookOf(i)].above) === above ? lookOf(i) : -1);
      const [left, top, right, bottom] = this.camera.view(20);
      paint(this.image, this.#grid.near(left, top, right, bottom), x, y, place, of, looks, this.#radius * ratio);
    }
    context.putImageData(this.image, 0, 0);
  }

  /** Of a point in pixels: small where there are many or the map is, larger the nearer one comes. */
  get #radius() {
    const room = Math.min(1, Math.max(0.55, Math.min(this.camera.width, this.camera.height) / 600));
    const base = this.#points.n > 50_000 ? 0.7 : this.#points.n > 8_000 ? 1.3 : 2.2;
    return Math.min(7, base * room * this.camera.zoom ** 0.45);
  }

  #drawOver() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [Math.round(this.camera.width * ratio), Math.round(this.camera.height * ratio)];
    if (this.over.width !== width || this.over.height !== height) Object.assign(this.over, { width, height });
    const context = this.over.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.camera.width, this.camera.height);
    const [accent, ink] = [themeColor("--accent"), themeColor("--text")];
    const ring = this.#drawing ?? this.#ring;
    if (ring) {
      context.beginPath();
      for (const corner of ring) context.lineTo(...this.camera.toScreen(...corner));
      if (!this.#drawing) context.closePath();
      context.strokeStyle = accent;
      context.lineWidth = 1.5;
      context.setLineDash([5, 3]);
      context.stroke();
      context.setLineDash([]);
    }
    if (!this.#points) return;
    const circle = (i, colour, radius, line) => {
      context.beginPath();
      context.arc(...this.placeOf(i), radius, 0, 2 * Math.PI);
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.stroke();
    };
    for (const i of this.#chosen) circle(i, accent, this.#radius + 3, 2);
    if (this.#marked >= 0) {
      circle(this.#marked, ink, this.#radius + 6, 2);
      circle(this.#marked, accent, this.#radius + 9, 1.5);
    }
    if (this.#hovered >= 0) circle(this.#hovered, ink, this.#radius + 4, 1.5);
  }
}

/** "rgb(1, 2, 3)" -> [1, 2, 3] */
export const rgbOf = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number);

customElements.define("mfn-feature-map", FeatureMap);
