"""What a person does on the dashboard while it is measured: goes from feature to feature, watches texts, scrolls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, expect

from benchmarks.chromium.loading import PATIENCE_MS, shift, watched_page
from benchmarks.chromium.tracing import Tasks, traced

_PAUSE_MS = 400  # a look at a feature, in which the next one is fetched ahead
_PROMPT = "The old house stood at the end of the road"
_WHEEL = 900  # pixels a notch: fast scrolling
_NOTCH_MS = 40

# From the key to the frame after the one that shows the new feature: the task that draws it changes the title.
_NEXT_FEATURE = """(key) => new Promise((resolve) => {
  const before = document.title;
  const begun = performance.now();
  const watch = new MutationObserver(() => {
    if (document.title === before) return;
    watch.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begun)));
  });
  watch.observe(document.head, { childList: true, subtree: true, characterData: true });
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
})"""

# How long any part of the list in sight stood without a row's text, in milliseconds, looked at once a frame.
_WATCH_BLANKS = """() => {
  const list = document.querySelector("[role=grid], [role=table]");
  globalThis.blank = { longest: 0, since: null, frames: 0 };
  const text = (x, y) => document.elementFromPoint(x, y)?.closest("[role=row]")?.querySelector(".row-link");
  const look = (now) => {
    const { left, top, bottom } = list.getBoundingClientRect();
    const [from, to] = [Math.max(0, top), Math.min(innerHeight, bottom)];
    const places = [0.15, 0.3, 0.45, 0.6, 0.75, 0.9].map((share) => from + share * (to - from));
    const missing = places.some((y) => !text(left + 60, y));
    blank.frames += 1;
    if (!missing) blank.since = null;
    else blank.since ??= now;
    if (missing) blank.longest = Math.max(blank.longest, now - blank.since);
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


@dataclass(frozen=True)
class Streams:
    """Two texts while they are written.

    Attributes:
        tasks: of the main thread.
        shift: cumulative layout shift from the first token to the last.
        tokens: how many were drawn.
    """

    tasks: Tasks
    shift: float
    tokens: int


@dataclass(frozen=True)
class Scrolling:
    """A list while somebody scrolls.

    Attributes:
        tasks: of the main thread.
        blank: the longest time, in milliseconds, that a place in sight had no row.
        rows: how many the list has.
    """

    tasks: Tasks
    blank: float
    rows: int


def feature_to_feature(browser: Browser, url: str, path: str, steps: int) -> list[float]:
    """Milliseconds from a key to the picture of the next feature, for each of so many."""
    page = watched_page(browser, url)
    try:
        page.goto(path)
        page.wait_for_function("() => seen.ready !== null")
        found: list[float] = []
        for _ in range(steps):
            page.wait_for_timeout(_PAUSE_MS)
            found.append(float(page.evaluate(_NEXT_FEATURE, "]")))
        return found
    finally:
        page.context.close()


def streams(browser: Browser, url: str, feature: dict[str, Any], tokens: int) -> Streams:
    """Both texts of the Steer page, coloured, with a slider that is moved on the way."""
    page = watched_page(browser, url)
    query = {
        "p": _PROMPT,
        "f": f"{feature['source']}/{feature['index']},set,{feature['max']:.2f}",
        "n": tokens,
        "c": "kl",
    }
    steered = page.locator("mfn-stream-pane[name=steered]")
    try:
        page.goto(f"/steer?{urlencode(query)}")
        expect(steered).to_have_attribute("data-state", "done", timeout=PATIENCE_MS)  # the code is fetched and compiled
        page.wait_for_timeout(_PAUSE_MS)
        with traced(browser, page) as tasks:
            page.get_by_role("button", name="Generate", exact=True).click()
            steered.locator("[data-step='4']").wait_for()
            before = shift(page)
            page.get_by_role("slider").press("ArrowUp")
            expect(steered).to_have_attribute("data-state", "done", timeout=PATIENCE_MS)
            moved = shift(page) - before
        return Streams(tasks, moved, page.locator("mfn-stream-pane [data-step]").count())
    finally:
        page.context.close()


def scrolling(browser: Browser, url: str, notches: int) -> Scrolling:
    """The list on Browse, by wheel: a long way at speed, then to its end and back."""
    page = watched_page(browser, url)
    try:
        page.goto("/browse")
        page.locator(".row-link").first.wait_for()
        page.wait_for_timeout(_PAUSE_MS)
        page.evaluate(_WATCH_BLANKS)
        page.locator(".feature-row").nth(5).hover()  # the wheel turns what is under the pointer
        with traced(browser, page) as tasks:
            for notch in range(notches):
                page.mouse.wheel(0, _WHEEL if notch % 4 else -_WHEEL / 2)
                page.wait_for_timeout(_NOTCH_MS)
            page.wait_for_timeout(_PAUSE_MS)
        seen = page.evaluate("blank")
        if seen["frames"] < notches:
            raise RuntimeError(f"only {seen['frames']} frames were looked at")
        rows = int(page.locator("[aria-rowcount]").get_attribute("aria-rowcount") or 0)
        return Scrolling(tasks, float(seen["longest"]), rows)
    finally:
        page.context.close()
