"""Working through a campaign and deciding it, by keyboard alone; and what becomes of words when others are faster."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from .conftest import NewPage, Watch
from .everywhere import sticks_out
from .studio import Studio


def features(studio: Studio, begin: int, count: int) -> list[dict[str, Any]]:
    """Features that fire and that no other test is about, the most important of them first."""
    rows = studio.get("/api/features?limit=100&sort=index&order=desc")["items"][begin : begin + count]
    rows.sort(key=lambda row: -row["rate"] * row["mean"])
    return rows


def begin(studio: Studio, name: str, rows: list[dict[str, Any]], *, blind: bool = True) -> str:
    identity = str(uuid.uuid4())
    these = [{"source": row["source"], "index": row["index"]} for row in rows]
    body = {"id": identity, "name": name, "opinions": 1, "blind": blind, "instructions": "<b>What</b> do they share?"}
    studio.post("/api/campaigns", {**body, "features": {"kind": "list", "features": these}})
    return identity


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until what has this name is focused."""
    for _ in range(80):
        page.keyboard.press("Tab")
        label = page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
        if label == name:
            return
    raise AssertionError(f"the keyboard does not reach {name!r}")


def shown(page: Page, element: str, row: dict[str, Any]) -> None:
    """Until a feature is before whoever works, with its evidence."""
    expect(page.locator(element)).to_have_attribute("data-item", f"{row['source']}:{row['index']}")
    expect(page.locator(f"{element} .contexts mark").first).to_be_visible()


def field(page: Page) -> Locator:
    return page.get_by_label("What is it?")


