/**
 * <queue-form>: opens a campaign, or changes one. `make(model, people, features)` or `change(campaign, people)` fills it;
 * what was stored fires "stored" with the campaign. `features`: [{ source, index }] that were chosen elsewhere.
 */

import { campaigns } from "../lib/api-campaigns.js";
import { fill, h, uuid } from "../lib/dom.js";
import { queue } from "../pages/label-queue-strings.js";

const text = queue.form;

class QueueForm extends HTMLElement {
  /** @type {any} */
  #campaign = null;
  #id = uuid();

  make(model, people, features) {
    this.#campaign = null;
    const layers = [...new Set(model.sources.map((source) => source.layer))].sort((a, b) => a - b);
    const listed = features.length > 0;
    this.#build(text.title, text.submit, people, { name: "", instructions: "", people: null, due_at: null }, [
      h(
        "fieldset",
        { class: "queue-choice" },
        h("legend", {}, text.which),
        radio("which", "list", text.fromList, !listed),
        h(
          "div",
          { class: "queue-filter", dataset: { of: "list" } },
          select("layer", text.layer, [["", text.allLayers], ...layers.map((layer) => [layer, String(layer)])]),
          select("status", text.status, Object.entries(text.statuses)),
          input("q", text.search, { maxlength: "200" }),
          select("sort", text.sort, Object.entries(text.sorts)),
          input("most", text.most, { type: "number", min: "1", max: "10000", value: "50", required: true }),
        ),
        radio("which", "these", text.these, listed),
        h(
          "label",
          { class: "field", dataset: { of: "these" } },
          h("span", {}, text.theseHint),
          h("textarea", { name: "features", rows: "4", class: "mono", value: features.map(({ source, index }) => `${source}:${index}`).join("\n") }),
        ),
      ),
      h(
        "div",
        { class: "queue-row" },
        input("opinions", text.opinions, { type: "number", min: "1", max: "20", value: String(Math.min(2, people.length)), required: true }),
        h("label", { class: "queue-check" }, h("input", { type: "checkbox", name: "blind", checked: true }), h("span", {}, text.blind)),
      ),
    ]);
  }

  change(campaign, people) {
    this.#campaign = campaign;
    this.#build(text.titleChange, text.submitChange, people, campaign, []);
  }

  #build(title, button, people, { name, instructions, people: chosen, due_at: due }, content) {
    this.error = h("p", { class: "error-text", role: "alert" });
    this.save = h("button", { type: "submit", class: "primary" }, button);
    this.form = h(
      "form",
      { class: "panel queue-form", onsubmit: (event) => this.#submit(event), onchange: () => this.#turn() },
      h("h1", {}, title),
      input("name", text.name, { required: true, maxlength: "200", value: name }),
      h("label", { class: "field" }, h("span", {}, text.instructions), h("textarea", { name: "instructions", rows: "3", maxlength: "5000", placeholder: text.instructionsHint, value: instructions })),
      content,
      people.length > 1 && h(
        "fieldset",
        { class: "queue-choice" },
        h("legend", {}, text.who),
        radio("who", "all", text.all, chosen === null),
        radio("who", "some", text.some, chosen !== null),
        h("div", { class: "queue-people", dataset: { of: "some" } }, people.map((person) => h("label", { class: "queue-check" }, h("input", { type: "checkbox", name: "people", value: person.id, checked: chosen?.some(({ id }) => id === person.id) ?? false }), h("bdi", {}, person.name)))),
      ),
      input("due", text.due, { type: "date", value: due?.slice(0, 10) ?? "" }),
      h("div", { class: "campaign-actions" }, this.save, h("a", { class: "button", href: "/label" }, text.cancel), this.error),
    );
    fill(this, this.form);
    this.#turn();
  }

  focusField() {
    this.form.elements.name.focus();
  }

  /** What belongs to a choice that is not made cannot be filled in. */
  #turn() {
    const chosen = new Set([...this.form.querySelectorAll("input[type=radio]:checked")].map(({ value }) => value));
    for (const part of this.form.querySelectorAll("[data-of]")) {
      part.hidden = !chosen.has(part.dataset.of);
      for (const field of part.querySelectorAll("input, select, textarea")) field.disabled = part.hidden;
    }
  }

  async #submit(submitted) {
    submitted.preventDefault();
    const data = new FormData(this.form);
    const terms = {
      name: data.get("name"),
      instructions: words(data, "instructions") || null,
      people: data.get("who") === "some" ? data.getAll("people") : null,
      due_at: data.get("due") ? new Date(`${data.get("due")}T23:59:59`).toISOString() : null,
    };
    this.error.textContent = "";
    this.save.disabled = true;
    try {
      const stored = this.#campaign
        ? await campaigns.change(this.#campaign.id, { id: uuid(), base_version: this.#campaign.version, event: { kind: "change", ...terms } })
        : await campaigns.open({ id: this.#id, ...terms, features: choice(data), opinions: Number(data.get("opinions")), blind: data.has("blind") });
      this.dispatchEvent(new CustomEvent("stored", { detail: stored }));
    } catch (error) {
      if (error.code === "id_reused") this.#id = uuid();
      this.error.textContent = [error.message, error.hint].filter(Boolean).join(" ");
    } finally {
      this.save.disabled = false;
    }
  }
}

const words = (data, name) => String(data.get(name) ?? "").trim();

function choice(data) {
  if (data.get("which") === "these") {
    const lines = words(data, "features").split(/\s+/).filter(Boolean);
    return { kind: "list", features: lines.map((line) => {
      const match = /^(.+):(\d{1,9})$/.exec(line);
      if (!match) throw new Error(text.badLine(line));
      return { source: match[1], index: Number(match[2]) };
    }) };
  }
  const query = Object.fromEntries(["status", "sort", "q"].map((name) => [name, words(data, name)]).filter(([, value]) => value));
  if (data.get("layer") !== "") query.layer = Number(data.get("layer"));
  return { kind: "filter", query, most: Number(data.get("most")) };
}

const input = (name, label, props) => h("label", { class: "field" }, h("span", {}, label), h("input", { name, autocomplete: "off", ...props }));
const select = (name, label, options) => h("label", { class: "field" }, h("span", {}, label), h("select", { name }, options.map(([value, shown]) => h("option", { value }, shown))));
const radio = (name, value, label, checked) => h("label", { class: "queue-check" }, h("input", { type: "radio", name, value, checked }), h("span", {}, label));

customElements.define("queue-form", QueueForm);
