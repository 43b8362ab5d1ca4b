"""Home, Browse and Feature as a reader uses them, and what all pages have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route, expect

from .conftest import NewPage, Watch
from .everywhere import sticks_out
from .lists import IN_SIGHT, SCROLLER, in_sight
from .material import HOSTILE
from .studio import Studio

NAMES = "rows => Object.fromEntries(rows.map((row) => [row.ariaRowIndex, row.querySelector('a').textContent]))"
BY_ROWS = "(list, rows) => list.scrollBy(0, rows * list.querySelector('.feature-row').offsetHeight)"
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def feature(studio: Studio) -> dict[str, Any]:
    """The feature that fires most often."""
    row: dict[str, Any] = studio.get("/api/features?limit=1")["items"][0]
    return row


LONG_WORD = "pneumonoultramicroscopicsilicovolcanoconiosis\t"
"""Without a place to break it, and with a tab, which makes it longer than the sum of its letters."""


def path_of(feature: dict[str, Any]) -> str:
    return f"/feature/{feature['source']}/{feature['index']}"


def every_page(feature: dict[str, Any]) -> dict[str, str]:
    turned = f"{feature['source']}/{feature['index']}"
    return {
        "home": "/",
        "browse": "/browse",
        "map": "/map",
        "feature": path_of(feature) + f"?try={quote(f'the snow fell on {LONG_WORD} and')}",
        "inspect": f"/inspect?text={quote('The snow fell all night.')}&t=2",
        "steer": f"/steer?p=The+snow&f={turned}&n=8",
        "missing": "/no/such/page",
    }


def test_home_leads_to_every_page(page: Page, studio: Studio) -> None:
    page.goto("/")
    model = studio.get("/api/model")
    expect(page.get_by_role("heading", level=1)).to_have_text(model["name"])
    expect(page.get_by_role("row")).to_have_count(len(model["sources"]) + 1)
    for name in ("Browse", "Map", "Inspect", "Steer"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page).to_have_url(re.compile(name.lower()))
        expect(page).to_have_title(re.compile(name))
        expect(page.get_by_role("heading", level=1)).to_be_attached()


def test_home_says_how_far_labelling_is(page: Page, studio: Studio) -> None:
    sources = studio.get("/api/model")["sources"]
    named = sum(source["n_labelled"] for source in sources)
    page.goto("/")
    way = page.locator(".way", has=page.get_by_role("link", name="Label", exact=True))
    expect(way).to_contain_text(f"{named} of {sum(source['n_alive'] for source in sources)} features have a name")
    page.locator(".ways").get_by_role("link", name="Most frequent").click()
    often = studio.get("/api/features?sort=rate&limit=1")["items"][0]
    expect(page.locator(".feature-row .row-link").first).to_have_text(f"L{often['layer']} · {often['index']}")


def test_home_searches(page: Page) -> None:
    page.goto("/")
    page.get_by_role("searchbox").fill("snow")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/browse\?q=snow"))
    expect(page.get_by_role("searchbox")).to_have_value("snow")


def test_browse_filters_sorts_searches_and_opens(page: Page, studio: Studio) -> None:
    page.goto("/browse")
    rows = page.locator(".feature-row")
    expect(rows.first).to_be_visible()
    says_most = studio.get("/api/features?sort=telling&limit=1")["items"][0]
    expect(rows.first.locator(".row-link")).to_have_text(f"L{says_most['layer']} · {says_most['index']}")
    expect(page.get_by_role("combobox", name="Sort")).to_have_value("telling desc")
    layers = page.get_by_role("group", name="Layer")
    layers.get_by_role("button", name="1", exact=True).click()
    expect(page).to_have_url(re.compile("layer=1"))
    expect(rows.first.locator(".row-link")).to_have_text(re.compile(r"^L1 · \d+$"))
    page.get_by_role("columnheader", name="Max").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="Max")).to_have_attribute("aria-sort", "descending")
    strongest = studio.get("/api/features?layer=1&sort=max&order=desc&limit=1")["items"][0]
    expect(rows.first.locator(".row-link")).to_have_text(f"L1 · {strongest['index']}")
    page.get_by_role("searchbox").fill("harbour")
    found = studio.get("/api/features?layer=1&q=harbour&limit=1")["total"]
    expect(page.locator(".total")).to_have_text(re.compile(f"^{found} feature"))
    page.get_by_role("searchbox").fill("qqqxyzzy")
    expect(page.get_by_text("No feature matches")).to_be_visible()
    page.goto("/browse")
    first = rows.first.locator(".row-link").text_content()
    rows.first.click()
    expect(page).to_have_url(re.compile("/feature/"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert first
    expect(page.locator(".feature-page")).to_contain_text(first.split(" · ")[1])


def test_browse_shows_every_row_while_scrolling(page: Page, studio: Studio) -> None:
    total = studio.get("/api/features?limit=1")["total"]
    page.goto("/browse")
    rows = page.locator(".feature-row")
    seen: dict[str, str] = {}
    while (ranks := in_sight(page))[-1] < total - 1:
        seen |= rows.evaluate_all(NAMES)
        top = ranks[-1]  # was the last one in sight; other rows follow it now
        page.locator(SCROLLER).evaluate(BY_ROWS, len(ranks) - 1)
        page.wait_for_function(f"before => ({IN_SIGHT})().ranks[0] > before", arg=ranks[0])
        assert in_sight(page)[0] <= top + 1, "none is left out"
    seen |= rows.evaluate_all(NAMES)
    assert sorted(map(int, seen)) == list(range(2, total + 2))
    assert len(set(seen.values())) == total


def test_browse_orders_and_filters_by_token_r2(page: Page, studio: Studio) -> None:
    page.goto("/browse?layer=1")
    rows = page.locator(".feature-row")
    expect(rows.first).to_be_visible()
    column = page.get_by_role("columnheader", name="Token R²")
    column.get_by_role("button").click()
    expect(column).to_have_attribute("aria-sort", "ascending")
    first = studio.get("/api/features?layer=1&sort=token_r2&limit=1")["items"][0]
    expect(rows.first.locator(".row-link")).to_have_text(f"L1 · {first['index']}")
    least = f"{round(first['token_r2'], 2) + 0.0:.2f}".replace("-", "−")  # + 0.0: no minus before a zero
    expect(rows.first.locator(".cell-token")).to_have_text(least)
    chip = page.get_by_role("button", name="Context features")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("max_token_r2=0.3&min_half_firings=200"))
    found = studio.get("/api/features?layer=1&max_token_r2=0.3&min_half_firings=200&limit=1")["total"]
    expect(page.locator(".total")).to_have_text(re.compile(f"^{found} feature"))
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    expect(rows.first).to_be_visible()


def test_a_feature_page_says_what_fires_together_and_what_comes_next(page: Page, studio: Studio) -> None:
    rows = studio.get("/api/features?limit=100")["items"]
    pages = [studio.get(f"/api{path_of(row).replace('/feature/', '/features/')}") for row in rows]
    shown = next(feature for feature in pages if feature["cofiring"])
    page.goto(path_of(shown))
    before, together = page.locator(".fires-before"), page.locator(".fires-together")
    expect(before.locator("tbody tr")).to_have_count(len(shown["next_tokens"]))
    expect(before).to_contain_text("Counted on all its firings.")
    expect(together.locator("li")).to_have_count(len(shown["cofiring"]))
    expect(together).to_contain_text(f"Counted on all {shown['n_tokens']:,} tokens of the corpus")
    other = shown["cofiring"][0]
    expect(together.locator("li").first).to_contain_text(f"{other['joint']:,}")
    together.locator("li a").first.click()
    expect(page).to_have_url(re.compile(f"/{other['index']}$"))
    answers_change(page, studio, lambda body: body.update(cofiring=[]))
    page.goto(path_of(shown))
    expect(together).to_contain_text("Nothing fires together with it")
    answers_change(page, studio, lambda body: body.update(cofiring=None, next_tokens=None))
    page.goto(path_of(shown))
    expect(together).to_contain_text("This index is from before")
    expect(before).to_contain_text("This index is from before")


def answers_change(page: Page, studio: Studio, change: Callable[[dict[str, Any]], None]) -> None:
    """From now on the server's answers about features come changed: what no small corpus shows."""

    def handle(route: Route) -> None:
        body = studio.get(route.request.url.removeprefix(studio.url))
        change(body)
        route.fulfill(json=body)

    page.unroute("**/api/features**")
    page.route("**/api/features**", handle)


