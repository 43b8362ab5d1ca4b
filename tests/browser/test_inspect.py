"""Inspect: a text, its tokens, and the features behind them."""

from __future__ import annotations

import math
import re
from urllib.parse import quote

from playwright.sync_api import Page, expect

from .conftest import Watch
from .material import HOSTILE
from .studio import Studio

TEXT = "The hospital was quiet that night."


def test_from_a_text_to_a_feature_and_to_steering(page: Page, studio: Studio) -> None:
    page.goto("/inspect")
    page.get_by_label("Text", exact=True).fill(TEXT)
    page.get_by_role("button", name="Inspect").click()
    columns = page.locator(".heat-token")
    answer = studio.post("/api/inspect", {"text": TEXT, "top": 5})
    expect(columns).to_have_count(len(answer["tokens"]))
    expect(columns.nth(2).locator("i")).to_have_count(len(answer["layers"]))
    expect(page).to_have_url(re.compile(r"text=The\+hospital"))
    columns.nth(2).click()
    expect(page).to_have_url(re.compile(r"[?&]t=2"))
    strongest = answer["layers"][-1]["positions"][2][0]
    last = page.locator(".inspect-layer").last
    expect(last.locator(".hit")).to_have_count(len(answer["layers"][-1]["positions"][2]))
    expect(last.locator(".hit-value").first).to_have_text(f"{strongest['value']:.2f}")
    last.get_by_role("link", name="Steer").first.click()
    expect(page).to_have_url(re.compile(r"/steer\?p=The\+hospital.*&f="))
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(TEXT)
    page.go_back()
    expect(page.locator(".inspect-chosen")).to_contain_text("token 2")
    page.locator(".inspect-layer").last.locator(".hit-link").first.click()
    expect(page).to_have_url(re.compile(rf"/feature/.*/{strongest['index']}$"))


def test_shades_follow_the_values(page: Page, studio: Studio) -> None:
    page.goto(f"/inspect?text={quote(TEXT)}")
    answer = studio.post("/api/inspect", {"text": TEXT, "top": 5})
    values = [hits[0]["value"] if hits else 0 for hits in answer["layers"][0]["positions"]]
    strongest = max(range(1, len(values)), key=lambda position: values[position])
    cell = page.locator(".heat-token").nth(strongest).locator("i").first
    expect(cell).to_have_attribute("data-heat", "10")
    page.get_by_role("radio", name="Share explained").check(force=True)
    expect(page).to_have_url(re.compile("by=share"))
    share = answer["layers"][0]["positions"][strongest][0]["share"]
    expect(cell).to_have_attribute("data-heat", str(max(1, math.ceil(share * 10))))


def test_each_layer_says_what_it_explains_of_a_token_and_what_it_misses(page: Page, studio: Studio) -> None:
    page.goto(f"/inspect?text={quote(TEXT)}&t=3&by=error")
    answer = studio.post("/api/inspect", {"text": TEXT, "top": 5})
    for row, layer in enumerate(answer["layers"]):
        fit, panel = layer["fits"][3], page.locator(".inspect-layer").nth(row)
        shown = {"features": fit["explained"] - fit["fixed"], "fixed": fit["fixed"], "error": fit["error"]}
        for name, share in shown.items():
            part = panel.locator(f".inspect-fit [data-part={name}] b")
            expect(part).to_have_text(re.compile(r"^−?\d+(\.\d+)?%$"))
            said = float((part.text_content() or "").rstrip("%").replace("−", "-"))
            assert abs(said - 100 * share) <= 0.06
        shares = [hit["share"] for hit in layer["positions"][3]]
        expect(panel.locator(".hit-share").first).to_contain_text(f"{abs(100 * shares[0]):.1f}%")
    cell = page.locator(".heat-token").nth(3).locator("i").first
    most = max(fit["error"] for layer in answer["layers"] for fit in layer["fits"][1:])
    level = math.ceil(answer["layers"][0]["fits"][3]["error"] / most * 10)
    expect(cell).to_have_attribute("data-heat", str(level))
    cell.hover()
    expect(page.locator(".heat-readout")).to_contain_text("error")


def test_hovering_a_feature_marks_where_else_it_fires(page: Page) -> None:
    page.goto(f"/inspect?text={quote('the night the night the night')}&t=2")
    page.locator(".hit").first.hover()
    assert page.locator(".is-marked").count() >= 1
    expect(page.locator(".heat-readout")).to_contain_text("among the strongest on")


def test_the_grid_is_walked_with_the_keyboard(page: Page) -> None:
    page.goto(f"/inspect?text={quote(TEXT)}")
    first = page.locator(".heat-token").first
    first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator(".heat-readout")).to_contain_text("layer 1")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]t=2"))
    page.keyboard.press("]")
    expect(page).to_have_url(re.compile(r"[?&]t=3"))


def test_examples_emoji_scripts_and_broken_bytes(page: Page) -> None:
    page.goto("/inspect")
    page.get_by_role("button", name="Languages").click()
    expect(page.locator(".heat-token .bytes").first).to_have_text(re.compile(r"^⟨[0-9a-f ]+⟩$"))
    expect(page.locator(".heat-token").first).to_have_text("<|end|>")


def test_a_long_text_scrolls_inside(page: Page) -> None:
    page.goto("/inspect")
    page.get_by_label("Text", exact=True).fill("Snow fell on the road. " * 18)
    page.keyboard.press("Control+Enter")
    ribbon = page.locator(".heat-ribbon")
    expect(ribbon.locator(".heat-token").nth(60)).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_text_is_shown_as_text(page: Page) -> None:
    page.goto(f"/inspect?text={quote(HOSTILE)}&t=1")
    expect(page.locator(".inspect-layer").first).to_be_visible()
    assert page.locator("mfn-heat-strip img, mfn-heat-strip script").count() == 0
    shown = "".join(page.locator(".heat-text").all_text_contents())
    assert "onerror" in shown


def test_nothing_and_too_much_are_refused_in_words(page: Page, watch: Watch) -> None:
    watch.allowed.append("422")
    page.goto("/inspect")
    page.get_by_role("button", name="Inspect").click()
    assert page.get_by_label("Text", exact=True).evaluate("field => field.validationMessage") == "Write a text first."
    page.get_by_label("Text", exact=True).fill("word " * 2000)
    page.get_by_role("button", name="Inspect").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(re.compile("token|long|context", re.IGNORECASE))
