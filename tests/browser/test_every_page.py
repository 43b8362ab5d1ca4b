"""What holds on every page: axe finds nothing serious, the keyboard gets everywhere, nothing sticks out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from .accessible import violations
from .conftest import PATIENCE_MS, Watch
from .everywhere import ENLARGED, OF_PEOPLE, PAGES, PHONE, THEMES, evidence_of_the_demo, routed, sticks_out
from .studio import Studio

DESKTOP: ViewportSize = {"width": 1280, "height": 860}
MOST_STOPS = 160  # that are walked with Tab

# What can be pressed or typed into, can be seen, and has no name that a screen reader could say.
NAMELESS = """
() => [...document.querySelectorAll("button, a[href], input, select, textarea, summary, [role=button]")]
  .filter((e) => e.checkVisibility() && !e.closest("[aria-hidden=true]"))
  .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.title || e.labels?.length))
  .map((e) => e.outerHTML.slice(0, 120))
"""

# What has the focus: what it is, whether it can be seen, and whether it is told apart from what has not.
FOCUSED = """
() => {
  const e = document.activeElement;
  if (e === document.body) return null;
  e.scrollIntoView({ block: "nearest", inline: "nearest" });
  const { width, height, left, top } = e.getBoundingClientRect();
  const ring = (x) => {
    const { outlineStyle, outlineWidth } = x ? getComputedStyle(x) : { outlineStyle: "none" };
    return outlineStyle !== "none" && parseFloat(outlineWidth) > 0;
  };
  const seen = width > 0 && height > 0 && e.checkVisibility({ visibilityProperty: true });
  const id = (e.dataset.walked ??= String(document.querySelectorAll("[data-walked]").length));
  const marked = ring(e) || ring(e.nextElementSibling) || ring(e.parentElement);
  return { id, html: e.outerHTML.slice(0, 140), seen, marked };
}
"""

# Tab begins where something had the focus last, even if that is gone.
FROM_THE_START = """
() => {
  const first = document.createElement("button");
  document.body.prepend(first);
  first.focus();
  first.remove();
}
"""


@dataclass(frozen=True)
class Visited:
    """A page that somebody is on, and the hosts that it has asked."""

    page: Page
    hosts: set[str]


@pytest.fixture(scope="module", params=PAGES)
def visited(
    request: pytest.FixtureRequest, browser: Browser, studio: Studio, indexed: tuple[Path, Path]
) -> Iterator[Visited]:
    """Each page in turn; the tests share one visit."""
    context = browser.new_context(base_url=studio.url, viewport=DESKTOP)
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch(context, studio.url)
    page = context.new_page()
    hosts: set[str] = set()

    def note(asked: Request) -> None:
        if not asked.url.startswith(("data:", "blob:")):
            hosts.add(urlsplit(asked.url).netloc)

    page.on("request", note)
    with evidence_of_the_demo(indexed[0]) if request.param == "document" else nullcontext():
        PAGES[request.param](page, studio)
        page.wait_for_load_state("networkidle")
        yield Visited(page, hosts)
    problems = watch.problems()
    context.close()
    assert problems == []


def test_every_route_is_looked_at() -> None:
    assert routed() <= PAGES.keys() | OF_PEOPLE


def test_no_other_host_is_asked(visited: Visited, studio: Studio) -> None:
    assert visited.hosts == {urlsplit(studio.url).netloc}


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious(visited: Visited, theme: Literal["light", "dark"]) -> None:
    visited.page.emulate_media(color_scheme=theme)
    assert violations(visited.page) == []


def test_everything_that_acts_has_a_name(visited: Visited) -> None:
    assert visited.page.evaluate(NAMELESS) == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(visited: Visited) -> None:
    page = visited.page
    page.evaluate("document.activeElement.blur()")
    walked: list[str] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None or focused["id"] in walked:
            break  # out of the page, or round
        assert focused["seen"], f"the focus is on something that nobody sees: {focused['html']}"
        assert focused["marked"], f"nothing shows that this has the focus: {focused['html']}"
        walked.append(focused["id"])
    assert len(walked) >= 5


@pytest.mark.parametrize("size", [PHONE, ENLARGED], ids=["360 px", "200 %"])
def test_nothing_sticks_out(visited: Visited, size: ViewportSize) -> None:
    visited.page.set_viewport_size(size)
    assert sticks_out(visited.page) is None


def test_nothing_sticks_out_with_larger_text(visited: Visited) -> None:
    page = visited.page
    page.set_viewport_size(DESKTOP)
    page.evaluate("document.documentElement.style.setProperty('font-size', '28px')")  # twice as large, and nothing else
    stuck = sticks_out(page)
    page.evaluate("document.documentElement.style.removeProperty('font-size')")
    assert stuck is None


def test_the_first_stop_leads_to_the_content(visited: Visited) -> None:
    page = visited.page
    page.evaluate(FROM_THE_START)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_axe_finds_what_is_wrong(browser: Browser) -> None:
    page = browser.new_page()
    page.evaluate("document.body.append(document.createElement('button'))")
    assert any(line.startswith("button-name (critical)") for line in violations(page))
    page.close()