def test_features_that_hardly_fire_are_marked(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?limit=1")["items"][0]
    page.goto(path_of(row))
    mark = page.locator(".status-mark")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(mark).to_have_count(0)
    answers_change(page, studio, lambda body: body.update(status="ultra_rare"))
    page.goto(path_of(row))
    expect(page.locator("feature-head .status-mark")).to_have_text("ultra-rare")

    def mark_the_first(body: dict[str, Any]) -> None:
        for item in body.get("items", [])[:1]:  # the page that is left may ask once more for its feature
            item["status"] = "undetermined"

    answers_change(page, studio, mark_the_first)
    page.goto("/browse")
    expect(page.locator(".feature-row").first.locator(".status-mark")).to_have_text("seldom")
    expect(mark).to_have_count(1)
    page.get_by_role("button", name="Ultra-rare").click()
    expect(page).to_have_url(re.compile("status=ultra_rare"))
    expect(page.locator(".list-state")).to_contain_text("3 million tokens or more")


def test_a_feature_page_says_what_token_r2_means(page: Page, studio: Studio) -> None:
    known = "/api/features?min_token_r2=0.05&max_token_r2=0.9"
    often = studio.get(f"{known}&min_half_firings=200&limit=1")["items"][0]
    page.goto(path_of(often))
    share = f"the current token alone explains {often['token_r2'] * 100:.0f}%"
    expect(page.locator(".feature-side")).to_contain_text(f"Token R² {often['token_r2']:.2f}: {share}")
    expect(page.locator(".stats")).to_contain_text("token R²")
    seldom = studio.get(f"{known}&sort=rate&order=asc&limit=1")["items"][0]
    page.goto(path_of(seldom))
    expect(page.locator(".feature-side")).to_contain_text(f"fires only {seldom['half_firings']} time")


def test_browse_by_keyboard(page: Page) -> None:
    page.goto("/browse")
    expect(page.locator(".feature-row").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator(".row-link").nth(1)
    expect(second).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    second.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/feature/"))
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page).to_have_url(re.compile("/steer"))
    expect(page.locator("html[data-changing]")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_feature_page_shows_what_the_index_knows(page: Page, studio: Studio, feature: dict[str, Any]) -> None:
    facts = studio.get(f"/api/features/{feature['source']}/{feature['index']}")
    page.goto(path_of(feature))
    expect(page.get_by_role("heading", name="Strongest contexts")).to_be_visible()
    expect(page.locator(".contexts-section mark").first).to_be_visible()
    expect(page.get_by_role("heading", name="Over the whole range")).to_be_visible()
    expect(page.locator(".band")).to_have_count(len(facts["bands"]))
    expect(page.locator("table.is-up tbody tr")).to_have_count(len(facts["promoted"]))
    expect(page.locator("table.is-down tbody tr")).to_have_count(len(facts["suppressed"]))
    shown = page.locator(".panel", has=page.get_by_role("heading", name="Nearest decoder directions"))
    expect(shown.locator(".neighbours li")).to_have_count(len(facts["neighbours"]))
    expect(page.locator(".logit-shape figcaption")).to_contain_text("excess kurtosis")
    bars = page.locator(".logit-shape svg").bounding_box()
    assert bars is not None, "the shape of its logits is not drawn"
    assert min(bars["width"], bars["height"]) > 30
    told = facts["weights"]
    sides = [("From", told["upstream"]), ("To", told["downstream"])]
    reached = [(f"{word} layer {side['layer']}", side) for word, side in sides if side is not None]
    assert reached
    connections = page.locator(".connections")
    expect(connections.locator("h3")).to_have_text([heading for heading, _ in reached])
    strongest = reached[0][1]["positive"][0]
    first = connections.locator("li").first
    expect(first.locator("a")).to_have_attribute("href", re.compile(f"{strongest['source']}/{strongest['index']}$"))
    expect(first).to_contain_text(f"+{strongest['value']:.2f}")
    expect(connections).to_contain_text("cosine of")
    alike = page.locator(".alike-elsewhere ol")
    expect(alike).to_have_count(2)
    nearest = told["nearest_elsewhere"][0]
    expect(alike.first.locator("a").first).to_have_text(f"L{nearest['layer']} · {nearest['index']}")
    page.keyboard.press("]")
    if facts["next"] is not None:
        expect(page).to_have_url(re.compile(f"/{facts['next']}$"))


def test_trying_a_text_on_a_feature(page: Page, studio: Studio, feature: dict[str, Any]) -> None:
    typed = "The snow fell on the harbour"
    answer = studio.post(f"/api/features/{feature['source']}/{feature['index']}/activations", {"text": typed})
    page.goto(path_of(feature))
    page.get_by_role("textbox", name=re.compile("Type a text")).fill(typed)
    page.get_by_role("button", name="Try", exact=True).click()
    firing = [value for value in answer["values"] if value > 0]
    expect(page.locator(".try-result mark")).to_have_count(len(firing))
    expect(page).to_have_url(re.compile("try="))
    page.reload()
    expect(page.locator(".try-result mark")).to_have_count(len(firing))


def test_naming_a_feature_with_markup_shows_it_as_text_everywhere(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?limit=3&sort=max")["items"][2]
    page.goto(path_of(row))
    page.get_by_role("button", name=re.compile("Name it|Propose")).click()
    page.get_by_label("Name", exact=True).fill(HOSTILE)
    page.get_by_label("Your name").fill("<b>me</b>")
    page.get_by_role("button", name="Propose", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x")
    page.goto("/browse?status=labelled")
    expect(page.locator(f".feature-row[data-href='{path_of(row)}'] .feature-label")).to_contain_text(HOSTILE)
    page.goto(f"/steer?f={row['source']}/{row['index']}")
    expect(page.locator(".turn-name")).to_contain_text("<script>")
    page.get_by_role("combobox", name="Add a feature").fill("onerror")
    expect(page.locator("mfn-feature-picker").get_by_role("option").first).to_contain_text("<img src=x")
    assert page.locator("main img, main script, main b:has-text('me')").count() == 0


def test_hostile_documents_are_shown_as_text(page: Page) -> None:
    page.goto("/browse?q=hacked")
    expect(page.locator(".feature-row").first).to_be_visible()
    page.locator(".feature-row").first.click()
    expect(page.locator(".contexts-section")).to_be_visible()
    page.get_by_role("button", name="Full").click()
    assert page.locator("main img, main script").count() == 0


BREAKS = """() => [...document.querySelectorAll(".evidence-empty code span")]
  .filter((word) => word.getClientRects().length > 1).map((word) => word.textContent)"""


def test_a_command_on_the_page_does_not_break_at_hyphens(page: Page) -> None:
    page.goto("/evidence")
    expect(page.locator(".evidence-empty code")).to_have_text("mfn eval MODEL TEXT --out MODEL/evidence")
    for width in range(320, 640, 16):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate(BREAKS) == []


def test_unknown_features_and_pages_say_so(page: Page, watch: Watch, feature: dict[str, Any]) -> None:
    watch.allowed.append("404")
    page.goto(f"/feature/{feature['source']}/99999")
    expect(page.locator("main").get_by_text("There is no such feature")).to_be_visible()
    page.goto("/no/such/page")
    expect(page.locator("main").get_by_text("There is no such page")).to_be_visible()


def test_the_theme_is_switched_and_kept(page: Page) -> None:
    page.goto("/")
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Switch to the dark theme").click()
    dark = page.evaluate(colour)
    assert dark != light
    page.reload()
    assert page.evaluate(colour) == dark
    page.keyboard.press("t")
    assert page.evaluate(colour) == light


def test_no_page_scrolls_sideways_on_a_phone(new_page: NewPage, feature: dict[str, Any]) -> None:
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    for name, url in every_page(feature).items():
        page.goto(url)
        page.wait_for_load_state("networkidle")
        stuck = sticks_out(page)
        assert stuck is None, f"{name}: {stuck}"
        assert page.evaluate("innerWidth") == PHONE["width"], name


def test_the_page_says_when_the_server_is_gone_and_when_it_is_back(page: Page, watch: Watch) -> None:
    watch.allowed.extend(["ERR_", "Failed to load"])
    page.goto("/steer")
    page.get_by_label("Prompt", exact=True).fill("Typed before the server went away")
    page.context.set_offline(True)
    page.get_by_role("button", name="Generate").click()
    # to the question, or to the code that asks it, which comes at the first sign of use
    expect(page.locator(".notice.is-error")).to_contain_text(re.compile("does not answer|could not be loaded"))
    expect(page.get_by_text("The server does not answer. Trying again every second")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("Typed before the server went away")
    page.context.set_offline(False)
    page.locator("mfn-steer-notice").get_by_role("button", name="Try again").click()
    expect(page.locator("mfn-stream-pane[name=plain]")).to_have_attribute("data-state", "done", timeout=30_000)
