"""What the Steer page fetches after its first screen: nothing that is done before it is there gets lost."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from .conftest import Watch
from .held import Held
from .steering import PROMPT, text_of, wait_until_written


def test_an_enter_that_comes_before_the_search_is_there_adds_the_feature(page: Page, feature: dict[str, Any]) -> None:
    code = Held(page, re.compile(r"/feature-search\.js"))
    page.goto("/steer")
    search = page.get_by_role("combobox", name="Add a feature")
    search.press_sequentially(f"{feature['layer']}/{feature['index']}")
    search.press("Enter")
    code.wait()
    expect(page.locator("mfn-intervention-editor")).to_have_count(0)
    code.let_go()
    expect(page.locator("mfn-intervention-editor")).to_contain_text(f"L{feature['layer']} · {feature['index']}")
    expect(search).to_have_value("")


def test_a_click_that_comes_before_the_streams_are_there_writes_when_they_come(page: Page) -> None:
    code = Held(page, re.compile(r"/steer-streams\.js"))
    page.goto("/steer")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    button = page.locator(".steer-generate")
    button.click()
    code.wait()
    expect(button).to_have_text("Stop")
    button.click()  # it can be taken back
    expect(button).to_have_text("Generate")
    button.click()
    code.let_go()
    wait_until_written(page)
    assert text_of(page, "plain") == text_of(page, "steered") != ""


def test_what_could_not_be_fetched_is_offered_again(page: Page, watch: Watch, feature: dict[str, Any]) -> None:
    watch.allowed.append("net::ERR_FAILED")
    page.route("**/intervention-editor.js", lambda route: route.abort())
    page.goto(f"/steer?f={feature['source']}/{feature['index']}")
    failed = page.get_by_role("alert").filter(has_text="could not be loaded")
    expect(failed).to_be_visible()
    page.unroute("**/intervention-editor.js")
    failed.get_by_role("button", name="Try again").click()
    expect(page.locator("mfn-intervention-editor")).to_contain_text("1.00× its maximum")
    expect(failed).to_have_count(0)
