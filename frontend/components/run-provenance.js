/**
 * `<mfn-run-provenance>`: what a link says of the run that it was made from, against this model and what came out here.
 */
import { fill, h } from "../lib/dom.js";
import { loadModel } from "../lib/store.js";
import { differences, outcome } from "../pages/steer-share.js";
import { share as text } from "../pages/share-strings.js";

export class RunProvenance extends HTMLElement {
  #asked = 0;

  connectedCallback() {
    this.setAttribute("aria-live", "polite");
  }

  /**
   * @param {import("../pages/steer-share.js").RunFacts|null} facts null: nothing is said
   * @param {{run?: import("../pages/steer-run.js").SteerRun|null, writing?: boolean}} options `run`: one that has ended, and
   *   that the facts speak of; `writing`: it is on its way
   */
  async show(facts, { run = null, writing = false } = {}) {
    const asked = ++this.#asked;
    const model = facts && (await loadModel().catch(() => null));
    if (asked !== this.#asked) return;
    if (!model) {
      fill(this);
      return;
    }
    const found = differences(facts, model);
    const result = run && outcome(facts, run);
    if (!result && !found.length && !writing) {
      fill(this);
      return;
    }
    const otherModel = facts.model !== model.fingerprint.slice(0, facts.model.length);
    const why = result === "other" && !found.length ? text.otherHere : null;
    const lead = found.length && !otherModel && result !== "exact" ? text.buildLead : null;
    const worrying = result === "other" || found.length > 0;
    const said = [why, lead, ...found].filter(Boolean).join(" ");
    fill(this, h("div", { class: `notice is-${worrying ? "warning" : "note"} provenance` },
      h("p", {}, result ? h("strong", {}, text[result]) : writing && text.comparing, " ", said)));
  }
}

customElements.define("mfn-run-provenance", RunProvenance);
