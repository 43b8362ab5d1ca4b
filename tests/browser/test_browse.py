"""Browse as a reader uses it: a list of any length, by mouse, by keyboard, on a phone; what is chosen in it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from .conftest import NewPage, Watch
from .held import FRAMES, Held
from .lists import IN_SIGHT, SCROLLER, in_sight
from .studio import Studio

LONG = 1_000_000
PHONE = {"width": 360, "height": 740}


def names_in_sight(page: Page) -> list[str]:
    in_sight(page)
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".vlist-layer .feature-row")]
          .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((row) => row.querySelector(".row-link").textContent)"""
    )
    return found


def name_at(studio: Studio, rank: int, query: str = "") -> str:
    row = studio.get(f"/api/features?at={rank}&limit=1{query}")["items"][0]
    return f"L{row['layer']} · {row['index']}"


# From `hold()` to `letGo()` no answer to a request for a list comes; those given up meanwhile are counted.
HELD = """{
  let gate = Promise.resolve();
  window.asked = window.givenUp = 0;
  window.letGo = () => {};
  window.hold = () => {
    gate = new Promise((done) => (window.letGo = done));
  };
  const real = window.fetch;
  window.fetch = async (url, options) => {
    if (String(url).startsWith("/api/features?")) {
      window.asked += 1;
      await gate;
      if (options?.signal?.aborted) window.givenUp += 1;
    }
    return real(url, options);
  };
}"""


@pytest.fixture
def long_page(page: Page, studio: Studio) -> Page:
    """A page whose list is longer than any element can be high: the rows that there are over and over, numbered."""
    rows = studio.get("/api/features?limit=100")["items"]

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        at, limit = int(query["at"][0]), int(query["limit"][0])
        items = [rows[rank % len(rows)] | {"index": rank} for rank in range(at, min(LONG, at + limit))]
        route.fulfill(json={"items": items, "total": LONG, "start": at, "next_cursor": None})

    page.add_init_script(HELD)
    page.route("**/api/features?*", answer)
    return page


def number(page: Page, rank: int) -> Any:
    return page.locator(f".feature-row[aria-rowindex='{rank + 2}'] .row-link")


def test_a_long_list_is_reached_from_end_to_end(long_page: Page) -> None:
    page = long_page
    page.goto("/browse?sort=rate")
    grid = page.get_by_role("grid", name="Features")
    assert in_sight(page)[0] == 0
    expect(grid).to_have_attribute("aria-rowcount", str(LONG + 1))
    assert page.locator(".feature-row").count() < 100, "only rows near the view are in the document"

    page.locator(SCROLLER).evaluate("element => { element.scrollTop = element.scrollHeight }")
    assert in_sight(page)[-1] == LONG - 1
    expect(number(page, LONG - 1)).to_have_text(re.compile(f"· {LONG - 1}$"))

    page.locator(SCROLLER).evaluate("element => { element.scrollTop = element.scrollHeight / 2 }")
    middle = in_sight(page)[0]
    assert abs(middle - LONG / 2) < LONG / 1000
    expect(page).to_have_url(re.compile(rf"at={middle}\b"))
    expect(number(page, middle)).to_have_text(re.compile(f"· {middle}$"))
    page.reload()
    assert in_sight(page)[0] == middle
    expect(number(page, middle)).to_have_text(re.compile(f"· {middle}$"))


def test_a_short_way_of_the_wheel_is_a_short_way_in_a_long_list(long_page: Page) -> None:
    """The scrollbar stands for more pixels than it has; the wheel must move by pixels all the same."""
    page = long_page
    page.goto("/browse?sort=rate&at=600000")
    assert in_sight(page)[0] == 600_000
    page.mouse.move(600, 500)
    for n in range(1, 6):
        page.mouse.wheel(0, 360)
        page.wait_for_function(f"() => ({IN_SIGHT})().ranks[0] === {600_000 + 10 * n}")
        page.wait_for_timeout(250)  # the bar is put right between the steps
        assert in_sight(page)[0] == 600_000 + 10 * n
    page.mouse.wheel(0, -1800)
    page.wait_for_function(f"() => ({IN_SIGHT})().ranks[0] === 600000")


def test_what_is_scrolled_past_is_not_waited_for(long_page: Page) -> None:
    page = long_page
    page.goto("/browse?sort=rate")
    in_sight(page)
    page.evaluate(
        """async () => {
          hold();
          const scroller = document.querySelector("mfn-virtual-list .vlist-scroller");
          for (let i = 1; i < 12; i++) {
            const before = window.asked;
            scroller.scrollTop = (i / 12) * scroller.scrollHeight;
            while (window.asked === before) await new Promise(requestAnimationFrame);
          }
        }"""
    )
    page.wait_for_function(f"() => ({IN_SIGHT})().waiting > 3")  # bars stand in for rows that have not come
    page.evaluate("letGo()")
    in_sight(page)
    page.wait_for_function("() => givenUp >= 10")


