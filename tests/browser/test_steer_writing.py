"""Steer, as a demonstrator uses it: prompt, features, sliders, and two texts that are written."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Route, expect

from .conftest import NewPage, Watch
from .held import Held
from .material import HOSTILE
from .steering import (
    LONG,
    PROMPT,
    STOP,
    TURN_UP,
    copied,
    generated_text,
    steer_url,
    stream,
    text_of,
    tokens,
    wait_until_written,
    when_written,
)
from .studio import Studio

KEEP_LAYOUT_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { hadRecentInput, value, sources } of list.getEntries()) {
    if (!hadRecentInput) window.shifts.push([value, sources.map(({ node }) => node?.outerHTML?.slice(0, 80))]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


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
