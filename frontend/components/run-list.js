/**
 * `<mfn-run-list>`: the runs that were kept in this browser, the newest first, to be shown again or forgotten.
 *
 * Event (bubbling): `runrestore` {detail: {run}} with a `KeptRun` of lib/steer-history.js.
 */
import { announce, fill, h } from "../lib/dom.js";
import { featureId, featureName, formatTime, layerOf } from "../lib/format.js";
import { steerHistory } from "../lib/steer-history.js";
import { loadFeature } from "../lib/store.js";
import { runs as text } from "../pages/run-strings.js";
import { parseQuery } from "../pages/steer-reading.js";

export class RunList extends HTMLElement {
  #controller = new AbortController();
  #list;
  #clear;

  connectedCallback() {
    this.#controller = new AbortController();
    if (!this.#list) this.#build();
    steerHistory.watch(() => this.#show(), { signal: this.#controller.signal });
    this.#show();
  }

  disconnectedCallback() {
    this.#controller.abort();
  }

  #build() {
    this.#list = h("ol", { class: "runs" });
    this.#clear = h("button", { type: "button", class: "quiet", onclick: () => this.#forget() }, text.clear);
    this.append(h("div", { class: "runs-note" }, h("p", { class: "muted small" }, text.note), this.#clear), this.#list);
  }

  #show() {
    const kept = steerHistory.list();
    this.#clear.disabled = kept.length === 0;
    fill(this.#list, kept.map((run) => this.#row(run)));
  }

  #row(run) {
    const { prompt, interventions } = parseQuery(new URL(run.path, location.href).search).state;
    const restore = () => this.dispatchEvent(new CustomEvent("runrestore", { bubbles: true, detail: { run } }));
    const turned = h("span", { class: "run-features" }, interventions.length ? interventions.map(turnedName) : text.untouched);
    return h("li", { class: "run" },
      h("div", { class: "run-head" },
        h("button", { type: "button", class: "run-restore", "aria-label": text.restore(prompt.trim()), onclick: restore }, h("span", { class: "run-prompt", dir: "auto" }, prompt)),
        h("button", { type: "button", class: "icon-button run-remove", "aria-label": text.remove(prompt.trim()), onclick: () => this.#remove(run.id) }, "✕")),
      h("p", { class: "run-facts muted small" }, h("time", { datetime: run.at }, formatTime(run.at)), turned,
        run.changes.length > 0 && h("span", {}, text.moved(run.changes.length))),
      h("p", { class: "run-text", dir: "auto" }, run.texts.steered));
  }

  #remove(id) {
    const place = steerHistory.list().findIndex((run) => run.id === id);
    steerHistory.remove(id);
    announce(text.removed);
    const rows = this.#list.querySelectorAll(".run-restore");
    this.#goTo(rows[Math.min(place, rows.length - 1)]);
  }

  #forget() {
    steerHistory.clear();
    announce(text.cleared);
    this.#goTo(null);
  }

  /** Where the reader goes on: at another run, or at the line that all this folds under. */
  #goTo(row) {
    (row ?? this.closest("details")?.firstElementChild)?.focus({ preventScroll: true });
  }
}

/** "L3 · 812 set 4", and with its name once that is known. */
function turnedName({ source, index, mode, value }) {
  const id = featureId(layerOf(source), index);
  const name = h("span", {}, id);
  loadFeature(source, index).then((feature) => (name.textContent = featureName(feature) || id), () => {});
  return h("span", { class: "run-feature", title: id }, name, h("span", { class: "num" }, ` ${text.turned(mode, value)}`));
}

customElements.define("mfn-run-list", RunList);
