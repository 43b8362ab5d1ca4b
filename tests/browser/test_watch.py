"""The watch itself: what it is there to catch, it catches."""

from __future__ import annotations

import os
import time

import pytest
from playwright.sync_api import Page

from .conftest import PATIENCE_MS, Watch


def test_the_watch_notices_what_must_never_happen(page: Page, watch: Watch) -> None:
    page.goto("/")
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    page.evaluate("fetch('http://example.invalid/').catch(() => {})")
    page.evaluate("console.error('broken')")
    page.evaluate("window.hacked = 1")
    signs = ("CSP: style-src", "CSP: connect-src", "console error: broken", "markup came alive")
    until = time.monotonic() + PATIENCE_MS / 1000
    while missing := [sign for sign in signs if sign not in "\n".join(watch.problems())]:
        assert time.monotonic() < until, f"not noticed: {missing}"
        page.wait_for_timeout(50)
    page.evaluate("delete window.hacked")
    watch.allowed.append("")


def test_what_fails_is_run_again_in_ci_alone(request: pytest.FixtureRequest) -> None:
    marked = request.node.get_closest_marker("flaky")
    assert (marked.kwargs if marked else None) == ({"reruns": 1} if os.environ.get("CI") == "true" else None)
