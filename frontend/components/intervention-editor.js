/**
 * `<mfn-intervention-editor>`: one feature that is turned: how (mode), by how much (slider and typed value), where (scope),
 * and, folded away, how the value is reached (ramp) and on which tokens alone (condition).
 *
 * Set `.intervention`; the feature's name and strongest activation are fetched, and give the slider its range.
 * Events (bubbling): `interventionchange` {detail: {intervention, settled}} while a slider moves (settled false) and when
 * a change is complete; `interventionremove`.
 */
import { fill, h } from "../lib/dom.js";
import { parseFeatureId } from "../lib/feature-ref.js";
import { formatValue, layerOf } from "../lib/format.js";
import { loadFeature, loadModel } from "../lib/store.js";
import { valueRange } from "../lib/value-range.js";
import { MODES, rampable } from "../pages/steer-model.js";
import { editor as text } from "../pages/turn-strings.js";
import { featureLink } from "./feature-hits.js";

const SPANS = ["generation", "range"]; // scopes that may begin and end somewhere
const RAMP_STEPS = 8; // where nobody has said how many

let count = 0;

/** Writes a field's value unless it is there: a field that somebody is about to type in keeps its selection. */
function show(field, value) {
  if (field.value !== String(value)) field.value = value;
}

export class InterventionEditor extends HTMLElement {
  /** Settles when the feature's name and range are known. */
  loaded = Promise.resolve();
  #intervention;
  #maximum = NaN;
  #asking = false; // for how far it goes by itself
  #signed = false;
  #sources = [];
  #name;
  #modes;
  #slider;
  #number;
  #hint;
  #scope;
  #range;
  #start;
  #stop;
  #more;
  #moreSummary;
  #ramp;
  #rampStart;
  #rampSteps;
  #condition;
  #above;
  #error;

  /** @param {import("../pages/steer-model.js").Intervention} intervention */
  set intervention(intervention) {
    const other = this.#intervention;
    this.#intervention = intervention;
    if (!this.isConnected) return;
    if (other?.source !== intervention.source || other?.index !== intervention.index) this.loaded = this.#load();
    else this.#render();
  }

  get intervention() {
    return this.#intervention;
  }

