/** One evidence document: verdicts, checks, what is behind each, and how it was made. */

import { h } from "../lib/dom.js";
import { evidenceApi } from "../lib/api-evidence.js";
import { featurePath, formatTime } from "../lib/format.js";
import { evidence as text } from "../pages/evidence-strings.js";
import "./evidence-figure.js";
import { evidenceTable } from "./evidence-table.js";
import { verdictCard } from "./verdict-card.js";

/**
 * @param {any} item of the list @param {any} document @param {any} model that is served, or null
 * @param {string} section which is shown @param {(section: string) => string} pathOf of a section
 */
export function documentView(item, document, model, section, pathOf) {
  const sections = sectionsOf(document);
  const ours = item.model !== null && item.model === model?.fingerprint;
  const layers = new Map((ours ? model.sources : []).map((source) => [source.layer, source.key]));
  const featureAt = (layer, index) => (layers.has(layer) ? featurePath(layers.get(layer), index) : null);
  const chosen = sections.find(({ key }) => key === section) ?? (document.verdicts.length ? null : sections[0]);
  return h("section", { class: "evidence-document", "aria-label": document.title },
    h("header", {}, h("h2", {}, document.title), h("p", {}, document.summary),
      item.kind === "eval" && model && h("p", { class: ours ? "muted small" : "evidence-other" }, ours ? text.ofServed : text.ofOther(item.model?.slice(0, 8) ?? text.unknown, model.name))),
    document.verdicts.length > 0 && h("div", { class: "verdicts" }, document.verdicts.map((verdict) => card(verdict, sections, pathOf))),
    document.checks.length > 0 && h("section", {}, h("h3", {}, text.checks), evidenceTable(checksTable(document.checks))),
    sections.length > 0 && h("nav", { class: "evidence-sections", "aria-label": text.sections },
      sections.map(({ key, title }) => h("a", { href: pathOf(key), "aria-current": key === chosen?.key ? "true" : null, "data-key": `section-${key}` }, title))),
    chosen && h("section", { class: "evidence-section", id: "evidence-section", "aria-label": chosen.title },
      chosen.figures.map((figure) => Object.assign(h("mfn-evidence-figure", {}), { figure })),
      chosen.tables.map((table) => evidenceTable(table, featureAt))),
    h("section", { class: "evidence-made" }, h("h3", {}, text.made), made(document),
      h("p", { class: "small" }, h("a", { href: evidenceApi.jsonPath(item.key), download: `${item.key}.json` }, text.asJson), " · ", h("a", { href: evidenceApi.htmlPath(item.key), download: `${item.key}.html` }, text.asHtml))));
}

function card(verdict, sections, pathOf) {
  const key = String(verdict.name);
  const known = text.predictions.find((each) => each.key === key);
  const section = sections.find((each) => each.key === key.toLowerCase());
  return verdictCard({ ...known, key, claim: verdict.claim || known?.claim || key, today: [] }, verdict, section ? pathOf(section.key) : null);
}

const checksTable = (checks) => ({
  title: "",
  columns: [{ key: "claim", title: text.claim, kind: "text" }, { key: "found", title: text.found, kind: "text" }, { key: "status", title: text.status, kind: "status" }],
  rows: checks,
});

/** As `Document.by_section`: what belongs to no section comes last. */
function sectionsOf({ sections, tables, figures }) {
  const sectionOf = ({ key }) => (key.includes("/") && Object.hasOwn(sections, key.split("/")[0]) ? key.split("/")[0] : "");
  return [...Object.entries(sections), ["", text.rest]]
    .map(([key, title]) => ({ key: key || "rest", title, tables: tables.filter((each) => sectionOf(each) === key), figures: figures.filter((each) => sectionOf(each) === key) }))
    .filter((section) => section.tables.length + section.figures.length > 0);
}

function made({ made: by, settings }) {
  const write = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const facts = (held) => h("dl", { class: "evidence-facts" }, Object.entries(held).map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, write(value)))));
  const commit = typeof by.commit === "string" && by.commit !== "unknown" ? text.commit(by.commit.slice(0, 12)) : null;
  const versions = by.versions && typeof by.versions === "object" ? Object.entries(by.versions).map(([name, version]) => `${name} ${version}`).join(", ") : null;
  const seed = settings.seed === undefined ? null : text.seed(write(settings.seed));
  const told = [formatTime(String(by.time ?? "")), commit, seed, versions].filter(Boolean).join(" · ");
  return [h("p", { class: "small" }, told), h("details", {}, h("summary", {}, text.settings), facts(settings)), h("details", {}, h("summary", {}, text.provenance), facts(by))];
}
