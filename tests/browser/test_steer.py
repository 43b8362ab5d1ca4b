"""Steer, as a demonstrator uses it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from .conftest import NewPage, Watch
from .held import Held
from .material import HOSTILE
from .studio import Studio

PROMPT = "The ship left the harbour"
LONG = "200"  # tokens: enough for something to be done meanwhile
KEEP_LAYOUT_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { hadRecentInput, value, sources } of list.getEntries()) {
    if (!hadRecentInput) window.shifts.push([value, sources.map(({ node }) => node?.outerHTML?.slice(0, 80))]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def feature(studio: Studio) -> dict[str, Any]:
    """The strongest feature of the last layer: turned up, it shows."""
    layer = studio.get("/api/model")["sources"][-1]["layer"]
    row: dict[str, Any] = studio.get(f"/api/features?sort=max&limit=1&layer={layer}")["items"][0]
    return row


def steer_url(feature: dict[str, Any], value: float | None = None, **settings: str) -> str:
    turned = f"{feature['source']}/{feature['index']}" + ("" if value is None else f",set,{value}")
    extra = "".join(f"&{name}={setting}" for name, setting in settings.items())
    return f"/steer?p={PROMPT.replace(' ', '+')}&f={turned}{extra}"


def stream(page: Page, name: str) -> Locator:
    return page.locator(f"mfn-stream-pane[name={name}]")


def tokens(page: Page, name: str) -> Locator:
    return stream(page, name).locator("[data-step]")


def text_of(page: Page, name: str) -> str:
    return "".join(tokens(page, name).all_text_contents())


def wait_until_written(page: Page) -> None:
    """Until what was asked for has been written, and the page knows it as its last run."""
    for name in ("plain", "steered"):
        expect(stream(page, name)).to_have_attribute("data-state", "done")
    # From a click on it to the end it says "Stop", while the texts of before may still be there.
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()


def when_written(page: Page, count: int, act: str) -> int:
    """Has the page do something, a statement, once so many steered tokens are there, and says how many there were.

    Not after a way to the test and back, in which a quick model may have written all the rest.
    """
    written: int = page.evaluate(f"""() => new Promise((done) => {{
      const look = () => {{
        const pane = document.querySelector("[name=steered][data-state=writing]");
        const written = pane?.querySelectorAll("[data-step]").length ?? 0;
        if (written < {count}) return requestAnimationFrame(look);
        {act};
        done(written);
      }};
      look();
    }})""")
    return written


TURN_UP = """
  const slider = document.querySelector("mfn-intervention-editor input[type=range]");
  slider.value = slider.max;
  for (const name of ["input", "change"]) slider.dispatchEvent(new Event(name, { bubbles: true }))
