/**
 * Inspect: which features fire on each token of a text, layer by layer; and of two texts, what is different.
 *
 * The URL holds the text (`text`), the one it is compared with (`vs`), the chosen token (`t`, of the second text as `t=b3`)
 * and what the shades mean (`by`). Texts that no address can hold stay in the history entry.
 */
import "../components/heat-strip.js";
import "../components/heat-table.js";
import "../components/inspect-token.js";
import { errorView, skeleton } from "../components/state-view.js";
import { align, inverse } from "../lib/align.js";
import { api, isAbort } from "../lib/api.js";
import { announce, fill, h } from "../lib/dom.js";
import { LONGEST_LINK, fitsLink, heldBack, holdBack } from "../lib/link-limit.js";
import { Page } from "../lib/page.js";
import { setQuery } from "../lib/router.js";
import { addShortcut } from "../lib/shortcuts.js";
import { inspect as text } from "./inspect-strings.js";

const TOP = 5;
const HELD = "inspect"; // of history entries

class InspectPage extends Page {
  /** @type {any[]} */ fields;
  /** @type {any[]} */ panels;
  /** @type {any[]} */ tokens;
  #request = new AbortController();
  /** @type {string|null} */ #asked = null; // the texts that answers are of, or are being fetched for, as JSON
  #answers = [];
  #pairs = []; // for each text, which token of the other one each token corresponds to

  connectedCallback() {
    super.connectedCallback();
    if (!this.fields) this.#build();
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
    const texts = heldBack(HELD) ?? [query.get("text") ?? "", ...(query.has("vs") ? [query.get("vs")] : [])];
    const metric = query.get("by") in text.metrics ? query.get("by") : "value";
    for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ (this.querySelectorAll("[name=heat-metric]"))) radio.checked = radio.value === metric;
    this.note.textContent = text.metricNotes[metric];
    for (const { strip, table } of this.panels) strip.metric = table.metric = metric;
    if (JSON.stringify(texts) !== this.#asked) {
      this.#fill(texts);
      await this.#inspect(texts);
    }
    if (this.#answers.length) this.#showToken(placeOf(query.get("t")));
  }

  /* -- building ---------------------------------------------------------------------------------------------------- */

