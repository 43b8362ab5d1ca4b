"""The watch itself: what it is there to catch, it catches."""

from __future__ import annotations

from playwright.sync_api import Page

from .conftest import Watch


def test_the_watch_notices_what_must_never_happen(page: Page, watch: Watch) -> None:
    page.goto("/")
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    page.evaluate("fetch('http://example.invalid/').catch(() => {})")
    page.evaluate("console.error('broken')")
    page.evaluate("window.hacked = 1")
    page.wait_for_timeout(200)
    found = "\n".join(watch.problems())
    for sign in ("CSP: style-src", "CSP: connect-src", "console error: broken", "markup came alive"):
        assert sign in found
    page.evaluate("delete window.hacked")
    watch.allowed.append("")
