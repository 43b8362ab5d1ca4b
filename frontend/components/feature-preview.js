/**
 * A card beside a row that shows where its feature fires most strongly: after the pointer has rested on the row, or the
 * focus. It goes when both are elsewhere, with Escape, and while the list moves; the pointer may move onto it. What it
 * shows is kept and is what the feature's page needs, so that opening the page afterwards is instant.
 */

import { fill, h } from "../lib/dom.js";
import { featureId, featureName, formatPercent, formatValue, layerOf } from "../lib/format.js";
import { loadFeature } from "../lib/store.js";
import { preview as text } from "../pages/browse-strings.js";
import { contextList } from "./context-list.js";
import { skeleton } from "./state-view.js";
import { tokenChip } from "./token-chip.js";

const POINTER_MS = 320;
const FOCUS_MS = 650;
const LEAVE_MS = 140;
const CONTEXTS = 6;
const TOKENS = 6;
const GAP = 12;

/**
 * Show previews for elements of `within` that have a `data-href` of a feature.
 * @param {HTMLElement} within
 * @param {AbortSignal} signal when the page is left
 * @param {any} [first] the event of what somebody has done already
 * @returns {{hide: () => void}}
 */
export function previews(within, signal, first = null) {
  const card = h("div", { class: "preview", role: "group", popover: "manual" });
  within.append(card);
  let timer = 0;
  let shown = null;
  let pointer = { x: 0, y: 0 };

  const hide = () => {
    clearTimeout(timer);
    if (shown === null) return;
    shown = null;
    card.hidePopover();
  };
  const show = async (row, byPointer) => {
    const [, , source, index] = row.dataset.href.split("/").map(decodeURIComponent);
    const visit = (shown = row.dataset.href);
    card.setAttribute("aria-label", text.label(featureId(layerOf(source), index)));
    const place = () => row.isConnected && position(card, row, byPointer ? pointer.x : null);
    const late = setTimeout(() => {
      fill(card, skeleton(5));
      card.showPopover();
      place();
    }, 100);
    try {
      const feature = await loadFeature(source, Number(index));
      if (shown !== visit || !row.isConnected) return;
      fill(card, ...content(feature));
      card.showPopover();
      place();
    } catch {
      if (shown === visit) hide(); // the page of the feature says what is wrong
    } finally {
      clearTimeout(late);
    }
  };
  const soon = (row, wait, byPointer) => {
    clearTimeout(timer);
    if (!row || row.dataset.href === shown) return;
    timer = setTimeout(() => {
      hide();
      show(row, byPointer);
    }, wait);
  };
  const leave = () => {
    clearTimeout(timer);
    timer = setTimeout(hide, LEAVE_MS);
  };
  /** Whoever points at the button that chooses a row goes on to the next: a card would be in the way. */
  const rowOf = (event) => (event.target.closest?.(".cell-choose") ? null : (event.target.closest?.("[data-href]") ?? null));

  within.addEventListener("pointermove", (event) => (pointer = { x: event.clientX, y: event.clientY }), { signal, passive: true });
  const pointed = (event) => {
    if (event.pointerType === "touch") return;
    if (card.contains(event.target)) clearTimeout(timer);
    else if (rowOf(event)) soon(rowOf(event), shown === null ? POINTER_MS : LEAVE_MS, true);
    else leave();
  };
  const focused = (event) => {
    if (event.target.matches(":focus-visible") && !card.contains(event.target)) soon(rowOf(event), FOCUS_MS, false);
  };
  within.addEventListener("pointerover", pointed, { signal });
  within.addEventListener("pointerleave", leave, { signal });
  within.addEventListener("focusin", focused, { signal });
  within.addEventListener("focusout", (event) => !card.contains(event.relatedTarget) && leave(), { signal });
  within.addEventListener("scroll", (event) => !card.contains(event.target) && hide(), { signal, capture: true, passive: true });
  within.addEventListener("pointerdown", (event) => !card.contains(event.target) && hide(), { signal });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || shown === null) return;
    event.preventDefault();
    hide();
  }, { signal, capture: true });
  signal.addEventListener("abort", hide);
  // whoever came first may have gone on while this was fetched
  const hovered = first?.type === "pointerover" && within.querySelector("[data-href]:hover");
  if (hovered) {
    pointer = { x: first.clientX, y: first.clientY };
    pointed({ target: hovered, pointerType: first.pointerType });
  } else if (first && within.contains(document.activeElement)) focused({ target: document.activeElement });
  return { hide };
}

function content(feature) {
  const tokens = (listed) => listed.slice(0, TOKENS).map(({ text: token }) => tokenChip(token));
  return [
    h("p", { class: "preview-head" },
      h("strong", { dir: "auto", class: "preview-name" }, feature.label ?? featureName(feature)),
      h("span", { class: "muted num" }, text.figures(formatPercent(feature.rate), formatValue(feature.max)))),
    feature.contexts.length ? contextList(feature.contexts.slice(0, CONTEXTS), { max: feature.max, label: text.contexts }) : h("p", { class: "muted" }, text.silent),
    h("dl", { class: "preview-tokens" },
      h("dt", {}, text.promotes), h("dd", {}, tokens(feature.promoted)),
      h("dt", {}, text.suppresses), h("dd", {}, tokens(feature.suppressed))),
  ];
}

/** Below the row or above it, and out of the pointer's way down the list. */
function position(card, row, x) {
  const at = row.getBoundingClientRect();
  const { width, height } = card.getBoundingClientRect();
  const below = at.bottom + height + GAP < innerHeight || at.top < height + GAP;
  const top = below ? at.bottom + 4 : at.top - height - 4;
  const left = x === null ? at.left + 96 : x + GAP + width < innerWidth ? x + GAP : x - GAP - width;
  card.style.top = `${Math.max(GAP, Math.min(top, innerHeight - height - GAP))}px`;
  card.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
}
