/** <label-files>: labels as files, to be fetched, and for admins to be brought in, after a look at what that would do. */

import { isAbort } from "../lib/api.js";
import { bringIn } from "../lib/label-import.js";
import { fill, h } from "../lib/dom.js";
import { errorText } from "../lib/error-text.js";
import { loadPerson } from "../lib/person.js";
import { labelFiles as text } from "../pages/label-files-strings.js";

class LabelFiles extends HTMLElement {
  #leaving = new AbortController();

  connectedCallback() {
    if (this.firstChild) return;
    this.classList.add("label-files");
    const link = (format) => h("a", { class: "button", href: `/api/labels/export?format=${format}`, download: "" }, text.formats[format]);
    this.room = h("div", {});
    this.append(h("p", { class: "muted small" }, text.lead), h("p", { class: "label-files-row" }, link("jsonl"), link("csv"), link("neuronpedia")), this.room);
    loadPerson({ signal: this.#leaving.signal }).then(({ person }) => person?.permissions.includes("administer") && this.#offer(), () => {}); // who may not is told nothing
  }

  disconnectedCallback() {
    this.#leaving.abort();
  }

  #offer() {
    this.file = h("input", { type: "file", accept: ".jsonl,.csv,.json,text/csv", "aria-label": text.file, onchange: () => this.#look() });
    this.report = h("div", { class: "import-report", role: "status" });
    fill(this.room, h("p", { class: "label-files-row" }, h("label", {}, text.bring, " ", this.file)), this.report);
  }

  /** What would happen, before anything does. */
  async #look() {
    const [file] = this.file.files;
    if (file) await this.#send(file, true);
  }

  async #send(file, dryRun) {
    fill(this.report, h("p", { class: "muted" }, dryRun ? text.looking : text.taking));
    this.file.disabled = true;
    try {
      const found = await bringIn(file, { dryRun }, { signal: this.#leaving.signal });
      fill(this.report, reportView(found), dryRun && found.n_problems === 0 && found.new + found.new_collection_events > 0 && h("p", {}, h("button", { type: "button", class: "primary", onclick: () => this.#send(file, false) }, text.take(found.new + found.new_collection_events))));
      if (!dryRun) this.file.value = "";
    } catch (error) {
      if (!isAbort(error)) fill(this.report, h("p", { class: "error-text", role: "alert" }, errorText(error)));
    } finally {
      this.file.disabled = false;
    }
  }
}

function reportView(found) {
  const { problems, people, left_out: leftOut } = found;
  const list = (heading, items) => items.length > 0 && [h("h3", {}, heading), h("ul", {}, items.map((item) => h("li", { dir: "auto" }, item)))];
  return [
    h("p", {}, h("b", {}, text.summary(found))),
    list(text.problems(found.n_problems), problems.map(({ line, message, hint }) => text.problem(line, message, hint))),
    list(text.leftOut, leftOut.map(({ events, message, lines }) => text.left(events, message, lines))),
    list(text.people, people.map((who) => text.person(who))),
  ];
}

customElements.define("label-files", LabelFiles);
