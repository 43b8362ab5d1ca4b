"""What is taken away from the Steer page and had again: links, programs, the history, a feature of another page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import NewPage, Watch
from .steering import (
    LONG,
    PROMPT,
    TURN_UP,
    copied,
    generated_text,
    steer_url,
    stream,
    text_of,
    wait_until_written,
    when_written,
)
from .studio import Studio


def test_a_shared_link_reproduces_the_texts(page: Page, new_page: NewPage, feature: dict[str, Any]) -> None:
    here = generated_text(page, steer_url(feature, 2 * feature["max"], n="40", t="0.8", seed="7"))
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert generated_text(new_page(), link) == here


def test_a_damaged_link_says_what_it_lost(page: Page) -> None:
    page.goto("/steer?p=Hello&f=nonsense&t=warm")
    expect(page.get_by_role("alert").filter(has_text="nonsense")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("Hello")


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
