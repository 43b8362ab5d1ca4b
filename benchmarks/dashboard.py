"""The dashboard on the demo model, in Chromium: paints, bytes, shifts and long tasks, as Chromium measures them.

The server is `mfn demo` in a process of its own; each load is that of a browser which has never been there. A page
counts as interactive once it shows its content and no task of more than 50 ms is left. The long tasks of streams and of
scrolling come out of Chromium's tracing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.chromium import scenes
from benchmarks.chromium.loading import Load, load
from benchmarks.harness import Metric, Result, percentile, summary
from benchmarks.serving import Client, serving

PAINT_MS, INTERACTIVE_MS, OWN_KB = 500.0, 1_000.0, 150.0
FEATURE_MS, STREAM_TASK_MS, SCROLL_TASK_MS, BLANK_MS = 100.0, 100.0, 50.0, 200.0
PAGES = ("home", "browse", "map", "feature", "inspect", "steer")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


def run(quick: bool) -> Result:
    """Loads of every page in turn, then the scenes of `benchmarks.chromium.scenes`."""
    loads, steps, tokens, notches = (2, 3, 24, 8) if quick else (9, 30, 200, 80)
    with (
        TemporaryDirectory(prefix="mfn-bench-") as home,
        serving("demo", "--home", home) as (port, _, client),
        _chromium() as browser,
    ):
        url = f"http://127.0.0.1:{port}"
        feature = _feature(client)
        paths = _paths(feature)
        load(browser, url, "/")  # the first start of the browser's processes is not the page's
        seen: dict[str, list[Load]] = {name: [] for name in paths}
        for _ in range(loads):
            for name, path in paths.items():
                seen[name].append(load(browser, url, path))
        moves = scenes.feature_to_feature(browser, url, paths["feature"], steps)
        texts = scenes.streams(browser, url, feature, tokens)
        browsing = scenes.scrolling(browser, url, notches)
        version = browser.version
    metrics = _of_loads(seen, quick)
    metrics |= {
        "feature_to_feature": summary(moves, "ms", None if quick else FEATURE_MS),
        "feature_to_feature_p95": Metric(percentile(moves, 0.95), "ms"),
        "shift_while_streaming": Metric(texts.shift, "CLS", None if quick else 0.0),
        "longest_task_while_streaming": Metric(texts.tasks.longest, "ms", None if quick else STREAM_TASK_MS),
        "longest_task_while_scrolling": Metric(browsing.tasks.longest, "ms", None if quick else SCROLL_TASK_MS),
        "blank_row_while_scrolling": Metric(browsing.blank, "ms", None if quick else BLANK_MS),
    }
    settings = {
        "chromium": version,
        "loads_of_each_page": loads,
        "features_gone_to": steps,
        "tokens_drawn": texts.tokens,
        "rows_of_the_list": browsing.rows,
        "moved_while_loading": sorted({node for all_of in seen.values() for one in all_of for node in one.shifted}),
    }
    return Result(metrics, settings)


def _of_loads(seen: dict[str, list[Load]], quick: bool) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for name, loads in seen.items():
        metrics[f"first_paint_{name}"] = _median([one.paint for one in loads], "ms", quick, PAINT_MS)
        metrics[f"interactive_{name}"] = _median([one.interactive for one in loads], "ms", quick, INTERACTIVE_MS)
        metrics[f"own_code_{name}"] = _median([one.own_bytes / 1e3 for one in loads], "kB", quick, OWN_KB)
        metrics[f"shift_{name}"] = Metric(max(one.shift for one in loads), "CLS", None if quick else 0.0)
    metrics["plotly_first"] = Metric(max(one.vendor_bytes for one in seen["home"]) / 1e3, "kB", None if quick else 0.0)
    return metrics


def _median(values: Sequence[float], unit: str, quick: bool, target: float) -> Metric:
    return summary(values, unit, None if quick else target)


def _feature(client: Client) -> dict[str, Any]:
    """A feature of a middle layer that fires often enough to have everything on its page."""
    found: dict[str, Any] = client.json("/api/features?layer=3&min_rate=0.001&max_rate=0.02&limit=1")["items"][0]
    return found


def _paths(feature: dict[str, Any]) -> dict[str, str]:
    named = {"home": "/", "feature": f"/feature/{feature['source']}/{feature['index']}"}
    return {name: named.get(name, f"/{name}") for name in PAGES}


@contextmanager
def _chromium() -> Iterator[Browser]:
    executable = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    if executable is None:
        raise SystemExit("there is no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
