"""What the main thread of a page did, out of Chromium's own tracing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page

_CATEGORIES = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline", "__metadata"]
_TASKS = frozenset({"RunTask", "ThreadControllerImpl::RunTask"})
_MAIN_THREAD = "CrRendererMain"


@dataclass
class Tasks:
    """Tasks of the main thread, filled when the block of `traced` is left.

    Attributes:
        milliseconds: how long each took by the clock, the longest first.
    """

    milliseconds: list[float] = field(default_factory=list)

    @property
    def longest(self) -> float:
        """Milliseconds of the longest. Raises RuntimeError where the trace has none: it then says nothing."""
        if not self.milliseconds:
            raise RuntimeError("Chromium's trace holds no task of the page's main thread")
        return self.milliseconds[0]


@contextmanager
def traced(browser: Browser, page: Page) -> Iterator[Tasks]:
    """Records what a page does while the block runs."""
    tasks = Tasks()
    browser.start_tracing(page=page, categories=_CATEGORIES)
    try:
        yield tasks
    finally:
        trace = browser.stop_tracing()
    tasks.milliseconds = main_thread_tasks(json.loads(trace)["traceEvents"])


def main_thread_tasks(events: list[dict[str, Any]]) -> list[float]:
    """Milliseconds of the tasks of renderers' main threads, the longest first.

    Args:
        events: of a trace in the JSON Trace Event Format; durations are in microseconds.
    """
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"].get("name") == _MAIN_THREAD
    }
    found = [
        event["dur"] / 1e3
        for event in events
        if event.get("ph") == "X" and event.get("name") in _TASKS and (event["pid"], event["tid"]) in main
    ]
    return sorted(found, reverse=True)