def test_a_list_by_keyboard(long_page: Page, studio: Studio) -> None:
    page = long_page
    page.goto("/browse?sort=rate")
    first = in_sight(page)
    focused = page.locator(".feature-row:focus-within")
    page.keyboard.press("j")
    expect(focused).to_have_attribute("aria-rowindex", "2")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(focused).to_have_attribute("aria-rowindex", "3")
    page.keyboard.press("PageDown")
    expect(focused).not_to_have_attribute("aria-rowindex", "3")
    rank = int(focused.get_attribute("aria-rowindex") or 0) - 2
    assert len(first) - 3 <= rank <= len(first) + 1
    page.keyboard.press("End")
    expect(focused).to_have_attribute("aria-rowindex", str(LONG + 1))
    expect(number(page, LONG - 1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(number(page, LONG - 2)).to_be_focused()
    page.keyboard.press("Home")
    expect(number(page, 0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(re.compile("row=.*%3A1$"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/feature/.*/1$"))
    page.go_back()
    expect(number(page, 1)).to_be_focused()


def test_who_skips_to_the_content_stays_there(page: Page) -> None:
    page.goto("/browse")
    in_sight(page)
    page.evaluate("() => { document.querySelector('browse-page').onRoute = () => (window.shownAnew = true); }")
    page.get_by_role("link", name="Skip to content").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("window.shownAnew") is None  # else the row in the address takes the focus
    expect(page).to_have_url(re.compile("#main$"))
    page.reload()
    in_sight(page)
    page.go_back()  # into an entry of ours, which is shown
    expect(page).to_have_url(re.compile(r"/browse(\?[^#]*)?$"))


def test_a_focused_row_outlives_the_scrolling(long_page: Page) -> None:
    page = long_page
    page.goto("/browse?sort=rate")
    in_sight(page)
    page.keyboard.press("j")
    page.locator(SCROLLER).evaluate("element => { element.scrollTop = element.scrollHeight / 3 }")
    assert in_sight(page)[0] > 1000
    expect(number(page, 0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(number(page, 1)).to_be_focused()
    assert in_sight(page)[0] == 1, "the list comes back to the row that has the focus"


def test_the_list_is_one_stop_of_the_tabulator(page: Page) -> None:
    page.goto("/browse")
    in_sight(page)
    page.get_by_role("columnheader", name="Max").get_by_role("button").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".feature-row").first.locator(".row-link")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.locator(".feature-row:focus-within")).to_have_count(0)
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".feature-row.is-current .row-link")).to_be_focused()


def test_features_are_chosen_and_compared_steered_and_copied(page: Page, studio: Studio) -> None:
    page.goto("/browse?sort=rate")
    in_sight(page)
    rows = page.locator(".feature-row")
    bar = page.get_by_role("region", name="Chosen features")
    expect(bar).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press(" ")
    expect(bar).to_contain_text("1 chosen")
    expect(rows.first).to_have_attribute("aria-selected", "true")
    expect(bar.get_by_role("link", name="Compare")).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(bar).to_contain_text("3 chosen")
    rows.nth(1).get_by_role("button", name=re.compile("Choose")).click()
    expect(bar).to_contain_text("2 chosen")
    expect(page).to_have_url(re.compile("s="))
    items = studio.get("/api/features?sort=rate&limit=8")["items"]
    pair = [f"{row['source']}:{row['index']}" for row in (items[0], items[2])]
    href = bar.get_by_role("link", name="Compare").get_attribute("href") or ""
    assert href == "/compare?" + "&".join(f"f={key}" for key in pair)
    bar.get_by_role("button", name="Copy list").click()
    expect(page.get_by_text("2 features copied.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    ids = [f"L{row['layer']} · {row['index']}" for row in (items[0], items[2])]
    assert [line.split("\t")[0] for line in copied] == ids
    shown = [rows.nth(n).locator(".row-link").get_attribute("aria-label") or "" for n in (0, 2)]
    assert [" ".join(line.split("\t")[:2]) for line in copied] == [" ".join(name.split()) for name in shown]
    assert copied[0].endswith(f"{studio.url}/feature/{items[0]['source']}/{items[0]['index']}")

    label = bar.get_by_role("link", name="Label these")
    assert label.get_attribute("href") == "/label/new?" + "&".join(f"f={key}" for key in pair)
    label.click()
    expect(page.get_by_label("One a line: SOURCE:INDEX")).to_have_value("\n".join(pair))
    page.go_back()

    page.reload()
    expect(bar).to_contain_text("2 chosen")
    expect(rows.nth(2)).to_have_attribute("aria-selected", "true")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "false")
    rows.nth(2).get_by_role("button", name=re.compile("Choose")).click()
    rows.nth(2).get_by_role("button", name=re.compile("Choose")).click()
    rows.nth(7).click(modifiers=["Shift"])
    expect(bar).to_contain_text("7 chosen")
    expect(page).to_have_url(re.compile("/browse"))
    bar.get_by_role("link", name="Steer together").click()
    expect(page).to_have_url(re.compile("/steer"))
    expect(page.locator(".turn-name")).to_have_count(7)
    page.go_back()
    expect(bar).to_contain_text("7 chosen")
    page.locator("main").press("Escape")
    expect(bar).to_be_hidden()
    expect(page).not_to_have_url(re.compile("s="))


# Which rows the pointer was on for longer than it takes to ask for any of them; the one that it is on counts.
PASSED = """() => {
  const passed = [];
  addEventListener("pointerover", ({ target }) => {
    const href = target.closest?.("[data-href]")?.dataset.href ?? null;
    if (href !== passed.at(-1)?.href) passed.push({ href, since: performance.now() });
  }, { capture: true });
  window.rested = () => passed
    .filter(({ href, since }, i) => href && (passed[i + 1]?.since ?? Infinity) - since > 130)
    .map(({ href }) => href.replace("/feature/", ""));
}"""


def test_a_row_is_previewed_under_the_pointer_and_the_focus(page: Page, studio: Studio) -> None:
    page.goto("/browse?sort=rate")
    in_sight(page)
    page.evaluate(PASSED)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/features/" in request.url else None)
    rows = page.locator(".feature-row")
    preview = page.locator(".preview")
    first, last = (rows.nth(n).locator(".cell-snippet").bounding_box() for n in (0, 6))
    assert first
    assert last
    page.mouse.move(first["x"] + 20, first["y"] + 5)
    page.mouse.move(last["x"] + 20, last["y"] + 5, steps=12)  # in passing
    expect(preview.locator(".context").first).to_be_visible()
    row = studio.get("/api/features?sort=rate&limit=7")["items"][6]
    expect(preview).to_have_accessible_name(f"Preview of L{row['layer']} · {row['index']}")
    rested = page.evaluate("rested()")  # on a busy machine the pointer may stop on its way, too
    assert {url.rpartition("/api/features/")[2] for url in asked} <= set(rested), "what is only passed is not asked for"
    assert len(rested) < 7
    preview.hover()
    page.wait_for_timeout(300)
    expect(preview).to_be_visible()
    page.keyboard.press("Escape")
    expect(preview).to_be_hidden()
    page.mouse.move(5, 5)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(preview.locator(".context").first).to_be_visible()
    page.locator(SCROLLER).evaluate("element => element.scrollBy(0, 120)")
    expect(preview).to_be_hidden()


def test_filters_act_at_once_and_keep_a_step_to_go_back_to(page: Page, studio: Studio) -> None:
    page.add_init_script(HELD)
    page.goto("/browse?sort=rate")
    in_sight(page)
    page.evaluate("hold()")
    chip = page.get_by_role("group", name="Layer").get_by_role("button", name="2", exact=True)
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")  # before anything has come
    expect(page.locator(".waiting-row").first).to_be_visible()
    page.evaluate("letGo()")
    in_sight(page)
    assert all(name.startswith("L2 ·") for name in names_in_sight(page))
    page.go_back()
    expect(chip).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".feature-row .row-link").first).to_have_text(name_at(studio, 0, "&sort=rate"))


def test_the_list_that_was_asked_for_last_is_shown(page: Page, studio: Studio) -> None:
    page.goto("/browse?sort=rate")
    in_sight(page)
    first, second = (Held(page, re.compile(rf"/api/features\?.*layer={layer}")) for layer in (1, 2))
    layers = page.get_by_role("group", name="Layer")
    layers.get_by_role("button", name="1", exact=True).click()
    first.wait()
    layers.get_by_role("button", name="2", exact=True).click()
    second.wait()
    second.let_go()
    expect(page.locator(".feature-row .row-link").first).to_have_text(name_at(studio, 0, "&sort=rate&layer=2"))
    first.let_go()
    page.evaluate(FRAMES)
    assert all(name.startswith("L2 ·") for name in names_in_sight(page))


def test_filters_in_the_address_are_those_of_the_list(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?limit=40&sort=rate")["items"][-1]
    limits = {"max_rate": "rate", "min_rate": "rate", "min_max": "max", "max_max": "max"}
    for query in [f"{name}={row[of]}" for name, of in limits.items()]:
        found = studio.get(f"/api/features?sort=rate&limit=1&{query}")
        page.goto(f"/browse?sort=rate&{query}")
        expect(page.locator(".total")).to_have_text(re.compile(f"^{found['total']} feature"))
    for column, key in (("Max", "max"), ("Feature", "index"), ("Rate", "rate")):
        page.get_by_role("columnheader", name=column).get_by_role("button").click()
        expect(page.locator(".feature-row .row-link").first).to_have_text(name_at(studio, 0, f"&sort={key}&{query}"))


def test_a_list_that_cannot_be_had_says_so_and_is_tried_again(page: Page, watch: Watch) -> None:
    watch.allowed.append("500")
    broken = {"error": {"code": "internal", "message": "something broke", "hint": None, "field": None}}
    page.route("**/api/features?*", lambda route: route.fulfill(status=500, json=broken))
    page.goto("/browse")
    expect(page.get_by_role("alert")).to_contain_text("Something broke")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    in_sight(page)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_mistyped_address_is_explained(page: Page, watch: Watch) -> None:
    watch.allowed.append("422")
    page.goto("/browse?min_rate=much&at=-3&row=nothing&s=what+is+this")
    expect(page.get_by_role("alert")).to_contain_text("cannot be read")
    page.get_by_role("link", name="Reset filters").last.click()
    assert in_sight(page)[0] == 0


def test_browse_on_a_phone(new_page: NewPage, studio: Studio) -> None:
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    page.goto("/browse?sort=rate")
    assert len(in_sight(page)) >= 6
    expect(page.get_by_role("group", name="Layer")).to_be_hidden()
    page.get_by_role("button", name="Filters").tap()
    page.get_by_role("group", name="Layer").get_by_role("button", name="1", exact=True).tap()
    expect(page.get_by_role("button", name="Filters (1)")).to_be_visible()
    page.get_by_role("button", name="Filters (1)").tap()
    in_sight(page)
    page.locator(".feature-row").nth(1).get_by_role("button", name=re.compile("Choose")).tap()
    page.locator(".feature-row").nth(2).get_by_role("button", name=re.compile("Choose")).tap()
    expect(page.get_by_role("region", name="Chosen features")).to_contain_text("2 chosen")
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths == [PHONE["width"], PHONE["width"]]
    page.locator(".feature-row .cell-snippet").first.tap()
    expect(page).to_have_url(re.compile("/feature/"))


def state_of(page: Page, script: str) -> Any:
    """A module of the dashboard, tried alone."""
    return page.evaluate(f"async () => {{ {script} }}")


def test_rows_of_a_list_that_has_changed_are_read_anew(page: Page) -> None:
    page.goto("/settings")
    found = state_of(
        page,
        """const { RankedRows } = await import("/assets/lib/ranked-rows.js");
        let [total, name] = [120, "old"];
        const some = (start, count) => Array.from({ length: Math.min(count, total - start) }, () => ({ name }));
        const list = new RankedRows(async (start, count) => ({ items: some(start, count), total }));
        const until = (ready) => new Promise((done) => {
          const look = () => ready() && done();
          list.addEventListener("change", look);
          look();
        });
        list.want(0, 40);
        await until(() => list.row(0));
        [total, name] = [130, "new"];
        list.want(100, 120);
        await until(() => list.row(100)?.name === "new");
        list.want(0, 40);
        await until(() => list.row(0));
        return [list.row(0).name, list.total];""",
    )
    assert found == ["new", 130]


def test_the_scale_of_a_long_list_leaves_nothing_out(page: Page) -> None:
    page.goto("/")
    found = state_of(
        page,
        """const { ScrollScale } = await import("/assets/lib/scroll-scale.js");
        const scale = new ScrollScale(36e6, 700);
        const places = Array.from({ length: 2000 }, (_, i) => (i / 1999) * scale.last);
        const there = places.map((place) => scale.toPlace(scale.toScroll(place)));
        return {
          worst: Math.max(...places.map((place, i) => Math.abs(place - there[i]))),
          ends: [scale.toPlace(0), scale.toPlace(scale.height - 700) - scale.last],
          rises: places.every((_, i) => i === 0 || scale.toScroll(places[i]) > scale.toScroll(places[i - 1])),
          short: new ScrollScale(5000, 700).isScaled,
        };""",
    )
    assert found["worst"] < 1e-3
    assert found["ends"] == [0, 0]
    assert found["rises"]
    assert not found["short"]