"""
STOP = """[...document.querySelectorAll("button")].find((button) => button.textContent === "Stop").click()"""


def generated_text(page: Page, url: str) -> dict[str, str]:
    page.goto(url)
    wait_until_written(page)
    return {name: text_of(page, name) for name in ("plain", "steered")}


def test_prompt_and_a_feature_found_by_search_write_two_different_texts(page: Page, feature: dict[str, Any]) -> None:
    page.goto("/steer")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    search = page.get_by_role("combobox", name="Add a feature")
    search.fill(f"{feature['layer']}/{feature['index']}")
    expect(page.locator("mfn-feature-picker").get_by_role("option").first).to_contain_text(
        f"L{feature['layer']} · {feature['index']}"
    )
    search.press("Enter")
    card = page.locator("mfn-intervention-editor")
    expect(card).to_have_count(1)
    expect(card).to_contain_text("1.00× its maximum")
    slider = card.get_by_role("slider")
    expect(slider).to_have_attribute("min", "0")
    assert float(slider.get_attribute("max") or 0) >= 3 * feature["max"]
    page.get_by_role("button", name="Generate").click()
    wait_until_written(page)
    assert tokens(page, "plain").count() == tokens(page, "steered").count() == 80
    assert text_of(page, "plain") != text_of(page, "steered")
    expect(stream(page, "plain").locator(".is-prompt").last).to_have_text(re.compile("harbour|our|r"))


def test_an_enter_that_comes_before_what_is_searched_adds_it_when_it_comes(page: Page, feature: dict[str, Any]) -> None:
    found = Held(page, re.compile(r"/api/features\?.*q="))
    page.goto("/steer")
    search = page.get_by_role("combobox", name="Add a feature")
    search.press_sequentially(f"{feature['layer']}/{feature['index']}")
    search.press("Enter")
    found.wait()
    search.press("ArrowLeft")  # which takes it back
    found.let_go()
    expect(page.locator("mfn-feature-picker").get_by_role("option").first).to_contain_text(
        f"L{feature['layer']} · {feature['index']}"
    )
    search.press_sequentially("x")
    found.wait()
    search.press("Backspace")
    found.wait(2)
    search.press("Enter")
    expect(page.locator("mfn-intervention-editor")).to_have_count(0)
    found.let_go()
    expect(page.locator("mfn-intervention-editor")).to_contain_text(f"L{feature['layer']} · {feature['index']}")
    expect(search).to_have_value("")


def test_without_features_both_texts_are_the_same(page: Page) -> None:
    page.goto("/steer")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.keyboard.press("Control+Enter")
    wait_until_written(page)
    assert text_of(page, "plain") == text_of(page, "steered") != ""
    expect(page.locator(".is-parting")).to_have_count(0)


def test_a_slider_moved_while_the_model_writes_changes_what_follows(
    page: Page, new_page: NewPage, feature: dict[str, Any]
) -> None:
    url = steer_url(feature, 0, n=LONG)
    untouched = generated_text(page, url)
    assert untouched["steered"]
    page.get_by_role("button", name="Generate", exact=True).click()
    moved_at = when_written(page, 6, TURN_UP)
    wait_until_written(page)
    assert moved_at < int(LONG) - 10, "the model was done before the slider moved: the test shows nothing"
    steered = text_of(page, "steered")
    assert steered != untouched["steered"]
    assert steered[:10] == untouched["steered"][:10], "what was written before the slider moved must stay"
    assert text_of(page, "plain") == untouched["plain"], "the untouched text must not be touched"
    expect(page.get_by_text("Sliders moved while this was written")).to_be_visible()
    marked = stream(page, "steered").locator(".is-changed")
    expect(marked.first).to_be_attached()
    steps = [int(step or "") for step in marked.evaluate_all("spots => spots.map(spot => spot.dataset.step)")]
    assert steps[0] > 4, "what was written before the slider moved is not marked"
    first = next(n for n, (a, b) in enumerate(zip(steered, untouched["steered"], strict=False)) if a != b)
    before = len("".join(tokens(page, "steered").all_text_contents()[: steps[0]]))
    assert first >= before, "the text changed before the token that is marked"

    link = copied(page, "Copy link", "Who opens it gets this text again")
    other = new_page(permissions=["clipboard-read", "clipboard-write"])
    assert generated_text(other, link) == {"plain": untouched["plain"], "steered": steered}
    expect(other.locator(".provenance")).to_have_text(re.compile("^Reproduced: .* bit for bit"))
    expect(other.get_by_role("slider")).to_have_value("0")  # as it was begun
    assert copied(other, "Copy link", "Who opens it gets this text again") == link
    with other.expect_response("**/api/generate"):  # without the moves, which is not what the link says
        other.get_by_role("button", name="Generate again").click()
    wait_until_written(other)
    assert text_of(other, "steered") == untouched["steered"]
    expect(other.locator(".provenance")).to_have_count(0)
    other.reload()
    wait_until_written(other)
    assert text_of(other, "steered") == steered
    expect(other.locator(".provenance")).to_contain_text("bit for bit")

    with page.expect_response("**/api/generate"):
        page.get_by_role("button", name="Replay with the same moves").click()
    wait_until_written(page)
    assert text_of(page, "steered") == steered
    assert marked.evaluate_all("spots => spots.map(spot => Number(spot.dataset.step))") == steps
    page.get_by_role("button", name="Generate again").click()
    expect(page.get_by_text("Sliders moved while this was written")).to_be_hidden()
    wait_until_written(page)
    expect(page.get_by_text("Sliders moved while this was written")).to_be_hidden()


def test_a_shared_link_reproduces_the_texts(page: Page, new_page: NewPage, feature: dict[str, Any]) -> None:
    here = generated_text(page, steer_url(feature, 2 * feature["max"], n="40", t="0.8", seed="7"))
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert generated_text(new_page(), link) == here


def test_changing_a_value_afterwards_writes_again_and_back_returns(page: Page, feature: dict[str, Any]) -> None:
    first = generated_text(page, steer_url(feature, 0, n="30"))
    number = page.get_by_role("spinbutton", name="Value, typed")
    number.fill(str(3 * feature["max"]))
    number.press("Enter")
    changed = "first => [...document.querySelectorAll('[name=steered] [data-step]')].map(s => s.textContent).join('') "
    full = "&& document.querySelector('[name=steered]').dataset.state === 'done'"
    page.wait_for_function(f"{changed} !== first {full}", arg=first["steered"])
    page.go_back()
    expect(number).to_have_value("0")
    page.wait_for_function(f"{changed} === first {full}", arg=first["steered"])
    page.go_forward()
    expect(number).to_have_value(str(3 * feature["max"]))


def test_modes_scopes_and_removal_are_kept_in_the_url(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 1, n="5"))
    card = page.locator("mfn-intervention-editor")
    card.get_by_role("radio", name="Add").check(force=True)
    expect(page).to_have_url(re.compile(r",add,"))
    card.get_by_role("spinbutton", name="Value, typed").fill("-1.5")
    expect(page).to_have_url(re.compile(r",add,-1\.5"))
    card.get_by_role("combobox", name="Where").select_option("range")
    card.get_by_role("spinbutton", name="First token").fill("2")
    card.get_by_role("spinbutton", name="First token").press("Tab")
    expect(page).to_have_url(re.compile(r",add,-1\.5,2-"))
    card.get_by_role("combobox", name="Where").select_option("generation")
    expect(page).to_have_url(re.compile(r",add,-1\.5,generation(&|$)"))
    card.get_by_role("spinbutton", name="For so many new tokens").fill("3")
    card.get_by_role("spinbutton", name="For so many new tokens").press("Tab")
    expect(page).to_have_url(re.compile(r",add,-1\.5,generation:0-3"))
    wait_until_written(page)
    page.reload()
    expect(card.get_by_role("spinbutton", name="For so many new tokens")).to_have_value("3")
    card.get_by_role("radio", name="Off").check(force=True)
    expect(card.get_by_role("slider")).to_be_hidden()
    expect(page).to_have_url(re.compile(r",ablate,"))
    card.get_by_role("radio", name="Set").check(force=True)
    card.get_by_role("spinbutton", name="Value, typed").fill("-3")
    expect(card).to_contain_text("cannot be negative")
    expect(page).not_to_have_url(re.compile(r",set,-3"))
    card.get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0)
    expect(page).not_to_have_url(re.compile(r"[?&]f="))


def test_a_ramp_and_a_condition_are_set_kept_and_followed(page: Page, feature: dict[str, Any]) -> None:
    top = round(feature["max"], 2)
    page.goto(steer_url(feature, top, n="8"))
    wait_until_written(page)
    page.get_by_role("checkbox", name="Write again when I change something").uncheck()
    card = page.locator("mfn-intervention-editor")
    card.get_by_text("Ramp, condition").click()
    card.get_by_role("spinbutton", name="Ramp: the value at the first new token").fill("0")
    card.get_by_role("spinbutton", name="Ramp: tokens until the whole value").fill("4")
    card.get_by_role("spinbutton", name="Ramp: tokens until the whole value").press("Tab")
    expect(page).to_have_url(re.compile(r",ramp:0:4"))
    expect(card).to_contain_text("from 0 over 4 tokens")
    with page.expect_response("**/api/generate"):
        page.get_by_role("button", name="Generate", exact=True).click()
    wait_until_written(page)
    values = []
    for step in range(6):
        tokens(page, "steered").nth(step).click()
        followed = page.locator("mfn-token-detail .watched")
        expect(page.locator("mfn-token-detail")).to_contain_text(f"Steered, token {step + 1}")
        values.append(float(followed.locator("b").first.inner_text()))
    assert values == pytest.approx([0, top / 4, top / 2, 3 * top / 4, top, top], abs=0.02 + top / 100)

    condition = card.get_by_role("textbox", name="Condition: a feature")
    condition.fill(f"{feature['layer'] + 1}/3")
    condition.press("Tab")
    expect(card.get_by_role("alert")).to_contain_text("A feature's number")
    condition.fill("0/5")
    condition.press("Tab")
    expect(card.locator(".turn-error")).to_be_empty()
    card.get_by_role("spinbutton", name="Condition: how strongly").fill("0.5")
    card.get_by_role("spinbutton", name="Condition: how strongly").press("Tab")
    expect(page).to_have_url(re.compile(r",if:mfn\.resid_mid\.0-[0-9a-f]+/5:0\.5"))
    page.reload()
    expect(card).to_contain_text("from 0 over 4 tokens · only if 0/5 fires above 0.50")
    wait_until_written(page)


def test_a_token_shows_what_was_considered_and_its_features_can_be_added(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 0, n="12"))
    wait_until_written(page)
    tokens(page, "plain").nth(3).click()
    detail = page.locator("mfn-token-detail")
    expect(detail).to_contain_text("Untouched, token 4")
    expect(detail).to_contain_text("Probability")
    expect(detail.get_by_text("taken")).to_be_visible()
    hits = detail.locator(".hit")
    expect(hits.first.get_by_role("link")).to_have_attribute("href", re.compile(r"^/feature/mfn\.resid_mid\."))
    hits.first.get_by_role("button", name="Add").click()
    expect(page.locator("mfn-intervention-editor")).to_have_count(2)
    expect(detail).to_contain_text("Point at a token")  # the texts are written again, and what was said of them goes
    wait_until_written(page)
    stream(page, "plain").locator(".is-prompt").nth(2).click()
    expect(detail).to_contain_text("in the prompt")
    expect(detail.locator(".hit").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(detail).to_contain_text("Point at a token")


def test_on_a_phone_a_tapped_token_stays_in_sight_above_its_details(new_page: NewPage, feature: dict[str, Any]) -> None:
    page = new_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.goto(steer_url(feature, 0, n="30"))
    wait_until_written(page)
    token = tokens(page, "steered").nth(20)
    token.tap()
    sheet = page.locator("mfn-token-detail")
    expect(sheet).to_contain_text("Steered, token 21")
    page.wait_for_function(
        "([token, sheet]) => token.getBoundingClientRect().bottom <= sheet.getBoundingClientRect().top",
        arg=[token.element_handle(), sheet.element_handle()],
    )
    sheet.get_by_role("button", name="Close").tap()
    expect(sheet).to_contain_text("Point at a token")


def test_streams_are_read_with_the_keyboard(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 0, n="12"))
    wait_until_written(page)
    tokens(page, "steered").nth(2).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(tokens(page, "steered").nth(3)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("mfn-token-detail")).to_contain_text("Steered, token 4")


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


def test_writing_moves_nothing_and_is_announced_by_sentence(page: Page, feature: dict[str, Any]) -> None:
    page.add_init_script(KEEP_LAYOUT_SHIFTS)
    page.goto(steer_url(feature, 0, n=LONG))
    wait_until_written(page)  # all that the page fetches is there
    page.get_by_role("button", name="Generate", exact=True).click()
    # a move, so that there is something to say when the text is written
    when_written(page, 1, f"window.before = window.shifts.length; {TURN_UP}")
    wait_until_written(page)
    expect(page.get_by_text("Sliders moved while this was written")).to_be_visible()
    page.wait_for_timeout(200)  # shifts are told a moment later
    assert page.evaluate("window.shifts.slice(window.before)") == []
    spoken = stream(page, "plain").get_by_role("log").locator("p")
    assert 1 <= spoken.count() < 100
    assert stream(page, "plain").locator("[data-step][aria-live], .stream-text[aria-live]").count() == 0


def test_stop_keeps_what_was_written(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 0, n=LONG))
    when_written(page, 4, STOP)
    expect(stream(page, "plain")).to_have_attribute("data-state", "done")
    written = tokens(page, "steered").count()
    assert 3 < written < int(LONG)
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible()


def test_a_broken_stream_keeps_the_text_and_offers_another_try(page: Page, feature: dict[str, Any]) -> None:
    def cut(route: Route) -> None:
        whole = route.fetch().text()
        half = "".join(event + "\n\n" for event in re.split(r"\r?\n\r?\n", whole)[:9])
        route.fulfill(status=200, headers={"content-type": "text/event-stream"}, body=half)

    page.route("**/api/generate", cut)
    page.goto(steer_url(feature, 0, n="20"))
    expect(page.get_by_role("alert").filter(has_text="broke off")).to_be_visible()
    expect(stream(page, "plain")).to_have_attribute("data-state", "broken")
    assert tokens(page, "plain").count() > 0
    page.unroute("**/api/generate")
    page.get_by_role("button", name="Try again").click()
    wait_until_written(page)


def test_a_busy_server_is_said_plainly_with_the_time_to_wait(page: Page, watch: Watch, feature: dict[str, Any]) -> None:
    watch.allowed.append("429")
    refusal = {"error": {"code": "busy", "message": "The model is busy.", "hint": "Wait a moment.", "field": None}}
    page.route(
        "**/api/generate",
        lambda route: route.fulfill(status=429, headers={"Retry-After": "1"}, body=json.dumps(refusal)),
    )
    page.goto(steer_url(feature, 0, n="5"))
    expect(page.get_by_role("alert").filter(has_text="The model is busy.")).to_be_visible()
    page.unroute("**/api/generate")
    page.get_by_role("button", name="Try again", exact=True).click()
    wait_until_written(page)


def test_what_the_server_refuses_is_shown(page: Page, watch: Watch, feature: dict[str, Any]) -> None:
    watch.allowed.append("422")
    page.goto("/steer?f=" + f"{feature['source']}/{feature['index']}")
    page.get_by_label("Prompt", exact=True).fill("word " * 3000)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".notice.is-error")).to_contain_text(re.compile("token|long|context", re.IGNORECASE))
    page.get_by_label("Prompt", exact=True).fill("")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".notice.is-error")).to_contain_text("Write a prompt first")


def test_a_damaged_link_says_what_it_lost(page: Page) -> None:
    page.goto("/steer?p=Hello&f=nonsense&t=warm")
    expect(page.get_by_role("alert").filter(has_text="nonsense")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("Hello")


def test_a_preset_is_saved_used_and_deleted(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 1.5, n="7"))
    wait_until_written(page)
    page.get_by_role("button", name="Save as preset").click()
    page.get_by_label("Name", exact=True).fill("To sea")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Use preset “To sea”")).to_be_visible()
    page.goto("/steer")
    expect(page.get_by_text("Start from one of these")).to_be_visible()
    page.get_by_role("button", name="Use preset “To sea”").click()
    wait_until_written(page)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)
    expect(page.get_by_role("spinbutton", name="Value, typed")).to_have_value("1.5")
    assert tokens(page, "plain").count() == 7
    page.get_by_role("button", name="Delete preset “To sea”").click()
    expect(page.get_by_role("button", name="Use preset “To sea”")).to_be_hidden()


def test_a_preset_has_versions_and_travels_as_a_file(page: Page, feature: dict[str, Any], tmp_path: Path) -> None:
    page.goto(steer_url(feature, 1.5, n="5"))
    wait_until_written(page)
    page.get_by_role("button", name="Save as preset").click()
    page.get_by_label("Name", exact=True).fill("Ashore")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Use preset “Ashore”").click()
    page.get_by_role("spinbutton", name="Value, typed").fill("2.5")
    page.get_by_role("button", name="Save as preset").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Ashore")
    expect(page.get_by_label("Version 2 of “Ashore”")).to_be_checked()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Versions of “Ashore”").click()
    versions = page.get_by_role("dialog", name="Versions of “Ashore”")
    expect(versions.get_by_role("listitem")).to_have_count(2)
    versions.get_by_role("listitem").nth(1).get_by_role("button", name="Show").click()
    expect(page.get_by_role("spinbutton", name="Value, typed")).to_have_value("1.5")
    page.get_by_role("button", name="Versions of “Ashore”").click()
    versions.get_by_role("button", name="Go back to this").click()
    expect(versions.get_by_role("listitem")).to_have_count(3)
    versions.get_by_role("button", name="Close").click()

    with page.expect_download() as download:
        page.get_by_role("link", name="Export presets").click()
    file = tmp_path / "presets.json"
    download.value.save_as(file)
    page.get_by_role("button", name="Delete preset “Ashore”").click()
    expect(page.get_by_role("button", name="Use preset “Ashore”")).to_be_hidden()
    page.locator("mfn-preset-list input[type=file]").set_input_files(file)
    expect(page.get_by_text("Imported: 1 new, 0 changed, 0 as they were.")).to_be_visible()
    page.get_by_role("button", name="Use preset “Ashore”").click()
    expect(page.get_by_role("spinbutton", name="Value, typed")).to_have_value("1.5")
    page.get_by_role("button", name="Delete preset “Ashore”").click()


def copied(page: Page, button: str, said: str) -> str:
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text(said).last).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_a_link_reproduces_its_run_and_says_so(page: Page, new_page: NewPage, feature: dict[str, Any]) -> None:
    shown = generated_text(page, steer_url(feature, 2 * feature["max"], n="9", t="1", seed="5"))
    link = copied(page, "Copy link", "Who opens it gets this text again")
    other = new_page()
    assert generated_text(other, link) == shown
    expect(other.locator(".provenance")).to_have_text(re.compile("^Reproduced: .* bit for bit"))
    other.reload()
    wait_until_written(other)
    expect(other.locator(".provenance")).to_contain_text("bit for bit")
    other.get_by_role("spinbutton", name="Value, typed").fill("0.5")  # no longer what the link is about
    expect(other.locator(".provenance")).to_have_count(0)


MOVES_THERE_AND_BACK = """async (moves) => {
  const { formatMoves, parseMoves } = await import("/assets/pages/steer-moves.js");
  const part = formatMoves(moves);
  return [part, parseMoves(new URLSearchParams(part))];
}"""


def test_moves_of_sliders_stand_in_a_link_as_short_as_they_can(page: Page) -> None:
    def one(index: int, value: float, **more: Any) -> dict[str, Any]:
        plain = {"mode": "add", "scope": {"kind": "both", "start": None, "stop": None}, "condition": None, "ramp": None}
        return {"source": "mfn.resid_mid.2-1a2b3c4d", "index": index, "value": value, **plain, **more}

    late = {"scope": {"kind": "generation", "start": 2, "stop": 30}, "ramp": {"start": -1, "steps": 4}}
    asking = {"condition": {"index": 5, "above": 0.5, "source": "mfn.resid_mid.0-5e6f7a8b"}, "mode": "ablate"}
    moves = [
        {"step": 3, "interventions": [one(7, 1.5), one(8, 0, **asking)]},
        {"step": 4, "interventions": [one(7, -2.25), one(8, 0, **asking)]},
        {"step": 9, "interventions": [one(7, -2.25, mode="set"), one(8, 0, **asking), one(9, 1e-7, **late)]},
        {"step": 10, "interventions": [one(8, 0, **asking), one(9, 3, **late)]},
        {"step": 11, "interventions": []},
        {"step": 300, "interventions": [one(9, 0, mode="scale")]},
    ]
    page.goto("/steer")
    part, back = page.evaluate(MOVES_THERE_AND_BACK, moves)
    assert back == moves
    assert "&move=4~:-2.25~&" in part
    dragged = [{"step": step, "interventions": [one(7, step / 64), one(8, 0, **asking)]} for step in range(1, 400)]
    part, back = page.evaluate(MOVES_THERE_AND_BACK, dragged)
    assert back == dragged
    assert len(part) < 10_000


def test_moves_of_which_one_is_damaged_are_left_out_as_a_whole(page: Page) -> None:
    read = 'async (text) => (await import("/assets/pages/steer-moves.js")).parseMoves(new URLSearchParams(text))'
    page.goto("/steer")
    for wrong in ("x~a/1,set,2", "2~a/1,set,2", "5~nonsense", "5~:x", "5~~", "5~~:3"):
        assert page.evaluate(read, f"move=2~a/1,set,1&move={wrong}") is None, wrong
    assert [move["step"] for move in page.evaluate(read, "move=2~a/1,set,1&move=5~:3&move=7")] == [2, 5, 7]
    assert page.evaluate(read, "p=x") == []


@pytest.fixture(scope="module")
def link(browser: Browser, studio: Studio, feature: dict[str, Any]) -> str:
    """To a run, with what came of it."""
    with browser.new_context(base_url=studio.url, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto(steer_url(feature, 1.5, n="4"))
        wait_until_written(page)
        return copied(page, "Copy link", "Who opens it gets this text again")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (("torch", "9.9.9"), ["PyTorch: 9.9.9 there", "Reproduced", "bit for bit"]),
        (("threads", "64"), ["Threads: 64 there, ", "Reproduced"]),
        (("m", "0123456789abcdef"), ["made with another model (fingerprint 0123456789abcdef…)"]),
        (("exact", "0123456789abcdef"), ["differ in the last digits"]),
        (("digest", "0123456789abcdef"), ["Not reproduced", "something else has changed"]),
    ],
)
def test_a_link_from_elsewhere_says_what_is_different(
    page: Page, link: str, part: tuple[str, str], says: list[str]
) -> None:
    query = dict(parse_qsl(urlsplit(link).query))
    facts, digests = query["b"].split("~"), query["r"].split(".")
    which, value = part
    if which in ("torch", "threads"):
        facts[{"torch": 1, "threads": 5}[which]] = value
    elif which == "m":
        query["m"] = value
    else:
        digests[{"digest": 2, "exact": 3}[which]] = value
    query |= {"b": "~".join(facts), "r": ".".join(digests)}
    page.goto(f"/steer?{urlencode(query)}")
    wait_until_written(page)
    for part_of_it in says:
        expect(page.locator(".provenance")).to_contain_text(part_of_it)


@pytest.mark.parametrize("how", ["as Python", "for OpenAI's client"])
def test_a_program_gives_the_same_text(page: Page, feature: dict[str, Any], how: str) -> None:
    page.goto(steer_url(feature, 2 * feature["max"], n="9", stop="zzqq", bias="5:-100"))
    wait_until_written(page)
    program = copied(page, f"Copy {how}", "Program copied")
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert out.removesuffix("\n") == page.evaluate("document.querySelector('steer-page').lastRun.streams.steered.text")


def test_the_curl_command_gives_the_same_text(page: Page, feature: dict[str, Any]) -> None:
    shown = generated_text(page, steer_url(feature, 2 * feature["max"], n="9"))
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_text("Command copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    out = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True).stdout
    events = [json.loads(line.removeprefix("data:")) for line in out.splitlines() if line.startswith("data:")]
    steered = "".join(event["delta"] for event in events if event.get("stream") == "steered" and "delta" in event)
    assert steered.replace("\n", "") in shown["steered"].replace("\n", "") or re.search(r"⟨", shown["steered"])


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


def test_a_text_stops_where_it_is_told_to_and_a_token_is_kept_out(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 0, n="20"))
    wait_until_written(page)
    whole = page.evaluate("document.querySelector('steer-page').lastRun.streams.plain.tokens.map(t => t.delta)")
    page.get_by_role("checkbox", name="Write again when I change something").uncheck()
    page.locator(".steer-settings summary").click()
    stop = next(delta for delta in whole[3:] if delta.strip() and "".join(whole).index(delta) > 0)
    page.get_by_label("Stop at").fill(stop.replace("\\", "\\\\"))
    page.get_by_label("Stop at").press("Tab")
    expect(page).to_have_url(re.compile("[?&]stop="))
    expect(page.locator(".steer-settings summary")).to_contain_text("stops")
    with page.expect_response("**/api/generate"):
        page.get_by_role("button", name="Generate", exact=True).click()
    wait_until_written(page)
    expect(stream(page, "plain").locator(".stream-end")).to_have_text("A text to stop at came next.")
    written = page.evaluate("document.querySelector('steer-page').lastRun.streams.plain.text")
    assert written == "".join(whole)[: "".join(whole).index(stop)]

    page.get_by_label("Stop at").fill("")
    token = page.get_by_role("textbox", name="Token to make likelier")
    token.fill(whole[0])
    token.press("Enter")
    bias = page.locator("mfn-token-bias").get_by_role("spinbutton").first
    expect(bias).to_have_value("-5")
    bias.fill("-100")
    bias.press("Tab")
    expect(page).to_have_url(re.compile(r"[?&]bias=\d+:-100:"))
    with page.expect_response("**/api/generate"):
        page.get_by_role("button", name="Generate", exact=True).click()
    wait_until_written(page)
    assert whole[0] not in page.evaluate(
        "document.querySelector('steer-page').lastRun.streams.plain.tokens.map(t => t.delta)"
    )
    page.reload()
    page.locator(".steer-settings summary").click()
    expect(bias).to_have_value("-100")
    page.locator("mfn-token-bias").get_by_role("button", name="Remove").first.click()
    expect(page.locator("mfn-token-bias").get_by_role("spinbutton")).to_have_count(0)


def test_runs_are_kept_shown_again_and_forgotten(page: Page, feature: dict[str, Any]) -> None:
    first = generated_text(page, steer_url(feature, 2 * feature["max"], n="7", t="0.9", seed="4"))
    page.get_by_label("Prompt", exact=True).fill("Snow fell on the hills")
    page.get_by_role("button", name="Generate", exact=True).click()
    wait_until_written(page)
    expect(stream(page, "plain")).to_contain_text("Snow")
    expect(page.locator("mfn-run-history summary")).to_contain_text("2")  # it is kept a moment after it was written
    page.goto("/")
    page.goto("/steer")
    history = page.locator("mfn-run-history")
    history.locator("summary").click()
    expect(history.locator(".run")).to_have_count(2)
    expect(history.locator(".run").first).to_contain_text("Snow fell")
    history.get_by_role("button", name=f"Show again: “{PROMPT}”").click()
    wait_until_written(page)
    assert {name: text_of(page, name) for name in first} == first
    expect(page.locator(".provenance")).to_contain_text("bit for bit")
    expect(page).to_have_url(re.compile("seed=4"))
    expect(history.locator(".run")).to_have_count(2)  # the same once more takes the place of the first time
    history.get_by_role("button", name="Remove from the history: “Snow fell on the hills”").click()
    expect(history.locator(".run")).to_have_count(1)
    history.get_by_role("button", name="Clear history").click()
    expect(history.locator(".run")).to_have_count(0)
    page.goto("/steer")  # where nothing is written by itself
    expect(history.locator("summary")).to_contain_text("nothing yet")


def test_a_run_with_moves_is_shown_again_with_them(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 0, n=LONG))
    when_written(page, 4, TURN_UP)
    wait_until_written(page)
    moved = text_of(page, "steered")
    expect(stream(page, "steered").locator(".is-changed").first).to_be_attached()
    history = page.locator("mfn-run-history")
    history.locator("summary").click()
    expect(history.locator(".run").first).to_contain_text("moved")
    with page.expect_response("**/api/generate"):
        history.get_by_role("button", name="Show again").first.click()
    wait_until_written(page)
    assert text_of(page, "steered") == moved
    expect(page.get_by_role("spinbutton", name="Value, typed")).to_have_value("0")


def test_a_feature_of_another_page_joins_what_was_steered(page: Page, studio: Studio, feature: dict[str, Any]) -> None:
    other = studio.get("/api/features?layer=0&limit=1")["items"][0]
    page.goto(steer_url(feature, 1.5, n="4"))
    wait_until_written(page)
    page.goto(f"/feature/{other['source']}/{other['index']}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("s")
    expect(page.locator("mfn-intervention-editor")).to_have_count(1)
    expect(page.get_by_text(f"You were steering “{PROMPT}” with 1 feature.")).to_be_visible()
    page.get_by_role("button", name="Add this to it").click()
    expect(page.locator("mfn-intervention-editor")).to_have_count(2)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)
    wait_until_written(page)
    page.goto(f"/steer?add={other['source']}/{other['index']}&add={feature['source']}/{other['index'] + 1}")
    expect(page.locator("mfn-intervention-editor")).to_have_count(3)  # one of them was turned already
    expect(page).to_have_url(re.compile(r"/steer\?p=The\+ship.*&f=.*&f=.*&f="))


def test_a_prompt_too_long_for_an_address_outlives_a_reload(page: Page, watch: Watch) -> None:
    watch.allowed.append("422")  # it is too long for the model as well
    page.goto("/steer")
    prompt = "東京都の夜は静かでした。" * 150
    page.get_by_label("Prompt", exact=True).fill(prompt)
    expect(page.get_by_text("more than an address can hold")).to_be_visible()
    page.wait_for_timeout(300)
    assert len(page.url) < 100
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(prompt)


def test_hostile_text_stays_text_everywhere_on_the_page(page: Page, studio: Studio) -> None:
    target = studio.get("/api/features?layer=0&sort=rate&limit=5")["items"][4]
    where = f"/api/features/{target['source']}/{target['index']}/events"
    studio.post(where, {"id": str(uuid4()), "event": {"kind": "propose", "text": HOSTILE}})
    studio.post("/api/presets", {"name": HOSTILE, "description": HOSTILE, "prompt": HOSTILE, "interventions": []})
    query = {
        "p": HOSTILE,
        "f": f"{target['source']}/{target['index']},set,1",
        "n": "30",
        "stop": HOSTILE + "!",
        "bias": f"7:2:{HOSTILE}",
    }
    page.goto(f"/steer?{urlencode(query)}")
    wait_until_written(page)
    expect(page.locator("mfn-intervention-editor")).to_contain_text("onerror")
    page.get_by_role("radio", name="Feature").check(force=True)
    tokens(page, "steered").nth(3).click()
    expect(page.locator("mfn-token-detail .hit").first).to_be_visible()
    page.locator("mfn-run-history summary").click()
    expect(page.locator("mfn-run-history .run").first).to_contain_text("onerror")
    page.get_by_role("combobox", name="Add a feature").fill("onerror")
    expect(page.locator("mfn-feature-picker").get_by_role("option").first).to_be_visible()
    page.keyboard.press("Escape")
    page.locator(".steer-settings summary").click()
    expect(page.locator("mfn-token-bias")).to_contain_text("onerror")
    page.get_by_role("button", name="Predict and measure").click()
    expect(page.locator("mfn-steer-effect table").first).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("window.hacked") is None
    page.goto("/steer?p=x&f=" + quote(HOSTILE) + "&bias=" + quote(HOSTILE))
    expect(page.get_by_role("alert")).to_contain_text("onerror")
    for preset in studio.get("/api/presets")["items"]:
        if preset["name"] == HOSTILE:
            page.request.delete(f"/api/presets/{preset['id']}", headers={"Origin": studio.url})
