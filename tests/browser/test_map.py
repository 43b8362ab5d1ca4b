"""The map as a reader uses it: by mouse, by keyboard, by finger; the list beside it says the same."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import NewPage, Watch
from .material import HOSTILE
from .studio import Studio

PHONE = {"width": 360, "height": 740}

# Where a feature's point is on the screen, as the page sees it.
PLACE = """
([source, index]) => {
  const page = document.querySelector("map-page");
  const box = page.map.over.getBoundingClientRect();
  const [left, top] = page.map.placeOf(page.map.find({ source, index }));
  return [left + box.left, top + box.top];
}
"""
# How many of the canvas's pixels are not of its background. A copy is read: a canvas that is read often becomes slow.
PAINTED = """
() => {
  const canvas = document.querySelector(".map-points");
  if (!canvas) return 0;
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const pixels = new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return pixels.reduce((count, pixel) => count + (pixel !== pixels[0] ? 1 : 0), 0);
}
"""
ORIGINS = ("&origin=human", "&origin=automatic", "")
# A number that tells one picture of the points from another.
PICTURE = """
() => {
  const canvas = document.querySelector(".map-points");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const pixels = new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return pixels.reduce((sum, pixel) => (Math.imul(sum, 31) + pixel) | 0, 0);
}
"""


def open_map(page: Page, query: str = "") -> Locator:
    """The map, once its points are painted and its list is there."""
    page.goto(f"/map{query}")
    expect(page.locator(".map-heading")).to_have_text(re.compile(r"\d"))
    page.wait_for_function(f"() => ({PAINTED})() > 0")
    return page.locator(".map-over")


def place_of(page: Page, feature: dict[str, Any]) -> tuple[float, float]:
    left, top = page.evaluate(PLACE, [feature["source"], feature["index"]])
    return left, top


def count_of(page: Page) -> int:
    found = re.search(r": ([\d,]+) feature", page.locator(".map-heading").text_content() or "")
    assert found
    return int(found.group(1).replace(",", ""))


@pytest.fixture(scope="module")
def everything(studio: Studio) -> dict[str, Any]:
    """The map in JSON."""
    found: dict[str, Any] = studio.get("/api/map")
    return found


def feature_at(everything: dict[str, Any], i: int) -> dict[str, Any]:
    return {"source": everything["sources"][everything["source"][i]]["source"], "index": everything["index"][i]}


def outermost(everything: dict[str, Any]) -> dict[str, Any]:
    """The point that is farthest right: nothing lies over it."""
    return feature_at(everything, max(range(everything["n_shown"]), key=lambda i: everything["x"][i]))


def test_the_map_shows_all_features_and_the_list_names_them(
    page: Page, studio: Studio, everything: dict[str, Any]
) -> None:
    page.goto("/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Map").click()
    expect(page).to_have_title(re.compile("Map"))
    open_map(page)
    assert count_of(page) == everything["n_shown"] == everything["n_features"]
    named_first = (studio.get(f"/api/features?status=all&sort=rate&limit=1{of}") for of in ORIGINS)
    first = next(found["items"][0] for found in named_first if found["items"])
    expect(page.locator(".map-list .row-link").first).to_have_text(f"L{first['layer']} · {first['index']}")
    grid = page.get_by_role("grid", name="Features on the map")
    expect(grid).to_have_attribute("aria-rowcount", str(everything["n_shown"]))


def test_a_point_says_what_it_is_and_leads_to_its_page(page: Page, studio: Studio, everything: dict[str, Any]) -> None:
    open_map(page)
    feature = outermost(everything)
    layer = next(each["layer"] for each in everything["sources"] if each["source"] == feature["source"])
    page.mouse.move(*place_of(page, feature))
    tip = page.locator(".map-tip")
    expect(tip).to_contain_text(f"L{layer} · {feature['index']}")
    row = studio.get(f"/api/features/rows?f={feature['source']}:{feature['index']}")["items"][0]
    if row["top_tokens"]:
        expect(tip.locator(".token").first).to_be_visible()
    page.mouse.click(*place_of(page, feature))
    expect(page).to_have_url(re.compile(f"/feature/{re.escape(feature['source'])}/{feature['index']}$"))


def test_the_map_moves_and_the_url_and_the_list_follow(page: Page, everything: dict[str, Any]) -> None:
    surface = open_map(page)
    surface.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile("z=2.25"))
    expect(page.locator(".map-heading")).not_to_have_text(re.compile(f": {everything['n_shown']} "))
    fewer = count_of(page)
    before = page.url
    page.keyboard.press("ArrowRight")
    expect(page).not_to_have_url(before)
    box = surface.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 230, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("x="))
    assert re.search("/map", page.url), "dragging does not open what lies under the pointer"
    page.mouse.wheel(0, -400)
    expect(page).not_to_have_url(re.compile(r"z=2\.25"))
    seen = page.url
    shown = count_of(page)
    page.reload()
    page.wait_for_function(f"() => ({PAINTED})() > 0")
    expect(page).to_have_url(seen)
    expect(page.locator(".map-heading")).to_have_text(re.compile(f": {shown:,} feature"))
    assert shown <= fewer
    surface.focus()
    page.keyboard.press("0")
    expect(page.locator(".map-heading")).to_have_text(re.compile(f": {everything['n_shown']} "))
    expect(page).to_have_url(re.compile("/map$"))


def test_zooming_keeps_what_is_under_the_pointer(page: Page, everything: dict[str, Any]) -> None:
    open_map(page)
    feature = outermost(everything)
    left, top = place_of(page, feature)
    page.mouse.move(round(left), round(top))  # a wheel's event knows whole pixels
    for _ in range(3):
        page.mouse.wheel(0, -200)
    expect(page).to_have_url(re.compile(r"z=3\.74"))
    now_left, now_top = place_of(page, feature)
    assert abs(now_left - left) < 2
    assert abs(now_top - top) < 2


def test_a_lasso_lists_what_is_in_it(page: Page, everything: dict[str, Any]) -> None:
    surface = open_map(page)
    box = surface.bounding_box()
    assert box is not None
    corners = [(0.25, 0.2), (0.75, 0.25), (0.7, 0.7), (0.3, 0.75)]
    page.get_by_role("button", name="Lasso").click()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=15)
    page.mouse.up()
    expect(page).to_have_url(re.compile("lasso="))
    expect(page.locator(".map-heading")).to_have_text(re.compile("In the lasso"))
    inside = [
        i
        for i in range(everything["n_shown"])
        if _inside(corners, *_share(place_of(page, feature_at(everything, i)), box))
    ]
    assert 0 < len(inside) < everything["n_shown"]
    assert abs(count_of(page) - len(inside)) <= max(2, len(inside) // 50), "but for those on the line"
    in_lasso = count_of(page)
    page.reload()
    expect(page.locator(".map-heading")).to_have_text(re.compile(f"In the lasso: {in_lasso} "))
    page.get_by_role("button", name=re.compile("^Choose (all|the first)")).click()
    chosen = min(100, in_lasso)
    expect(page.get_by_role("region", name="Chosen features")).to_contain_text(f"{chosen} chosen")
    page.go_back()
    expect(page.locator(".map-heading")).to_have_text(re.compile("In view"))


def _share(place: tuple[float, float], box: Any) -> tuple[float, float]:
    return (place[0] - box["x"]) / box["width"], (place[1] - box["y"]) / box["height"]


def _inside(corners: list[tuple[float, float]], x: float, y: float) -> bool:
    odd = False
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            odd = not odd
    return odd


def test_colours_and_what_they_mean(page: Page, everything: dict[str, Any]) -> None:
    open_map(page)
    legend = page.get_by_role("group", name="Legend")
    for source in everything["sources"]:
        expect(legend).to_contain_text(f"Layer {source['layer']}: {source['n_features']}")
    legend.get_by_role("button", name="Layer 1").click()
    expect(page).to_have_url(re.compile("only=1"))
    expect(page.locator(".map-heading")).to_have_text(re.compile(f": {everything['sources'][1]['n_features']} "))
    expect(page.locator(".map-list .row-link").first).to_have_text(re.compile("^L1 ·"))
    pictures = [page.evaluate(PICTURE)]
    for colour, says in (("rate", "100"), ("label", "No label"), ("group", "Between groups"), ("layer", "Layer 0")):
        page.get_by_label("Colour").select_option(colour)
        expect(legend).to_contain_text(says)
        page.wait_for_function(f"before => ({PICTURE})() !== before", arg=pictures[-1], polling=100)
        pictures.append(page.evaluate(PICTURE))
    assert len(set(pictures[1:])) == 4
    page.go_back()
    expect(page.get_by_label("Colour")).to_have_value("group")


# The colour that most pixels have which are not of the background.
COMMONEST = """
() => {
  const canvas = document.querySelector(".map-points");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const pixels = new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) if (pixel !== pixels[0]) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const [most] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [0];
  const channels = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  return { most: channels(most), ground: channels(pixels[0]) };
}
"""
OPACITY = 0.8  # of a point


def test_points_have_the_colour_of_the_legend(page: Page) -> None:
    open_map(page, "?only=1")  # the second layer alone
    swatch = page.get_by_role("group", name="Legend").locator("[aria-pressed=true] .swatch")
    meant = [int(part) for part in re.findall(r"\d+", swatch.evaluate("e => getComputedStyle(e).backgroundColor"))[:3]]
    found = page.evaluate(COMMONEST)
    painted = [ground + OPACITY * (colour - ground) for colour, ground in zip(meant, found["ground"], strict=True)]
    assert found["most"] == pytest.approx(painted, abs=2)


def test_the_map_is_the_right_way_up(page: Page, everything: dict[str, Any]) -> None:
    open_map(page)
    shown = range(everything["n_shown"])
    highest, lowest = (feature_at(everything, choose(shown, key=everything["y"].__getitem__)) for choose in (max, min))
    assert place_of(page, highest)[1] < place_of(page, lowest)[1]


STEPS = """async () => {
  const { MapPoints } = await import("/assets/lib/map-points.js");
  const { colouring } = await import("/assets/pages/map-colours.js");
  const points = new MapPoints(await (await fetch("/api/map/points")).arrayBuffer());
  const { lookOf, looks } = await colouring(points, "rate");
  const order = Array.from(points.rate.keys()).sort((a, b) => points.rate[a] - points.rate[b]);
  const steps = order.map(lookOf);
  const rises = steps.every((step, i) => i === 0 || step >= steps[i - 1]);
  return { rises, least: steps[0], most: steps.at(-1), looks: looks.length };
}"""


def test_what_fires_more_often_is_further_along_the_scale(page: Page) -> None:
    page.goto("/settings")
    found = page.evaluate(STEPS)
    assert found["rises"]
    assert 0 <= found["least"] < found["most"] < found["looks"]


def test_one_layer_of_the_map(page: Page, everything: dict[str, Any]) -> None:
    open_map(page)
    page.get_by_label("Layer").select_option("2")
    expect(page).to_have_url(re.compile("layer=2"))
    expect(page.locator(".map-heading")).to_have_text(re.compile(f": {everything['sources'][2]['n_features']} "))
    page.reload()
    expect(page.locator(".map-list .row-link").first).to_have_text(re.compile("^L2 ·"))
    expect(page.get_by_label("Layer")).to_have_value("2")


def test_the_list_beside_the_map_by_keyboard(page: Page) -> None:
    open_map(page)
    page.get_by_role("button", name=re.compile("^Choose")).first.focus()
    page.keyboard.press("Tab")
    expect(page.locator(".map-list .feature-row").first.locator(".row-link")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    expect(page.get_by_role("region", name="Chosen features")).to_contain_text("1 chosen")
    expect(page).to_have_url(re.compile("row="))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/feature/"))


def test_a_hostile_name_is_read_on_the_map_and_no_more(page: Page, studio: Studio, everything: dict[str, Any]) -> None:
    feature = outermost(everything)
    said = {"id": "5a3b6a4e-8a50-4a7e-9d8a-2f5f0f6d7c11", "event": {"kind": "propose", "text": HOSTILE}}
    studio.post(f"/api/features/{feature['source']}/{feature['index']}/events", said)
    open_map(page, f"?colour=label&row={feature['source']}%3A{feature['index']}")
    by_people = page.get_by_role("group", name="Legend").get_by_role("button", name="By people")
    expect(by_people).not_to_have_text(re.compile(": 0$"))
    page.mouse.move(*place_of(page, feature))
    expect(page.locator(".map-tip .feature-label")).to_have_text(HOSTILE)
    by_people.click()
    expect(page.locator(".map-list .feature-label").filter(has_text=HOSTILE).first).to_be_visible()
    assert page.locator("main img, main script").count() == 0


def test_a_map_that_is_not_drawn_yet_is_waited_for(page: Page, watch: Watch) -> None:
    watch.allowed.append("503")
    missing = {"error": {"code": "map_not_ready", "message": "the map is not drawn yet", "hint": None, "field": None}}
    page.route("**/api/map/points*", lambda route: route.fulfill(status=503, json=missing))
    page.goto("/map")
    expect(page.locator(".map-state")).to_contain_text("not drawn yet")
    page.unroute_all()
    expect(page.locator(".map-heading")).to_have_text(re.compile("In view"))
    expect(page.locator(".map-state")).to_be_empty()


def test_a_map_that_is_not(page: Page, watch: Watch) -> None:
    watch.allowed.append("404")
    page.goto("/map?layer=77&lasso=nonsense&x=much&z=-4")
    expect(page.get_by_role("alert")).to_contain_text("Layer 77")
    page.get_by_role("link", name="Show all of it").click()
    expect(page.locator(".map-heading")).to_have_text(re.compile("In view"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_map_on_a_phone(new_page: NewPage, everything: dict[str, Any], scheme: str) -> None:
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme=scheme)
    open_map(page)
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths == [PHONE["width"], PHONE["width"]]
    feature = outermost(everything)
    page.touchscreen.tap(*place_of(page, feature))
    expect(page.locator(".map-tip")).to_be_visible()
    expect(page).to_have_url(re.compile("/map"))
    expect(page.locator(".map-list .row-link").first).to_be_visible()
    before = count_of(page)
    session = page.context.new_cdp_session(page)
    box = page.locator(".map-over").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, spread: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": x - spread, "y": y, "id": 0}, {"x": x + spread, "y": y, "id": 1}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 20)
    for spread in range(24, 110, 6):
        touch("touchMove", spread)
    touch("touchEnd", 0)
    expect(page).to_have_url(re.compile("z="))
    # two fingers that part to five times their distance come five times as near
    near = "zoom => zoom > 3 && zoom < 8"
    page.wait_for_function(f"() => ({near})(Number(new URLSearchParams(location.search).get('z')))")
    assert count_of(page) < before
