"""What the shades of tokens on the Steer page say."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from .steering import generated_text, steer_url, stream, text_of, tokens, wait_until_written


def test_colours_have_a_legend(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 3 * feature["max"], n="20"))
    wait_until_written(page)
    page.get_by_role("radio", name="Probability").check(force=True)
    expect(page.get_by_text("the model's own probability")).to_be_visible()
    shaded = "[data-step]:not([data-shade='0'])"
    expect(stream(page, "plain").locator(shaded).first).to_be_attached()
    page.get_by_role("radio", name="Change (KL)").check(force=True)
    expect(stream(page, "steered").locator(shaded).first).to_be_attached()
    expect(stream(page, "plain").locator(shaded)).to_have_count(0)


def all_are_shaded(page: Page, name: str, shade: int) -> None:
    expect(stream(page, name).locator(f"[data-step]:not([data-shade='{shade}'])")).to_have_count(0)
    assert tokens(page, name).count() > 0


def test_tokens_are_coloured_by_a_feature(page: Page, feature: dict[str, Any]) -> None:
    top = round(feature["max"], 2)
    page.goto(steer_url(feature, top, n="10"))
    wait_until_written(page)
    page.get_by_role("radio", name="Feature").check(force=True)
    expect(page).to_have_url(re.compile(rf"[?&]c=mfn\.resid_mid\..*/{feature['index']}(&|$)"))
    expect(page.get_by_role("combobox", name="Feature to colour by")).to_contain_text(f"· {feature['index']}")
    expect(page.locator(".legend-step").last).to_have_text(re.compile(r"^≥\d"))
    all_are_shaded(page, "steered", 4 if top >= feature["max"] else 3)
    page.reload()
    wait_until_written(page)
    all_are_shaded(page, "steered", 4 if top >= feature["max"] else 3)
    page.locator("mfn-colour-choice").get_by_role("radio", name="Off").check(force=True)
    expect(page).not_to_have_url(re.compile("[?&]c="))
    all_are_shaded(page, "steered", 0)


def test_a_feature_that_fired_becomes_the_colour(page: Page, feature: dict[str, Any]) -> None:
    before = generated_text(page, steer_url(feature, 0, n="8"))
    tokens(page, "plain").nth(2).click()
    hit = page.locator("mfn-token-detail .hit").first
    value = float(hit.locator(".hit-value").text_content() or "")
    key = hit.get_attribute("data-feature")
    with page.expect_request("**/api/generate") as asked:  # nobody followed it: the same is written again, and it is
        hit.get_by_role("button", name="Colour").click()
    wait_until_written(page)
    watched = [f"{one['source']}/{one['index']}" for one in asked.value.post_data_json["watch"]]
    assert watched[0] == key
    assert {name: text_of(page, name) for name in before} == before
    assert value > 0
    expect(tokens(page, "plain").nth(2)).not_to_have_attribute("data-shade", "0")
