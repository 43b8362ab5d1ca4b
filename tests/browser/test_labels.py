"""People who name a feature at the same time, each in a window of their own."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import Watch
from .studio import Studio


@pytest.fixture
def row(studio: Studio) -> dict[str, Any]:
    """A feature of which nobody has said anything yet."""
    rows = studio.get("/api/features?limit=100&status=unlabelled&sort=index")["items"]
    return next(row for row in rows[20:] if studio.get(f"{api_of(row)}/labels")["version"] == 0)


def api_of(row: dict[str, Any]) -> str:
    return f"/api/features/{row['source']}/{row['index']}"


def open_box(page: Page, row: dict[str, Any], name: str) -> None:
    page.goto(f"/feature/{row['source']}/{row['index']}")
    page.get_by_role("button", name=re.compile("^(Name it|Names)")).click()
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Your name").press("Tab")
    expect(page.locator(".toasts")).to_contain_text(f"You are called {name}")


def say(studio: Studio, row: dict[str, Any], **event: Any) -> int:
    body = {"id": str(uuid.uuid4()), "event": event}
    stream: int = studio.post(f"{api_of(row)}/events", body)["stream"]
    return stream


def propose(page: Page, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Propose", exact=True).click()


KEEP_WHO_IS_HERE = """() => {
  window.wereHere = [];
  const others = document.querySelector(".label-others");
  const note = new MutationObserver(() => wereHere.push(others.textContent));
  note.observe(others, { childList: true, characterData: true, subtree: true });
}"""


def names(page: Page) -> Any:
    return page.locator(".proposals .proposal")


def test_two_windows_show_each_others_work(new_page: Any, row: dict[str, Any]) -> None:
    ann, bob = new_page(), new_page()
    open_box(ann, row, "Ann")
    open_box(bob, row, "Bob")
    expect(ann.locator(".label-others")).to_have_text("Also here: Bob")
    ann.evaluate(KEEP_WHO_IS_HERE)  # it is said for a few seconds alone
    bob.get_by_label("Comment", exact=True).press_sequentially("Is it ships?")
    ann.wait_for_function("() => wereHere.includes('Also here: Bob (writing…)')")
    bob.get_by_role("button", name="Comment", exact=True).click()
    expect(ann.locator(".comment-text")).to_have_text("Is it ships?")
    ann.get_by_role("button", name="Reply to Bob").click()
    ann.get_by_label("Comment", exact=True).fill("<b>It is.</b>")
    ann.get_by_role("button", name="Comment", exact=True).click()
    expect(bob.locator(".comments .comments .comment-text")).to_have_text("<b>It is.</b>")
    propose(ann, "ships at sea")
    expect(names(bob)).to_have_text(["ships at sea"])
    expect(bob.get_by_role("heading", level=1)).to_contain_text("ships at sea")
    bob.get_by_role("button", name="For this name: 0").click()
    expect(bob.get_by_role("button", name="For this name: 1")).to_have_attribute("aria-pressed", "true")
    bob.get_by_label("Add a tag").fill("Nautical")
    bob.get_by_label("Add a tag").press("Enter")
    expect(bob.locator(".tag bdi")).to_have_text("nautical")
    bob.get_by_role("button", name="Accept").click()
    expect(bob.locator(".accepted")).to_be_visible()
    bob.get_by_role("button", name="Reword").click()
    bob.get_by_label("Name", exact=True).last.fill("sailing ships")
    bob.get_by_role("button", name="Save").click()
    expect(names(bob)).to_have_text(["sailing ships"])
    expect(bob.get_by_role("button", name="For this name: 0")).to_be_visible()
    bob.get_by_text("History", exact=True).click()
    expect(bob.locator(".history li").first).to_contain_text("reworded a name: “sailing ships”")
    bob.locator(".history").get_by_role("button", name="Undo").first.click()
    expect(names(bob)).to_have_text(["ships at sea accepted"])
    expect(bob.locator(".history .is-undone")).to_have_count(1)
    bob.get_by_role("button", name="As it stood behind: reworded a name: “sailing ships”").click()
    expect(bob.locator(".history-past:visible")).to_contain_text("sailing ships")
    expect(names(bob)).to_have_text(["ships at sea accepted"])  # the present is as it was
    bob.get_by_label("Comment", exact=True).fill("Once more.")
    bob.get_by_role("button", name="Comment", exact=True).click()
    expect(bob.locator(".history li").first).to_contain_text("Once more.")  # read again: what was open stays open
    expect(bob.locator(".history-past:visible")).to_contain_text("sailing ships")
    bob.once("dialog", lambda dialog: dialog.accept("personal data"))
    bob.get_by_role("button", name="Take the words out: reworded a name: “sailing ships”").click()
    expect(bob.locator(".history li", has_text="taken out by an admin")).to_have_count(1)
    expect(bob.locator(".history li").first).to_contain_text("took out words")
    expect(bob.locator(".history")).not_to_contain_text("sailing ships")
    ann.close()
    expect(bob.locator(".label-others")).to_be_hidden()
    bob.locator(".history a").first.click()  # everything that one person said, of all features
    expect(bob.get_by_role("heading", level=1)).to_contain_text("What ")
    expect(bob.locator(".history li").first).to_contain_text("took out words")
    bob.locator(".history a").first.click()
    expect(bob.get_by_role("heading", level=1)).to_contain_text("ships at sea")


STREAM_OF_OURS = """
window.EventSource = class extends EventTarget {
  constructor() {
    super();
    window.stream = this;
  }
  close() {}
};
"""


def test_what_was_missed_is_read_when_the_stream_is_there_again(
    page: Page, studio: Studio, row: dict[str, Any]
) -> None:
    page.add_init_script(STREAM_OF_OURS)  # it tells nothing of its own
    open_box(page, row, "Ann")
    expect(page.locator(".label-names")).to_contain_text("Nobody has named it yet")
    say(studio, row, kind="propose", text="missed")
    page.evaluate("stream.dispatchEvent(new Event('hello'))")
    expect(names(page)).to_have_text(["missed"])


@pytest.mark.parametrize("way", ["merge", "replace", "keep_both"])
def test_a_conflict_is_resolved_on_the_page(
    page: Page, watch: Watch, studio: Studio, row: dict[str, Any], way: str
) -> None:
    """The window hears nothing of the others, as behind a bad connection, so that it sends what is stale."""
    watch.allowed.append("409")
    watch.allowed.append("ERR_FAILED")
    page.route("**/api/live?*", lambda route: route.abort())
    open_box(page, row, "Ann")
    expect(page.locator(".label-names")).to_contain_text("Nobody has named it yet")
    say(studio, row, kind="propose", text="theirs")
    propose(page, "mine")
    dialog = page.get_by_role("dialog", name="Meanwhile something has changed")
    expect(dialog).to_contain_text("proposed “theirs”")
    if way == "merge":
        dialog.get_by_label("Both as one name").fill("mine and theirs")
    button = {"merge": "Store as one name", "replace": "Use mine instead", "keep_both": "Keep both"}[way]
    dialog.get_by_role("button", name=button).click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name=re.compile("^Names")).wait_for()
    expected = {"merge": ["mine and theirs"], "replace": ["mine"], "keep_both": ["mine", "theirs"]}[way]
    found = studio.get(f"{api_of(row)}/labels")
    assert [label["text"] for label in found["labels"]] == expected
    history = studio.get(f"{api_of(row)}/history")["items"]
    assert [each["payload"].get("text") for each in history][-1] == "theirs", "nothing of theirs is lost"


def test_who_rewords_what_was_reworded_meanwhile_is_asked(
    page: Page, watch: Watch, studio: Studio, row: dict[str, Any]
) -> None:
    """The window hears of it, but the field that is written in stays as it was, and what it rests on, too."""
    watch.allowed.append("409")
    label = say(studio, row, kind="propose", text="ships")
    open_box(page, row, "Ann")
    page.get_by_role("button", name="Reword").click()
    body = {
        "id": str(uuid.uuid4()),
        "base_version": label,
        "event": {"kind": "revise", "label": label, "text": "boats"},
    }
    studio.post(f"{api_of(row)}/events", body)
    expect(page.get_by_role("heading", level=1)).to_contain_text("boats")
    page.locator(".reword input").fill("ships at sea")
    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog", name="Meanwhile something has changed")
    expect(dialog).to_contain_text("reworded a name: “boats”")
    expect(dialog.get_by_label("Both as one name")).to_have_value("boats; ships at sea")
    dialog.get_by_role("button", name="Keep both").click()
    expect(names(page)).to_have_text(["ships at sea", "boats"])
