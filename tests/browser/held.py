"""Answers that come when a test says so: what a page does before it has them is then no matter of luck."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Page, Route

ASKED_WITHIN_S = 20.0
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Two frames: whatever an answer that is here makes of the page has been made."""


class Held:
    """What a page asks of one kind of address, held back until it is let go."""

    def __init__(self, page: Page, pattern: str | re.Pattern[str]) -> None:
        self._page = page
        self._pattern = pattern
        self._routes: list[Route] = []
        page.route(pattern, lambda route: self._routes.append(route))

    def wait(self, count: int = 1) -> None:
        """Until so many are held."""
        until = time.monotonic() + ASKED_WITHIN_S
        while len(self._routes) < count:
            assert time.monotonic() < until, f"{count} were to be asked for, {len(self._routes)} were"
            self._page.wait_for_timeout(10)

    def let_go(self) -> None:
        """Of all that are held now; the next are held again."""
        while self._routes:
            self._routes.pop(0).continue_()

    def stop(self) -> None:
        """What is held is let go, and what is asked for next is not held."""
        self._page.unroute(self._pattern)
        self.let_go()
