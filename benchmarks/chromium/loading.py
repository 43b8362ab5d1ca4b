"""One load of a page by a browser that has never seen it: paints, bytes, shifts, and when it can be used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page

PATIENCE_MS = 60_000
_SETTLED_MS = 1_500
"""For so long after a page is complete, long tasks still count as part of its load."""

# `ready` is when the page has its heading and no skeleton any more; the observer runs before anything of the page does.
_OBSERVE = """
globalThis.seen = { shift: 0, shifts: [], tasks: [], ready: null };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    seen.shift += entry.value;
    const nodes = (entry.sources ?? []).map(({ node }) => node).filter(Boolean);
    seen.shifts.push(...nodes.map((node) => `${node.localName ?? node.nodeName}.${node.className ?? ""}`));
  }
}).observe({ type: "layout-shift", buffered: true });
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) seen.tasks.push(startTime + duration);
}).observe({ type: "longtask", buffered: true });
const complete = () => document.querySelector("main h1, main h2") && !document.querySelector("main .skeleton");
const look = new MutationObserver(() => {
  if (seen.ready !== null || !complete()) return;
  seen.ready = performance.now();
});
look.observe(document, { childList: true, subtree: true });
"""
_READ = """() => ({
  paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null,
  ready: seen.ready,
  task: Math.max(0, ...seen.tasks),
  shift: seen.shift,
  shifts: seen.shifts,
  resources: performance.getEntriesByType("resource").map(({ name, decodedBodySize }) => [name, decodedBodySize]),
})"""


@dataclass(frozen=True)
class Load:
    """What one load came to.

    Attributes:
        paint: milliseconds to the first contentful paint.
        interactive: milliseconds until the page was complete and no long task (over 50 ms) was left to run.
        own_bytes: of the project's scripts and style sheets that it fetched, uncompressed.
        vendor_bytes: of scripts that come out of installed packages.
        shift: cumulative layout shift, without unit.
        shifted: what moved.
    """

    paint: float
    interactive: float
    own_bytes: int
    vendor_bytes: int
    shift: float
    shifted: tuple[str, ...]


def watched_page(browser: Browser, url: str) -> Page:
    """A page in a fresh profile, so that nothing is cached, which counts what moves on it."""
    context = browser.new_context(base_url=url, viewport={"width": 1320, "height": 860})
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(_OBSERVE)
    return context.new_page()


def load(browser: Browser, url: str, path: str) -> Load:
    """Opens a page of the server at `url`."""
    page = watched_page(browser, url)
    try:
        page.goto(path)
        page.wait_for_function("() => seen.ready !== null")
        page.wait_for_timeout(_SETTLED_MS)
        return _read(page.evaluate(_READ), path)
    finally:
        page.context.close()


def shift(page: Page) -> float:
    """Cumulative layout shift of a watched page so far."""
    return float(page.evaluate("seen.shift"))


def _read(seen: dict[str, Any], path: str) -> Load:
    if seen["paint"] is None:
        raise RuntimeError(f"Chromium reports no paint of {path}: {json.dumps(seen)[:300]}")
    sizes = {"/assets/": 0, "/vendor/": 0}
    for name, size in seen["resources"]:
        for folder in sizes:
            if folder in name and name.partition("?")[0].endswith((".js", ".css")):
                sizes[folder] += size
    return Load(
        paint=seen["paint"],
        interactive=max(seen["paint"], seen["ready"], seen["task"]),
        own_bytes=sizes["/assets/"],
        vendor_bytes=sizes["/vendor/"],
        shift=seen["shift"],
        shifted=tuple(sorted(set(seen["shifts"]))),
    )