def test_a_queue_is_worked_through_and_decided_by_keyboard_alone(page: Page, studio: Studio) -> None:
    rows = features(studio, 1, 3)
    identity = begin(studio, "By keyboard", rows)
    page.goto("/settings")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    tab_to(page, "Label")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Label: By keyboard")).to_be_visible()
    tab_to(page, "Label: By keyboard")
    page.keyboard.press("Enter")

    shown(page, "queue-work", rows[0])
    expect(page.locator(".campaign-instructions")).to_have_text("<b>What</b> do they share?")
    expect(field(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Write what it is, or say what stands against naming it.")
    page.keyboard.type("ships <i>at</i> sea")
    page.reload()  # what was typed is still there, and so is the feature
    shown(page, "queue-work", rows[0])
    expect(field(page)).to_have_value("ships <i>at</i> sea")
    page.keyboard.press("Enter")

    shown(page, "queue-work", rows[1])
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("")
    page.keyboard.press("Escape")
    page.keyboard.press("s")

    shown(page, "queue-work", rows[2])
    expect(field(page)).to_be_focused()
    page.keyboard.press("Escape")
    for key in ("3", "p", "e"):
        page.keyboard.press(key)
    expect(field(page)).to_be_focused()
    page.keyboard.type("snow")
    page.keyboard.press("Enter")

    shown(page, "queue-work", rows[1])
    expect(page.get_by_text("You skipped this one before.")).to_be_visible()
    expect(field(page)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing is left for you here.")).to_be_visible()
    expect(page.locator("state-view a")).to_be_focused()

    items = studio.get(f"/api/campaigns/{identity}/review?limit=9")["items"]
    said = {(item["source"], item["index"]): item["opinions"][0] for item in items}
    given = [said[row["source"], row["index"]] for row in rows]
    assert [opinion["text"] for opinion in given] == ["ships <i>at</i> sea", None, "snow"]
    assert [opinion["flag"] for opinion in given] == [None, "unclear", None]
    assert [opinion["confidence"] for opinion in given] == [None, None, "high"]
    assert [opinion["one_concept"] for opinion in given] == [None, None, "partly"]

    page.keyboard.press("Enter")
    review = "Review: By keyboard"
    expect(page.get_by_role("link", name=review)).to_contain_text("3 to decide")
    tab_to(page, review)
    page.keyboard.press("Enter")
    shown(page, "queue-review", rows[0])
    page.keyboard.press("j")
    shown(page, "queue-review", rows[1])
    page.reload()  # the address holds the place
    shown(page, "queue-review", rows[1])
    page.keyboard.press("k")
    shown(page, "queue-review", rows[0])
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Accept opinion 1")
    expect(page.get_by_role("dialog")).not_to_contain_text("Sure: high")  # a key of the queue
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    shown(page, "queue-review", rows[1])
    page.keyboard.press("0")
    expect(page.get_by_role("alert")).to_have_text("Say why, in the field for the reason.")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("nobody can tell")
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    shown(page, "queue-review", rows[2])
    page.get_by_label("Reason").focus()
    page.keyboard.type("of the weather")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Better words")).to_be_focused()
    page.keyboard.type("snow and rain")
    page.keyboard.press("Enter")
    expect(page.locator("queue-review .queue-title [role=status]")).to_contain_text("0 without a decision")
    labels = [studio.get(f"/api/features/{row['source']}/{row['index']}")["label"] for row in rows]
    assert labels == ["ships <i>at</i> sea", None, "snow and rain"]


def test_on_a_phone_what_is_judged_comes_before_the_keyboard(new_page: NewPage, studio: Studio) -> None:
    rows = features(studio, 8, 1)
    said = {"id": str(uuid.uuid4()), "event": {"kind": "propose", "text": f"שלום {'w' * 300}"}}
    studio.post(f"/api/features/{rows[0]['source']}/{rows[0]['index']}/events", said)
    page = new_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.goto(f"/label/{begin(studio, 'On a phone', rows, blind=False)}")
    shown(page, "queue-work", rows[0])
    expect(page.get_by_role("button", name="שלום")).to_be_visible()
    assert sticks_out(page) is None
    expect(field(page)).not_to_be_focused()
    field(page).tap()
    page.keyboard.type("tapped")
    page.get_by_role("button", name="Save and go on").tap()
    expect(page.get_by_text("Nothing is left for you here.")).to_be_visible()


@pytest.fixture
def refusals(watched: tuple[NewPage, list[Watch]], page: Page) -> None:
    """The console tells of every status above 400; here 409 is what is looked for."""
    for watch in watched[1]:
        watch.allowed.append("status of 409")


def refuse(code: str) -> Any:
    def answer(route: Route) -> None:
        body = {"error": {"code": code, "message": "refused", "hint": None, "field": None}}
        route.fulfill(status=409, content_type="application/json", body=json.dumps(body))

    return answer


@pytest.mark.usefixtures("refusals")
def test_whoever_comes_too_late_keeps_their_words(page: Page, studio: Studio) -> None:
    """The lease is lost while the page is open; then others have given all opinions."""
    rows = features(studio, 5, 2)
    identity = begin(studio, "Too late", rows)
    page.clock.install()
    page.goto(f"/label/{identity}")
    shown(page, "queue-work", rows[0])
    field(page).fill("harbours")
    page.route("**/leases/*", refuse("lease_lost"))
    page.route("**/next", lambda route: route.fulfill(json={"item": None, "why": "waiting", "progress": {}}))
    page.clock.fast_forward(21_000)
    expect(page.get_by_text("This feature is no longer kept for you")).to_be_visible()
    expect(field(page)).to_have_value("harbours")
    page.unroute("**/next")

    page.route("**/opinions", refuse("quota_full"))
    field(page).press("Enter")
    expect(page.get_by_text("Others have given all opinions of this feature meanwhile.")).to_be_visible()
    expect(field(page)).to_have_value("harbours")
    page.unroute("**/opinions")
    page.unroute("**/leases/*")
    page.get_by_role("button", name="Say it beside theirs").click()
    shown(page, "queue-work", rows[1])  # on the first there is still a lease, which was not really lost
    expect(field(page)).to_have_value("")
    found = studio.get(f"/api/features/{rows[0]['source']}/{rows[0]['index']}/labels")["labels"]
    assert [label["text"] for label in found] == ["harbours"]


def test_a_campaign_is_opened_changed_and_closed_on_the_page(page: Page, studio: Studio) -> None:
    page.goto("/label/new")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("<u>Layer 1</u>")
    page.locator("select[name=layer]").select_option("1")
    page.locator("select[name=status]").select_option("alive")
    page.get_by_label("How many").fill("2")
    page.get_by_label("Blind: what others").uncheck()
    page.get_by_role("button", name="Open the campaign").click()
    expect(page.locator("queue-work[data-item] .contexts mark").first).to_be_visible()
    page.get_by_role("link", name="All campaigns").click()
    campaign = page.locator(".campaign").filter(has_text="<u>Layer 1</u>")
    expect(campaign).to_contain_text("0 of 2 features with 1 opinion each")
    campaign.get_by_role("link", name="Change: ").click()
    page.get_by_label("Instructions").fill("Look at the left.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("queue-work .campaign-instructions")).to_have_text("Look at the left.")
    page.get_by_role("link", name="All campaigns").click()
    page.once("dialog", lambda dialog: dialog.accept())
    campaign.get_by_role("button", name="Close: ").click()
    expect(campaign.get_by_text("closed")).to_be_visible()
    campaign.get_by_role("button", name="Open again: ").click()
    expect(campaign.get_by_text("closed")).to_be_hidden()
    page.goto("/label/new?f=nothing:1")
    page.get_by_label("Name", exact=True).fill("wrong")
    expect(page.get_by_label("One a line: SOURCE:INDEX")).to_have_value("nothing:1")
