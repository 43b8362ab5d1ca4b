"""Inspect: a text, its tokens, and the features behind them."""

from __future__ import annotations

import math
import re
from difflib import SequenceMatcher
from urllib.parse import quote

import pytest
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
    expect(page.locator(".is-marked").first).to_be_attached()
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


def test_two_texts_are_compared(page: Page, studio: Studio) -> None:
    other = "The harbour was quiet that night."
    page.goto("/inspect")
    page.get_by_label("Text", exact=True).fill(TEXT)
    page.get_by_role("button", name="Compare with another text").click()
    page.get_by_role("textbox", name="Second text").fill(other)
    page.get_by_role("button", name="Inspect").click()
    strips = page.locator("mfn-heat-strip")
    answers = [studio.post("/api/inspect", {"text": text, "top": 5}) for text in (TEXT, other)]
    first, second = ([token["id"] for token in answer["tokens"]] for answer in answers)
    expect(strips.nth(0).locator(".heat-token")).to_have_count(len(first))
    expect(strips.nth(1).locator(".heat-token")).to_have_count(len(second))
    same = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    shared = sum(block.size for block in same)
    expect(strips.nth(0).locator(".is-different")).to_have_count(len(first) - shared)
    expect(strips.nth(1).locator(".is-different")).to_have_count(len(second) - shared)
    expect(strips.nth(0).locator(".is-different").first).to_have_attribute(
        "aria-label", re.compile("^only in this text")
    )
    expect(page).to_have_url(re.compile(r"text=The\+hospital.*&vs=The\+harbour"))

    last = len(second) - 1
    strips.nth(1).locator(".heat-token").last.click()
    expect(page).to_have_url(re.compile(rf"[?&]t=b{last}"))
    expect(strips.nth(0).locator(".heat-token").last).to_have_class(re.compile("is-counterpart"))
    expect(page.locator("mfn-inspect-token").nth(0)).to_contain_text(f"First text, token {len(first) - 1}")
    expect(page.locator("mfn-inspect-token").nth(1)).to_contain_text(f"Second text, token {last}")
    page.keyboard.press("[")
    expect(page).to_have_url(re.compile(rf"[?&]t=b{last - 1}"))

    strongest: dict[tuple[str, int], list[float]] = {}
    for side, answer in enumerate(answers):
        for layer in answer["layers"]:
            for hit in (hit for hits in layer["positions"][1:] for hit in hits):
                values = strongest.setdefault((layer["source"], hit["index"]), [0.0, 0.0])
                values[side] = max(values[side], hit["value"], key=abs)
    differences = sorted((abs(a - b) for a, b in strongest.values()), reverse=True)
    shown = page.locator("mfn-inspect-differences tbody tr td:last-child").all_text_contents()
    assert [abs(float(text.replace("−", "-"))) for text in shown] == pytest.approx(differences[:12], abs=0.006)

    page.reload()
    expect(strips.nth(1).locator(".heat-token")).to_have_count(len(second))
    expect(page.get_by_role("textbox", name="Second text")).to_have_value(other)
    page.get_by_role("button", name="Without the second text").click()
    expect(strips).to_have_count(1)
    expect(page).not_to_have_url(re.compile("vs="))
    page.go_back()
    expect(strips.nth(1)).to_be_visible()


def test_a_strip_has_a_table_beside_it(page: Page, studio: Studio) -> None:
    page.goto(f"/inspect?text={quote(TEXT)}")
    page.get_by_text("As a table").first.click()
    answer = studio.post("/api/inspect", {"text": TEXT, "top": 5})
    rows = page.get_by_role("region", name="as a table").locator("tbody tr")
    expect(rows).to_have_count(len(answer["tokens"]))
    strongest = answer["layers"][0]["positions"][3][0]
    cell = rows.nth(3).locator("td").nth(1)
    expect(cell.locator("b")).to_have_text(f"{strongest['value']:.2f}")
    page.get_by_role("radio", name="Error").check(force=True)
    expect(cell).to_have_text(re.compile(r"^\d+(\.\d+)?%$"))


def test_a_text_too_long_for_an_address_stays_with_the_tab(page: Page, watch: Watch) -> None:
    watch.allowed.append("422")  # it is too long for the model as well
    long = "東京都の夜は静かでした。" * 150
    page.goto("/inspect")
    page.get_by_label("Text", exact=True).fill(long)
    page.get_by_role("button", name="Inspect").click()
    expect(page.get_by_text("more than an address can hold (12,000 characters)")).to_be_visible()
    assert len(page.url) < 100
    page.reload()
    expect(page.get_by_label("Text", exact=True)).to_have_value(long)
    page.get_by_role("button", name="Film review").click()
    expect(page).to_have_url(re.compile("text=I"))
    expect(page.locator(".heat-token").first).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Text", exact=True)).to_have_value(long)


def test_hostile_texts_stay_text_when_they_are_compared(page: Page) -> None:
    page.goto(f"/inspect?text={quote(HOSTILE)}&vs={quote('a ' + HOSTILE + ' b')}&t=b3")
    expect(page.locator("mfn-inspect-differences tr").nth(1)).to_be_visible()
    page.get_by_text("As a table").first.click()
    page.get_by_text("As a table").nth(1).click()
    second = page.get_by_role("region", name="Tokens of the second text, as a table")
    expect(second.get_by_role("rowheader").nth(5)).to_be_visible()
    assert "onerror" in "".join(second.get_by_role("rowheader").all_text_contents())
    assert page.locator("main img, main script").count() == 0
