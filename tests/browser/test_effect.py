"""What turning does, on the Steer page: predicted, swept, and searched for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import Watch
from .studio import Studio


@pytest.fixture(scope="module")
def address(studio: Studio) -> str:
    layer = studio.get("/api/model")["sources"][-1]["layer"]
    row: dict[str, Any] = studio.get(f"/api/features?sort=max&limit=1&layer={layer}")["items"][0]
    return f"/steer?p=The+ship+left&f={row['source']}/{row['index']},set,2,generation&n=8"


def test_predicted_stands_beside_measured(page: Page, address: str) -> None:
    page.goto(address)
    effect = page.get_by_role("region", name="Effect")
    effect.get_by_role("button", name="Predict and measure").click()
    tables = effect.get_by_role("table")
    expect(tables).to_have_count(3)
    expect(tables.first.get_by_role("row")).to_have_count(9)
    expect(tables.first.get_by_role("columnheader", name="Measured")).to_be_visible()
    expect(effect).to_contain_text(re.compile(r"first order\s+ρ"))
    page.get_by_role("spinbutton", name="Value, typed").fill("3")
    expect(effect).to_contain_text("You changed something since.")


def test_a_strength_of_a_sweep_is_used(page: Page, address: str) -> None:
    page.goto(address)
    effect = page.get_by_role("region", name="Effect")
    effect.get_by_role("button", name="Sweep strengths").click()
    expect(effect.locator("mfn-effect-plot svg.main-svg").first).to_be_visible()
    rows = effect.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(11)  # headings, none, nine strengths
    dose = rows.last.get_by_role("cell").first.text_content()
    rows.last.get_by_role("button", name="Use").click()
    value = page.get_by_role("spinbutton", name="Value, typed")
    expect(value).not_to_have_value("2")
    assert float(value.input_value()) == pytest.approx(float(dose or ""), abs=0.01)


def test_a_search_says_what_it_optimised(page: Page, watch: Watch, address: str) -> None:
    watch.allowed.append("status of 422")
    page.goto(address)
    effect = page.get_by_role("region", name="Effect")
    effect.get_by_role("button", name="Find a good strength").click()
    effect.get_by_label("What counts as the concept").select_option("pattern")
    effect.get_by_label("This pattern is found").fill("[")
    effect.get_by_label("Perplexity may grow to").fill("10")
    effect.get_by_role("button", name="Search", exact=True).click()
    expect(effect.get_by_role("status")).to_contain_text("no regular expression")
    effect.get_by_label("This pattern is found").fill(".")
    effect.get_by_role("button", name="Search", exact=True).click()
    expect(effect).to_contain_text("Nothing within this cost brings more", timeout=60_000)  # plain text has it, too
    expect(effect).to_contain_text("Optimised: most of the concept among 12 settings")
    expect(effect.locator("mfn-effect-plot svg.main-svg").first).to_be_visible()
    effect.get_by_text("All that was tried").click()
    expect(effect.get_by_role("table").get_by_role("row")).to_have_count(13)


def test_without_features_nothing_is_asked(page: Page) -> None:
    page.goto("/steer?p=The+ship")
    page.get_by_role("button", name="Generate").click()
    effect = page.get_by_role("region", name="Effect")
    effect.get_by_role("button", name="Sweep strengths").click()
    expect(effect.get_by_role("status")).to_have_text("Turn a feature first.")
