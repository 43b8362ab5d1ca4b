/**
 * <naming-runs>: runs that suggest names and score labels. What is at work, how far it is and what it costs; a form to
 * start one; stopping, and taking up again. `show()` fills it and follows what is at work as long as it is on a page.
 */

import { api, isAbort } from "../lib/api.js";
import { announce, fill, h, uuid } from "../lib/dom.js";
import { formatInteger, formatPercent, formatTime } from "../lib/format.js";
import { runs as text } from "../pages/naming-run-strings.js";
import { errorView, skeleton } from "./state-view.js";

const AGAIN_MS = 1_000;

class NamingRuns extends HTMLElement {
  #left = new AbortController();
  #timer = 0;
  /** @type {any} */ #found = null;
  #id = uuid();
  #sending = false;

  connectedCallback() {
    if (this.#left.signal.aborted) this.#left = new AbortController();
    if (this.list) return;
    this.list = h("div", {});
    this.status = h("p", { class: "error-text", role: "alert" });
    this.form = h("form", { class: "panel run-form", onsubmit: (event) => this.#start(event), onchange: () => this.#fit() });
    this.append(this.form, this.list);
  }

  disconnectedCallback() {
    this.#left.abort();
    clearTimeout(this.#timer);
  }

  async show() {
    fill(this.list, skeleton(4));
    await this.#load();
  }

  async #load() {
    clearTimeout(this.#timer);
    const { signal } = this.#left;
    try {
      const found = await api.runs({ signal });
      const first = this.#found === null;
      const was = this.#found?.busy;
      this.#found = found;
      if (first) this.#build();
      if (was && !found.busy && found.items[0]) announce(`${text.kinds[found.items[0].kind]}: ${text.states[found.items[0].state]}`);
      this.#render();
      if (found.busy) this.#timer = setTimeout(() => this.#load(), AGAIN_MS);
    } catch (error) {
      if (!isAbort(error)) fill(this.list, errorView(error, () => this.#load()));
    }
  }

  #build() {
    const { held_out: heldOut, reader, budget } = this.#found;
    const able = { suggest: true, score: heldOut !== null, explain: reader !== null };
    const choose = ([value, words], i) => h("label", { class: "run-kind" }, h("input", { type: "radio", name: "kind", value, checked: i === 0, disabled: !able[value] }), h("span", {}, words), !able[value] && h("span", { class: "muted small" }, text.missing[value]));
    this.submit = h("button", { type: "submit", class: "primary" }, text.start);
    fill(this.form,
      h("h2", {}, text.title),
      h("fieldset", {}, h("legend", {}, text.what), Object.entries(text.kinds).map(choose)),
      heldOut !== null && h("p", { class: "muted small", dataset: { only: "score" } }, text.on(heldOut)),
      reader !== null && h("label", { class: "run-kind", dataset: { only: "score" } }, h("input", { type: "checkbox", name: "reader" }), h("span", {}, text.asks(reader))),
      h("label", { class: "field" }, h("span", {}, text.features), h("textarea", { name: "features", rows: "2", placeholder: text.featuresHint, spellcheck: "false" })),
      budget !== null && h("label", { class: "field", dataset: { only: "paid" } }, h("span", {}, text.budget(budget)), h("input", { name: "budget", type: "number", min: "0", max: String(budget), step: "any" })),
      h("div", { class: "campaign-actions" }, this.submit), this.status);
    this.#fit();
  }

  /** Only what belongs to the kind that is chosen is shown. */
  #fit() {
    const { kind, reader } = this.form.elements;
    const paid = kind.value === "explain" || (kind.value === "score" && reader?.checked);
    for (const part of this.form.querySelectorAll("[data-only]")) part.hidden = part.dataset.only === "paid" ? !paid : part.dataset.only !== kind.value;
  }

  #render() {
    const { items, busy } = this.#found;
    this.submit.disabled = busy || this.#sending;
    this.submit.title = busy ? text.busy : "";
    const focused = document.activeElement instanceof HTMLElement && this.list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    fill(this.list, items.length ? h("ul", { class: "campaigns" }, items.map((run) => this.#run(run))) : h("p", { class: "muted" }, text.none));
    if (focused) this.list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #run(run) {
    const working = run.state === "working" || run.state === "waiting";
    const again = run.state === "stopped" || run.state === "failed";
    const what = [run.features === null ? text.all : text.some(run.features), run.corpus, run.reader, run.scorers?.join(", ")].filter(Boolean).join(" · ");
    const cost = run.tokens_read || run.tokens_written ? text.cost(formatInteger(run.tokens_read), formatInteger(run.tokens_written), run.cost.toFixed(4), run.budget) : null;
    const button = (key, words, act) => h("button", { type: "button", dataset: { key: `${key}:${run.id}` }, onclick: () => this.#act(act) }, words);
    return h("li", { class: "panel campaign", dataset: { run: run.id, state: run.state } },
      h("div", { class: "campaign-head" }, h("h2", {}, text.kinds[run.kind]), h("span", { class: "tag" }, text.states[run.state])),
      h("p", { class: "muted small", dir: "auto" }, what),
      working && h("div", { class: "campaign-progress" }, h("progress", { max: 1, value: run.progress, "aria-label": text.kinds[run.kind] }), h("span", { class: "small" }, `${formatPercent(run.progress)} ${run.phase}`)),
      run.message && h("p", { class: run.state === "failed" ? "error-text small" : "small", dir: "auto" }, run.message),
      cost && h("p", { class: "small" }, cost),
      h("p", { class: "muted small" }, h("bdi", {}, run.person.name), " · ", h("time", { datetime: run.created_at }, formatTime(run.created_at))),
      h("div", { class: "campaign-actions" },
        working && button("stop", text.stop, () => api.stopRun(run.id)),
        again && !this.#found.busy && button("resume", text.resume, () => api.resumeRun(run.id))));
  }

  async #start(submitted) {
    submitted.preventDefault();
    if (this.#found?.busy || this.#sending) return;
    const { kind, reader, features, budget } = this.form.elements;
    const lines = features.value.split(/\s+/).filter(Boolean);
    const bad = lines.find((line) => !/^.+:\d+$/.test(line));
    if (bad) {
      this.status.textContent = text.badLine(bad);
      features.focus();
      return;
    }
    const named = lines.map((line) => ({ source: line.slice(0, line.lastIndexOf(":")), index: Number(line.slice(line.lastIndexOf(":") + 1)) }));
    const body = { id: this.#id, kind: kind.value, features: named.length ? named : null, reader: kind.value === "score" && Boolean(reader?.checked), budget: budget && !budget.closest("label").hidden && budget.value ? Number(budget.value) : null };
    this.#sending = true;
    this.submit.disabled = true;
    const stored = await this.#act(() => api.startRun(body));
    this.#sending = false;
    if (stored) this.#id = uuid();
    if (this.#found) this.submit.disabled = this.#found.busy;
  }

  async #act(act) {
    try {
      await act();
      this.status.textContent = "";
    } catch (error) {
      if (isAbort(error)) return false;
      this.status.textContent = [error.message, error.hint].filter(Boolean).join(" ");
      await this.#load();
      return false;
    }
    await this.#load();
    return true;
  }
}

customElements.define("naming-runs", NamingRuns);