  #build() {
    this.classList.add("page", "inspect");
    this.fields = text.labels.map((_, place) => this.#field(place));
    this.second = h("div", { class: "inspect-second", hidden: true }, h("label", { class: "muted small", for: "inspect-text-2" }, text.labels[1]), this.fields[1]);
    this.comparing = h("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": "inspect-text-2", onclick: () => this.#toggleSecond() }, text.compare);
    this.form = h("form", { class: "inspect-form", onsubmit: (event) => this.#submit(event) },
      h("label", { class: "visually-hidden", for: "inspect-text" }, text.label),
      this.fields[0], this.second,
      h("div", { class: "inspect-actions" },
        h("button", { class: "primary", title: text.runHint }, text.run), this.comparing,
        h("div", { class: "chips", role: "group", "aria-label": text.examples },
          Object.entries(text.exampleTexts).map(([name, example]) => h("button", { class: "chip", type: "button", onclick: () => this.#ask([example]) }, name)))));
    this.note = h("span", { class: "muted small" });
    const metric = h("div", { class: "segments", role: "radiogroup", "aria-label": text.metric },
      h("span", { class: "segments-name muted small", "aria-hidden": "true" }, text.metric),
      Object.entries(text.metrics).map(([value, name]) => h("label", { class: "segment" },
        h("input", { type: "radio", name: "heat-metric", value, onchange: () => setQuery({ by: value === "value" ? null : value }) }),
        h("span", {}, name))));
    this.strips = h("div", { class: "inspect-strips" });
    this.panels = text.strips.map((label, place) => this.#panel(label, place));
    this.rows = h("p", { class: "muted small" });
    this.long = h("p", { class: "muted small", role: "status" });
    this.differences = h("mfn-inspect-differences", { class: "inspect-differences", hidden: true });
    this.tokens = this.panels.map(({ strip }) => {
      const token = h("mfn-inspect-token", { class: "inspect-token" });
      token.addEventListener("featurehover", (event) => strip.mark(event.detail.hit));
      return token;
    });
    this.result = h("div", { class: "inspect-result", hidden: true },
      h("div", { class: "inspect-bar" }, metric, this.note),
      this.strips,
      this.rows,
      h("div", { class: "inspect-tokens" }, this.tokens),
      this.differences);
    this.state = h("div");
    this.append(h("header", {}, h("h1", {}, text.title), h("p", { class: "muted" }, text.lead)), this.form, this.long, this.state, this.result);
  }

  #field(place) {
    const field = h("textarea", {
      id: place ? "inspect-text-2" : "inspect-text", class: "inspect-text", rows: "3", dir: "auto", spellcheck: "false",
      placeholder: place ? text.secondPlaceholder : text.placeholder,
      oninput: () => field.setCustomValidity(""),
      onkeydown: (event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        this.form.requestSubmit();
      },
    });
    return field;
  }

  #panel(label, place) {
    const strip = h("mfn-heat-strip", { class: "heat", label });
    strip.addEventListener("tokenselect", ({ detail }) => setQuery({ t: `${place ? "b" : ""}${detail.position}` }));
    const table = h("mfn-heat-table", { label: text.tableOf(label) });
    const name = h("h2", { class: "small" });
    const count = h("span", { class: "muted small num" });
    const element = h("div", { class: "inspect-panel" }, h("div", { class: "inspect-panel-head" }, name, count), strip, table);
    return { element, strip, table, name, count };
  }

  #toggleSecond() {
    const open = this.second.hidden;
    this.#showSecond(open);
    if (open) this.fields[1].focus();
    else if (JSON.parse(this.#asked ?? "[]").length > 1) this.#ask([this.fields[0].value]);
  }

  #showSecond(shown) {
    this.second.hidden = !shown;
    this.comparing.textContent = shown ? text.alone : text.compare;
    this.comparing.setAttribute("aria-expanded", String(shown));
  }

  #fill(texts) {
    for (const [place, field] of this.fields.entries()) field.value = texts[place] ?? "";
    this.#showSecond(texts.length > 1);
  }

  /* -- asking ------------------------------------------------------------------------------------------------------ */

  #submit(event) {
    event.preventDefault();
    const [first, second] = this.fields;
    if (first.value.trim()) return this.#ask([first.value, ...(!this.second.hidden && second.value.trim() ? [second.value] : [])]);
    first.setCustomValidity(text.noText);
    first.reportValidity();
  }

  /** Go to the address of these texts; where they are there already, ask once more. */
  #ask(texts) {
    this.#fill(texts);
    if (JSON.stringify(texts) === this.#asked) {
      this.#inspect(texts);
      return;
    }
    const [first, second = null] = texts;
    const fits = fitsLink(`/inspect?${new URLSearchParams({ text: first, vs: second ?? "" })}`);
    setQuery({ text: fits ? first : null, vs: fits ? second : null, t: null }, { replace: false, silent: true });
    holdBack(HELD, fits ? null : texts);
    this.onRoute({ query: new URLSearchParams(location.search) });
  }

  async #inspect(texts) {
    this.#request.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    this.#asked = JSON.stringify(texts);
    this.#answers = [];
    this.long.textContent = heldBack(HELD) ? text.tooLong(LONGEST_LINK) : "";
    if (!texts[0].trim()) {
      this.result.hidden = true;
      fill(this.state);
      return;
    }
    this.result.classList.add("is-waiting");
    if (this.result.hidden) fill(this.state, skeleton(6));
    try {
      const answers = await Promise.all(texts.map((typed) => api.inspect({ text: typed, top: TOP }, { signal })));
      this.#answers = answers;
      fill(this.state);
      this.#show(answers);
      announce(text.done(answers.reduce((sum, { tokens }) => sum + tokens.length, 0)));
    } catch (error) {
      if (isAbort(error)) return;
      this.result.hidden = true;
      fill(this.state, errorView(error, () => this.#inspect(texts)));
    }
    this.result.classList.remove("is-waiting");
  }

  /* -- showing ----------------------------------------------------------------------------------------------------- */

  #show(answers) {
    const two = answers.length > 1;
    const ids = answers.map(({ tokens }) => tokens.map(({ id }) => id));
    const there = two ? align(ids[0], ids[1]) : [];
    this.#pairs = two ? [there, inverse(there, ids[1].length)] : [];
    this.result.hidden = false;
    this.result.classList.toggle("is-comparison", two);
    fill(this.strips, answers.map((_, place) => this.panels[place].element));
    for (const [place, answer] of answers.entries()) {
      const { strip, table, name, count } = this.panels[place];
      const differing = two ? this.#pairs[place].flatMap((other, position) => (other === null ? [position] : [])) : [];
      name.textContent = two ? text.names[place] : "";
      count.textContent = [text.counted(answer.tokens.length), two && text.differing(differing.length)].filter(Boolean).join(" · ");
      strip.show(answer, differing);
      table.data = answer;
    }
    this.rows.textContent = text.layers(answers[0].layers);
    this.differences.hidden = true;
    if (two) this.#showDifferences(answers);
  }

  async #showDifferences(answers) {
    const there = await import("../components/inspect-differences.js").catch(() => null); // without it both texts are still shown
    if (!there || answers !== this.#answers) return;
    this.differences.show(answers[0], answers[1], TOP);
    this.differences.hidden = false;
  }

  #move(by) {
    if (!this.#answers.length) return;
    const { side, position } = placeOf(new URLSearchParams(location.search).get("t")) ?? { side: 0, position: -by };
    const last = this.#answers[side].tokens.length - 1;
    setQuery({ t: `${side ? "b" : ""}${Math.max(0, Math.min(last, position + by))}` });
  }

  /** @param {{side: number, position: number}|null} chosen */
  #showToken(chosen) {
    const known = chosen !== null && this.#answers[chosen.side]?.tokens[chosen.position] !== undefined;
    const other = known ? (this.#pairs[chosen.side]?.[chosen.position] ?? null) : null;
    const texts = JSON.parse(this.#asked ?? "[]");
    for (const [side, answer] of this.#answers.entries()) {
      const { strip } = this.panels[side];
      const position = !known ? null : side === chosen.side ? chosen.position : other;
      strip.selected = known && side === chosen.side ? position : null;
      strip.counterpart = known && side !== chosen.side ? position : null;
      const name = this.#answers.length > 1 ? text.names[side] : null;
      if (position !== null) this.tokens[side].show({ answer, position, heading: text.tokenTitle(position, name), prompt: texts[side] });
      else if (known) this.tokens[side].clear(text.noCounterpart);
      else if (side === 0) this.tokens[side].clear(text.chooseToken);
      else fill(this.tokens[side]);
    }
    if (this.#answers.length < 2) fill(this.tokens[1]);
  }
}

/** "12" of the first text, "b3" of the second; null for no token. */
function placeOf(written) {
  const match = /^(b?)(\d+)$/.exec(written ?? "");
  return match && { side: match[1] ? 1 : 0, position: Number(match[2]) };
}

customElements.define("inspect-page", InspectPage);
