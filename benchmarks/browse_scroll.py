"""Scrolling through a million features in Chromium: what the main thread does, and how long a row in sight stays empty.

A server in its own process on a synthetic index (see `benchmarks.synthetic`), and Browse in a browser beside it.
Wheel, thumb of the scrollbar, keys: see `WAYS`. Tasks are those of Chromium's own tracing (`RunTask` of the renderer's
main thread), without what comes before the first row. A row counts as empty from the frame in which its place is in
sight until the frame in which it has its content; where no row stands at all, that is empty, too.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.harness import Metric, Result
from benchmarks.serving import serving
from benchmarks.synthetic.studio import make_studio

FEATURES, QUICK_FEATURES = 1_000_000, 2_000
TOKENS, QUICK_TOKENS = 4_000_000, 100_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
CATEGORIES = ["toplevel"]  # its tasks, and no more: tracing itself takes time
LONG_TASK_MS, EMPTY_MS = 50.0, 200.0

# Looks at the list once a frame, after it was drawn, and keeps how long each place in sight has been empty.
_WATCH = """
() => {
  const scroller = document.querySelector("mfn-virtual-list .vlist-scroller");
  const head = scroller.querySelector(".feature-head")?.offsetHeight ?? 0;
  const row = document.querySelector(".vlist-probe").offsetHeight;
  const since = new Map();
  const found = (window.found = { longest: 0, episodes: [], frames: 0, slowest: 0 });
  let last = performance.now();
  const look = (now) => {
    if (window.enough) return;
    requestAnimationFrame(() => setTimeout(() => look(performance.now())));
    found.frames += 1;
    found.slowest = Math.max(found.slowest, now - last);
    last = now;
    const box = scroller.getBoundingClientRect();
    const [top, bottom] = [box.top + head, box.bottom];
    const empty = new Set();
    let full = 0;
    for (const element of scroller.querySelectorAll("[data-rank]")) {
      const { top: from, bottom: to } = element.getBoundingClientRect();
      if (to <= top + 2 || from >= bottom - 2) continue;
      if (element.dataset.waiting === undefined) full += Math.min(to, bottom) - Math.max(from, top);
      else empty.add(element.ariaRowIndex);
    }
    if (empty.size === 0 && full < bottom - top - row) empty.add("nothing at all");
    for (const place of empty) if (!since.has(place)) since.set(place, now);
    for (const [place, begun] of since) {
      found.longest = Math.max(found.longest, now - begun);
      if (empty.has(place)) continue;
      found.episodes.push(now - begun);
      since.delete(place);
    }
  };
  look(performance.now());
}
"""

_DRAG = """
async ([jumps, pause]) => {
  const scroller = document.querySelector("mfn-virtual-list .vlist-scroller");
  for (let i = 0; i < jumps; i++) {
    const share = 0.5 + 0.5 * Math.sin((i / jumps) * 7) * Math.cos(i / 9);
    scroller.scrollTop = share * (scroller.scrollHeight - scroller.clientHeight);
    await new Promise((done) => setTimeout(done, pause));
  }
}
"""


class Scrolled(NamedTuple):
    """What scrolling one way took.

    Attributes:
        longest_task: of the main thread, ms by the clock.
        longest_cpu: of its tasks, ms of processor time: what it takes on a machine that does nothing else.
        long_tasks: of more than 50 ms.
        longest_empty: that a place in sight stayed without its row, ms.
        empty: how many places were empty at all.
        frames: that were looked at.
        slowest_frame: between two of them, ms.
    """

    longest_task: float
    longest_cpu: float
    long_tasks: int
    longest_empty: float
    empty: int
    frames: int
    slowest_frame: float


def run(quick: bool, features: int | None = None, keep: Path | None = None) -> Result:
    """Scroll in each of the ways.

    Args:
        quick: a small index and short ways, to show that it runs.
        features: of the index.
        keep: a folder where synthetic indexes stay, to be used again.
    """
    executable = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    if executable is None:
        raise SystemExit("there is no Chromium on this machine (Debian: apt-get install chromium)")
    size = features or (QUICK_FEATURES if quick else FEATURES)
    metrics: dict[str, Metric] = {}
    with tempfile.TemporaryDirectory() as temporary:
        studio = make_studio((keep or Path(temporary)) / f"{size}", size, QUICK_TOKENS if quick else TOKENS)
        with serving("serve", str(studio.model), MFN_DATABASE=studio.database) as (port, _, client):
            client.json("/api/features")  # the columns are read
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
                found = scroll(browser, f"http://127.0.0.1:{port}", quick)
                browser.close()
    for name, way in found.items():
        metrics |= {
            f"longest_task_{name}": Metric(way.longest_task, "ms", None if quick else LONG_TASK_MS),
            f"longest_task_processor_{name}": Metric(way.longest_cpu, "ms"),
            f"empty_row_{name}": Metric(way.longest_empty, "ms", None if quick else EMPTY_MS),
        }
    return Result(metrics, {"features": studio.features, "ways": list(WAYS)})


def scroll(browser: Browser, url: str, quick: bool = False) -> dict[str, Scrolled]:
    """Scroll through the list of a running app, in each of the ways, each on a page of its own.

    Args:
        browser: Chromium.
        url: of the app, whose list should be long.
        quick: a shorter way.
    """
    return {name: _measured(browser, url, name, quick) for name in WAYS}


def _measured(browser: Browser, url: str, way: str, quick: bool) -> Scrolled:
    context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 860})
    try:
        page = context.new_page()
        page.goto("/browse?sort=rate")
        page.locator(".feature-row .row-link").first.wait_for()
        page.wait_for_load_state("networkidle")
        page.mouse.move(640, 500)
        browser.start_tracing(page=page, categories=CATEGORIES)
        page.evaluate(_WATCH)
        WAYS[way](page, quick)
        page.wait_for_timeout(600)
        page.evaluate("window.enough = true")
        trace: dict[str, Any] = json.loads(browser.stop_tracing())
        found = page.evaluate("window.found")
    finally:
        context.close()
    tasks = _tasks(trace)
    return Scrolled(
        longest_task=max((clock for clock, _ in tasks), default=0.0),
        longest_cpu=max((processor for _, processor in tasks), default=0.0),
        long_tasks=sum(clock > LONG_TASK_MS for clock, _ in tasks),
        longest_empty=found["longest"],
        empty=len(found["episodes"]),
        frames=found["frames"],
        slowest_frame=found["slowest"],
    )


def _tasks(trace: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Each task of the main threads of renderers: ms by the clock, and of processor time."""
    events = trace["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"].get("name") == "CrRendererMain"
    }
    return [
        (event["dur"] / 1000, event.get("tdur", 0) / 1000)
        for event in events
        if event.get("name") == "ThreadControllerImpl::RunTask"
        and event.get("ph") == "X"
        and (event["pid"], event["tid"]) in mains
    ]


def _wheel(page: Page, quick: bool) -> None:
    for _ in range(20 if quick else 150):
        page.mouse.wheel(0, 240)
        page.wait_for_timeout(16)


def _drag(page: Page, quick: bool) -> None:
    page.evaluate(_DRAG, [20 if quick else 120, 50])


def _keys(page: Page, quick: bool) -> None:
    page.keyboard.press("j")
    for _ in range(5 if quick else 40):
        page.keyboard.press("PageDown")
        page.wait_for_timeout(60)
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    page.keyboard.press("Home")


WAYS = {"wheel": _wheel, "drag": _drag, "keys": _keys}
"""150 turns of the wheel by 240 px; 120 places of the thumb, one every 50 ms; 40 pages by key, then both ends."""
