/**
 * Inspect: which features fire on each token of a text, layer by layer.
 *
 * The URL holds the text (`text`), the chosen token (`t`) and what the shades mean (`by`).
 */
import { featureHits } from "../components/feature-hits.js";
import "../components/heat-strip.js";
import { errorView, skeleton } from "../components/state-view.js";
import { tokenChip } from "../components/token-strip.js";
import { api, isAbort } from "../lib/api.js";
import { announce, fill, h } from "../lib/dom.js";
import { formatPercent } from "../lib/format.js";
import { Page } from "../lib/page.js";
import { setQuery } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { inspect as text } from "./inspect-strings.js";
import { steerPath } from "./steer-state.js";

const TOP = 5;

class InspectPage extends Page {
  #request = new AbortController();
  #asked = null;
  #answer = null;

  connectedCallback() {
    super.connectedCallback();
    if (!this.field) this.#build();
    const options = { group: text.group, signal: this.signal };
    addShortcut("[", text.previous, () => this.#move(-1), options);
    addShortcut("]", text.next, () => this.#move(1), options);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#request.abort();
  }

  async onRoute({ query }) {
    this.setTitle(text.title);
    const typed = query.get("text") ?? "";
    const metric = query.get("by") in text.metrics ? query.get("by") : "value";
    for (const radio of this.querySelectorAll("[name=heat-metric]")) radio.checked = radio.value === metric;
    this.note.textContent = text.metricNotes[metric];
    this.strip.metric = metric;
    if (typed !== this.#asked) {
      this.field.value = typed;
      await this.#inspect(typed);
    }
    if (this.#answer) this.#showToken(query.has("t") ? Number(query.get("t")) : null);
  }

  #build() {
    this.classList.add("page", "inspect");
    this.field = h("textarea", {
      id: "inspect-text", class: "inspect-text", rows: "3", dir: "auto", spellcheck: "false", placeholder: text.placeholder,
      oninput: () => this.field.setCustomValidity(""),
      onkeydown: (event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        form.requestSubmit();
      },
    });
    const form = h("form", { class: "inspect-form", onsubmit: (event) => this.#submit(event) },
      h("label", { class: "visually-hidden", for: "inspect-text" }, text.label),
      this.field,
      h("div", { class: "inspect-actions" },
        h("button", { class: "primary", title: text.runHint }, text.run),
        h("div", { class: "chips", role: "group", "aria-label": text.examples },
          Object.entries(text.exampleTexts).map(([name, example]) => h("button", { class: "chip", type: "button", onclick: () => this.#ask(example) }, name)))));
    this.note = h("span", { class: "muted small" });
    this.count = h("span", { class: "muted small num" });
    const metric = h("div", { class: "segments", role: "radiogroup", "aria-label": text.metric },
      h("span", { class: "segments-name muted small", "aria-hidden": "true" }, text.metric),
      Object.entries(text.metrics).map(([value, name]) => h("label", { class: "segment" },
        h("input", { type: "radio", name: "heat-metric", value, onchange: () => setQuery({ by: value === "value" ? null : value }) }),
        h("span", {}, name))));
    this.strip = h("mfn-heat-strip", { class: "heat" });
    this.strip.addEventListener("tokenselect", (event) => setQuery({ t: event.detail.position }));
    this.rows = h("p", { class: "muted small" });
    this.token = h("section", { class: "inspect-token", "aria-label": text.title });
    this.result = h("div", { class: "inspect-result", hidden: true },
      h("div", { class: "inspect-bar" }, metric, this.note, this.count), this.strip, this.rows, this.token);
    this.state = h("div");
    this.append(h("header", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)), form, this.state, this.result);
  }

  #submit(event) {
    event.preventDefault();
    if (this.field.value.trim()) return this.#ask(this.field.value);
    this.field.setCustomValidity(text.noText);
    this.field.reportValidity();
  }

  #ask(typed) {
    this.field.value = typed;
    if (typed === this.#asked) this.#asked = null;
    if (new URLSearchParams(location.search).get("text") === typed) this.#inspect(typed);
    else setQuery({ text: typed, t: null }, { replace: false });
  }

  async #inspect(typed) {
    this.#request.abort();
    this.#request = new AbortController();
    this.#asked = typed;
    this.#answer = null;
    if (!typed.trim()) {
      this.result.hidden = true;
      fill(this.state);
      return;
    }
    this.result.classList.add("is-waiting");
    if (this.result.hidden) fill(this.state, skeleton(6));
    try {
      const answer = await api.inspect({ text: typed, top: TOP }, { signal: this.#request.signal });
      this.#answer = answer;
      fill(this.state);
      this.result.hidden = false;
      this.strip.show(answer);
      this.count.textContent = text.counted(answer.tokens.length);
      this.rows.textContent = text.layers(answer.layers);
      fill(this.token, h("p", { class: "muted" }, text.chooseToken));
      announce(text.done(answer.tokens.length));
    } catch (error) {
      if (isAbort(error)) return;
      this.result.hidden = true;
      fill(this.state, errorView(error, () => this.#inspect(typed)));
    }
    this.result.classList.remove("is-waiting");
  }

  #move(by) {
    if (!this.#answer) return;
    const here = Number(new URLSearchParams(location.search).get("t") ?? -by);
    setQuery({ t: Math.max(0, Math.min(this.#answer.tokens.length - 1, here + by)) });
  }

  #showToken(position) {
    const token = this.#answer.tokens[position];
    this.strip.selected = position;
    if (!token) {
      fill(this.token, h("p", { class: "muted" }, text.chooseToken));
      return;
    }
    fill(this.token,
      h("h2", { class: "inspect-chosen" }, tokenChip(token.text), h("span", { class: "muted small" }, text.tokenTitle(position))),
      h("div", { class: "inspect-layers" }, this.#answer.layers.map((layer) => this.#layer(layer, position))));
  }

  #layer({ source, layer, fvu, error_kept: kept, positions, fits }, position) {
    const hits = positions[position].map((hit) => ({ ...hit, source }));
    const onHover = (hit) => this.strip.mark(hit);
    const action = (hit) => h("a", {
      class: "button hit-action", href: steerPath({ prompt: this.#asked, interventions: [{ source, index: hit.index }] }), title: text.steerTitle,
    }, text.steer);
    return h("section", { class: "panel inspect-layer" },
      h("h3", {}, text.layer(layer), " ", h("span", { class: "muted inspect-fvu", title: text.fvuTitle }, text.fvu(fvu))),
      fits && fitLine(fits[position], kept),
      hits.length ? featureHits(hits, { action, onHover }) : h("p", { class: "muted small" }, text.nothing));
  }
}

/** One line of figures: what features explain of the residual, what the layer explains without them, what it misses. */
function fitLine({ explained, fixed, error }, kept) {
  const parts = Object.entries({ features: explained - fixed, fixed, error });
  return h("p", { class: "inspect-fit muted small" }, parts.map(([name, share]) =>
    h("span", { title: name === "error" ? `${text.fit.titles[name]}; ${text.fit.kept(kept)}` : text.fit.titles[name], dataset: { part: name } },
      h("b", { class: "num" }, formatPercent(share)), " ", text.fit.names[name])));
}

customElements.define("inspect-page", InspectPage);