  connectedCallback() {
    if (!this.#name) this.#build();
    this.loaded = this.#load();
  }

  #build() {
    count += 1;
    const prefix = `turn-${count}`;
    this.#name = h("h3", { class: "turn-name", id: `${prefix}-name` });
    this.#modes = MODES.map((mode) =>
      h("label", { class: "segment", title: text.modeTitles[mode] },
        h("input", { type: "radio", name: `${prefix}-mode`, value: mode, onchange: () => this.#setMode(mode) }),
        h("span", {}, text.modes[mode])));
    this.#slider = h("input", {
      class: "turn-slider", type: "range", "aria-label": text.value, "aria-describedby": `${prefix}-hint`,
      oninput: () => this.#setValue(this.#slider.value, false), onchange: () => this.#setValue(this.#slider.value, true),
    });
    this.#number = h("input", {
      class: "turn-number", type: "number", inputmode: "decimal", "aria-label": text.valueTyped, step: "any",
      oninput: () => this.#setValue(this.#number.value, false), onchange: () => this.#setValue(this.#number.value, true),
    });
    this.#hint = h("span", { class: "turn-hint", id: `${prefix}-hint` });
    this.#error = h("span", { class: "turn-error", role: "alert" });
    this.#scope = h("select", { "aria-label": text.scope, onchange: () => this.#setScope() },
      Object.entries(text.scopes).map(([value, name]) => h("option", { value }, name)));
    this.#start = this.#position();
    this.#stop = this.#position();
    this.#range = h("span", { class: "turn-range" }, text.tokens, this.#start, h("span", { "aria-hidden": "true" }, "–"), this.#stop);
    const remove = h("button", {
      class: "turn-remove", type: "button", title: text.remove,
      onclick: () => this.dispatchEvent(new CustomEvent("interventionremove", { bubbles: true })),
    }, h("span", { "aria-hidden": "true" }, "✕"), h("span", { class: "visually-hidden" }, text.remove));
    this.#buildMore();
    this.setAttribute("role", "group");
    this.setAttribute("aria-labelledby", this.#name.id);
    this.append(
      h("div", { class: "turn-head" }, this.#name, remove),
      h("div", { class: "segments", role: "radiogroup", "aria-label": text.mode }, this.#modes),
      h("div", { class: "turn-value" }, this.#slider, this.#number, this.#hint),
      h("div", { class: "turn-where" }, this.#scope, this.#range),
      this.#more,
      this.#error,
    );
  }

  #buildMore() {
    const small = (label, props, onchange) => h("input", { class: "turn-position", "aria-label": label, title: label, onchange, ...props });
    const number = { type: "number", step: "any", inputmode: "decimal" };
    this.#rampStart = small(text.rampStart, { ...number, placeholder: text.rampNone }, () => this.#setRamp());
    this.#rampSteps = small(text.rampSteps, { ...number, min: "1", step: "1", inputmode: "numeric" }, () => this.#setRamp());
    this.#condition = small(text.condition, { type: "text", placeholder: text.conditionNone, spellcheck: "false" }, () => this.#setCondition());
    this.#above = small(text.above, { ...number, min: "0" }, () => this.#setCondition());
    this.#ramp = h("span", { class: "turn-range" }, text.rampFrom, this.#rampStart, text.rampOver, this.#rampSteps, text.tokens);
    this.#moreSummary = h("summary", {});
    this.#more = h("details", { class: "turn-more" }, this.#moreSummary,
      h("div", { class: "turn-where" }, this.#ramp,
        h("span", { class: "turn-range" }, text.conditionIf, this.#condition, text.conditionAbove, this.#above)));
  }

  #position() {
    return h("input", {
      class: "turn-position", type: "number", min: "0", step: "1", inputmode: "numeric", placeholder: text.end,
      onchange: () => this.#setScope(),
    });
  }

  async #load() {
    const { source, index } = this.#intervention;
    this.#maximum = NaN;
    this.#asking = true;
    fill(this.#name, featureLink({ source, index, label: text.loading }));
    this.#render();
    const model = await loadModel().catch(() => null); // whoever shows the page says that there is none
    this.#sources = model?.sources ?? [];
    this.#signed = this.#sources.find((known) => known.key === source)?.signed ?? false;
    try {
      const feature = await loadFeature(source, index);
      if (source !== this.#intervention.source || index !== this.#intervention.index) return;
      this.#maximum = feature.max;
      fill(this.#name, featureLink(feature));
      this.#error.textContent = "";
    } catch (error) {
      if (source !== this.#intervention.source || index !== this.#intervention.index) return;
      fill(this.#name, featureLink({ source, index, label: text.unknown(layerOf(source), index) }));
      // Without an index a feature can be turned all the same; nobody knows how far it goes by itself.
      this.#error.textContent = error.code === "unknown_feature" || !this.#sources.length ? error.message : "";
    }
    this.#asking = false;
    const { mode, value } = this.#intervention;
    if (value === null && mode !== "ablate") this.#change({ value: this.#valueRange(mode).initial }, true);
    this.#render();
  }

  #valueRange(mode) {
    return valueRange(mode, this.#maximum, this.#signed);
  }

  #render() {
    const { mode, value, scope, ramp, condition } = this.#intervention;
    for (const label of this.#modes) label.firstChild.checked = label.firstChild.value === mode;
    const range = this.#valueRange(mode);
    Object.assign(this.#slider, { min: range.min, max: range.max, step: range.step });
    this.#slider.value = value ?? range.initial;
    this.#slider.style.setProperty("--zero", String(-range.min / (range.max - range.min)));
    this.#slider.style.setProperty("--at", String((Number(this.#slider.value) - range.min) / (range.max - range.min)));
    if (mode === "add" || this.#signed) this.#number.removeAttribute("min");
    else this.#number.min = "0";
    if (this.#number.value === "" || Number(this.#number.value) !== value) this.#number.value = value ?? "";
    this.#slider.parentElement.hidden = mode === "ablate";
    this.#hint.textContent = this.#describe();
    this.#slider.setAttribute("aria-valuetext", this.#describe());
    this.#scope.value = scope.kind;
    this.#range.hidden = !SPANS.includes(scope.kind);
    if (!this.#range.hidden) {
      for (const [field, labels] of [[this.#start, text.from], [this.#stop, text.upTo]]) {
        field.title = labels[scope.kind];
        field.setAttribute("aria-label", labels[scope.kind]);
      }
      this.#start.value = scope.start ?? 0;
      this.#stop.value = scope.stop ?? "";
    }
    this.#ramp.hidden = !rampable(this.#intervention);
    show(this.#rampStart, ramp ? ramp.start : "");
    show(this.#rampSteps, ramp ? ramp.steps : RAMP_STEPS);
    show(this.#condition, condition ? this.#conditionName(condition) : "");
    show(this.#above, condition?.above || "");
    const parts = [ramp && !this.#ramp.hidden && text.rampSaid(formatValue(ramp.start), ramp.steps),
      condition && text.conditionSaid(this.#conditionName(condition), condition.above ? formatValue(condition.above) : null)];
    this.#moreSummary.textContent = parts.filter(Boolean).join(" · ") || text.more;
  }

  /** "812" of the same layer, "3/812" of another. */
  #conditionName({ source, index }) {
    const layer = source && source !== this.#intervention.source ? layerOf(source) : null;
    return layer === null ? String(index) : `${layer}/${index}`;
  }

  #describe() {
    const { mode, value } = this.#intervention;
    if (value === null || this.#asking) return "";
    if (mode === "scale") return text.factor(formatValue(value));
    if (!(this.#maximum > 0)) return Number.isNaN(this.#maximum) ? text.unknownRange : text.neverFires;
    return text.ofMaximum(formatValue(value / this.#maximum), formatValue(this.#maximum));
  }

  #setMode(mode) {
    const { value, mode: before } = this.#intervention;
    const range = this.#valueRange(mode);
    const sameUnit = mode !== "scale" && before !== "scale" && value !== null && value >= range.min;
    const { ramp } = this.#intervention;
    this.#change({ mode, value: sameUnit ? value : range.initial, ramp: sameUnit && ramp?.start >= range.min ? ramp : null }, true);
  }

  #setValue(typed, settled) {
    const value = typed.trim() === "" ? NaN : Number(typed);
    const low = this.#signed || this.#intervention.mode === "add" ? -Infinity : 0;
    const valid = Number.isFinite(value) && value >= low;
    this.#error.textContent = valid ? "" : low === 0 ? text.notNegative : text.notNumber;
    this.#number.setAttribute("aria-invalid", String(!valid));
    if (valid) this.#change({ value }, settled);
  }

  #setScope() {
    const kind = this.#scope.value;
    const same = kind === this.#intervention.scope.kind; // numbers typed for one scope mean something else in another
    if (!same || !SPANS.includes(kind)) return this.#change({ scope: { kind } }, true);
    const start = Math.max(0, Math.trunc(Number(this.#start.value) || 0));
    const typed = this.#stop.value.trim() === "" ? null : Math.trunc(Number(this.#stop.value));
    this.#change({ scope: { kind, start, stop: typed === null ? null : Math.max(typed, start + 1) } }, true);
  }

  #setRamp() {
    const typed = this.#rampStart.value.trim();
    if (typed === "" || !Number.isFinite(Number(typed))) return this.#change({ ramp: null }, true);
    const low = this.#signed || this.#intervention.mode === "add" ? -Infinity : 0;
    const steps = Math.max(1, Math.trunc(Number(this.#rampSteps.value) || RAMP_STEPS));
    this.#change({ ramp: { start: Math.max(low, Number(typed)), steps } }, true);
  }

  #setCondition() {
    const typed = this.#condition.value.trim();
    const asked = /^\d+$/.test(typed) ? { layer: null, index: Number(typed) } : parseFeatureId(typed);
    const own = this.#sources.find((known) => known.key === this.#intervention.source);
    const source = asked && asked.layer !== null ? this.#sources.find((known) => known.layer === asked.layer) : own;
    const problem = typed && (!asked || (asked.layer !== null && !source) ? text.noCondition
      : source && asked.index >= source.n_features ? text.noFeature(source.layer, source.n_features - 1)
        : source && own && source.layer > own.layer ? text.lateCondition(own.layer) : "");
    this.#error.textContent = problem || "";
    this.#condition.setAttribute("aria-invalid", String(Boolean(problem)));
    if (problem) return;
    const above = Math.max(0, Number(this.#above.value) || 0);
    const other = source && source.key !== this.#intervention.source ? source.key : null;
    this.#change({ condition: typed && asked ? { index: asked.index, above, source: other } : null }, true);
  }

  #change(patch, settled) {
    this.#intervention = { ...this.#intervention, ...patch };
    this.#render();
    const detail = { intervention: this.#intervention, settled };
    this.dispatchEvent(new CustomEvent("interventionchange", { bubbles: true, detail }));
  }
}

customElements.define("mfn-intervention-editor", InterventionEditor);
