/**
 * The exact value of a shaded token, at once where the pointer is or where the keyboard has gone. One small box for the
 * whole page, in the top layer; `mark[data-tip]` says what stands in it.
 */

import { announce, h } from "../lib/dom.js";

const MARK = "mark[data-tip]";
const MARGIN = 6;
const tip = h("div", { class: "value-tip num", popover: "manual", "aria-hidden": "true" });
/** @type {HTMLElement|null} */ let shown = null; // the mark that it speaks of

function show(mark) {
  if (!tip.isConnected) document.body.append(tip);
  shown?.classList.remove("is-pointed");
  shown = mark;
  mark.classList.add("is-pointed");
  tip.replaceChildren(...mark.dataset.tip.split("\n").map((line) => h("span", { dir: "auto" }, line)));
  if (!tip.matches(":popover-open")) tip.showPopover();
  const { left, width, top, bottom } = mark.getClientRects()[0];
  const { offsetWidth, offsetHeight } = tip;
  const x = Math.min(Math.max(MARGIN, left + width / 2 - offsetWidth / 2), innerWidth - offsetWidth - MARGIN);
  const y = top - offsetHeight - MARGIN > 0 ? top - offsetHeight - MARGIN : bottom + MARGIN;
  tip.style.setProperty("left", `${x}px`);
  tip.style.setProperty("top", `${y}px`);
}

function hide() {
  if (!shown) return;
  shown.classList.remove("is-pointed");
  shown = null;
  tip.hidePopover();
}

document.addEventListener("pointerover", ({ target }) => {
  const mark = target instanceof Element ? /** @type {HTMLElement|null} */ (target.closest(MARK)) : null;
  if (mark?.getClientRects().length) show(mark);
  else hide();
});
addEventListener("scroll", hide, { capture: true, passive: true });
addEventListener("mfn:locationchange", hide);
addEventListener("popstate", hide);
document.addEventListener("keydown", ({ key }) => key === "Escape" && hide());

/**
 * Arrow keys left and right, while `control` has the focus, go through the shaded tokens in `text()` and say what each is.
 * Back beyond the first, or when the focus leaves, nothing is pointed at.
 */
export function stepThroughValues(control, text) {
  let at = -1;
  control.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    const marks = [...text().querySelectorAll(MARK)].filter((mark) => mark.getClientRects().length);
    at = Math.max(-1, Math.min(at + step, marks.length - 1));
    event.preventDefault();
    if (at < 0) return hide();
    marks[at].scrollIntoView({ block: "nearest" });
    show(marks[at]);
    announce(marks[at].dataset.tip);
  });
  control.addEventListener("blur", () => {
    at = -1;
    hide();
  });
}
