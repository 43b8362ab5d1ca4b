"""People who name a feature at the same time, each in a window of their own."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from .conftest import Watch
from .held import FRAMES, Held
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
    expect(bob.locator(".history li").first).to_contain_text("took out words: personal data")
    expect(bob.locator(".history")).not_to_contain_text("sailing ships")
    ann.close()
    expect(bob.locator(".label-others")).to_be_hidden()
    bob.locator(".history a").first.click()  # everything that one person said, of all features
    expect(bob.get_by_role("heading", level=1)).to_contain_text("What ")
    expect(bob.locator(".history li").first).to_contain_text("took out words: personal data")
    bob.locator(".history a").first.click()
    expect(bob.get_by_role("heading", level=1)).to_contain_text("ships at sea")


def question(page: Page, name: str) -> Any:
    return page.get_by_role("group", name=name)


def test_a_feature_is_rated_and_flagged_by_keyboard_on_its_page(
    page: Page, watch: Watch, studio: Studio, row: dict[str, Any]
) -> None:
    watch.allowed.append("422")
    open_box(page, row, "Ann")
    page.get_by_role("button", name=re.compile("^(Name it|Names)")).focus()
    page.keyboard.press("r")
    expect(question(page, "Is it one concept?").get_by_label("yes")).to_be_focused()
    page.get_by_role("button", name="Save the rating").press("Enter")
    expect(page.get_by_role("alert").get_by_text("Answer at least one of the three questions.")).to_be_visible()
    question(page, "Is it one concept?").get_by_label("yes").press("ArrowRight")
    question(page, "How specific?").get_by_label("4").press("Space")
    page.get_by_label("On what evidence?").fill("Twenty contexts.")
    page.get_by_role("button", name="Save the rating").press("Enter")
    summary = page.locator("label-rating summary")
    expect(summary).to_have_text("Your rating: one concept: partly · specific: 4")
    expect(page.locator(".label-others")).to_be_hidden()

    question(page, "How sure are you?").get_by_label("high").press("Space")
    question(page, "How specific?").get_by_label("4").press("Space")  # once more: not answered
    say(studio, row, kind="comment", text="Somebody speaks meanwhile.")
    expect(page.locator(".comment-text")).to_have_text("Somebody speaks meanwhile.")
    expect(question(page, "How sure are you?").get_by_label("high")).to_be_checked()
    page.get_by_role("button", name="Save the rating").press("Enter")
    expect(summary).to_have_text("Your rating: one concept: partly · sure: high")
    (rating,) = studio.get(f"{api_of(row)}/labels")["ratings"]
    assert (rating["one_concept"], rating["specificity"], rating["confidence"]) == ("partly", None, "high")
    assert rating["evidence"] == "Twenty contexts."

    page.get_by_role("button", name=re.compile("^(Name it|Names)")).focus()
    page.keyboard.press("f")
    question(page, "What stands against").get_by_label("several things").press("Space")
    page.get_by_label("Which ones?").fill("ships\n\nharbours")
    page.get_by_role("button", name="Save the flag").press("Enter")
    flags = page.locator("label-flags .tags li")
    expect(flags).to_have_text([re.compile("several things: ships, harbours.*Ann")])
    page.keyboard.press("Enter")  # the form has closed, and the focus is where it is opened
    expect(question(page, "What stands against").get_by_label("several things")).to_be_disabled()
    question(page, "What stands against").get_by_label("a duplicate").press("Space")
    page.get_by_role("button", name="Save the flag").press("Enter")
    expect(page.get_by_role("alert").get_by_text("Choose the feature that it is a duplicate of.")).to_be_visible()
    for index in (row["index"], row["index"] + 1):
        page.get_by_role("combobox", name="Of which feature?").fill(f"{row['layer']}/{index}")
        page.get_by_role("option", name=f"L{row['layer']} · {index}").first.wait_for()
        page.keyboard.press("Enter")
        page.get_by_label("Why (optional)").last.fill("They write alike.")
        page.get_by_role("button", name="Save the flag").press("Enter")
        if index == row["index"]:
            expect(page.locator("label-flags [role=alert]")).to_contain_text("no duplicate of itself")
    expect(flags.last).to_have_text(re.compile("a duplicate of L.*Ann: They write alike."))
    expect(flags.last.get_by_role("link")).to_have_attribute("href", f"/feature/{row['source']}/{row['index'] + 1}")
    assert [
        (each["flag"], each["parts"], each["of_index"]) for each in studio.get(f"{api_of(row)}/labels")["flags"]
    ] == [
        ("polysemantic", ["ships", "harbours"], None),
        ("duplicate", [], row["index"] + 1),
    ]

    page.reload()  # it says what they have set
    page.get_by_role("button", name=re.compile("^(Name it|Names)")).click()
    expect(summary).to_have_text("Your rating: one concept: partly · sure: high")
    summary.press("Enter")
    expect(question(page, "Is it one concept?").get_by_label("partly")).to_be_checked()
    page.get_by_role("button", name="Take the flag back: several things").press("Enter")
    expect(flags).to_have_count(1)
    page.locator("label-flags summary").click()
    expect(question(page, "What stands against").get_by_label("several things")).to_be_enabled()
    page.get_by_text("History", exact=True).click()
    expect(page.locator(".history")).to_contain_text("rated it: one concept: partly · sure: high")


def test_whoever_may_not_label_sees_how_others_rate_and_flag(page: Page, row: dict[str, Any]) -> None:
    bob = {"id": "bob", "name": "Bob"}
    answers = {
        "one_concept": "no",
        "specificity": 2,
        "confidence": None,
        "evidence": "<b>See</b> the tail.",
        "stale": False,
    }
    flag = {"stream": 2, "flag": "unclear", "of_source": None, "of_index": None, "parts": [], "reason": "noise"}

    def said_by_bob(route: Route) -> None:
        found = route.fetch().json()
        flags = [{**flag, "person": bob, "created_at": "2026-01-02T03:04:05Z"}]
        route.fulfill(json={**found, "ratings": [{"stream": 1, "person": bob, **answers}], "flags": flags})

    def a_reader(route: Route) -> None:
        found = route.fetch().json()
        route.fulfill(json={**found, "person": {**found["person"], "permissions": ["read"]}})

    page.route(f"**{api_of(row)}/labels", said_by_bob)
    page.route("**/api/session", a_reader)
    page.goto(f"/feature/{row['source']}/{row['index']}")
    page.get_by_role("button", name=re.compile("^(Name it|Names)")).click()
    expect(page.locator(".judgements li")).to_have_text(["Bob · one concept: no · specific: 2<b>See</b> the tail."])
    expect(page.locator("label-flags .tags li")).to_have_text(["unclearBob: noise"])
    expect(page.locator("label-rating summary")).to_be_hidden()
    expect(page.locator("label-flags summary")).to_be_hidden()
    expect(page.get_by_role("button", name="Take the flag back: unclear")).to_have_count(0)


def test_a_name_that_is_proposed_before_the_others_are_there_is_not_lost(page: Page, row: dict[str, Any]) -> None:
    page.goto(f"/feature/{row['source']}/{row['index']}")
    styles = Held(page, re.compile(r"/styles/labels\.css"))
    others = Held(page, f"**{api_of(row)}/labels")
    page.get_by_role("button", name=re.compile("^(Name it|Names)")).click()
    styles.wait()
    page.wait_for_function("() => customElements.get('label-box') && document.querySelector('label-box:defined')")
    expect(page.get_by_label("Name", exact=True)).to_have_count(0)  # nothing to type into that is filled anew
    styles.let_go()
    propose(page, "early")
    others.wait()
    expect(page.get_by_role("button", name="Propose", exact=True)).to_be_disabled()
    others.stop()
    expect(page.get_by_role("heading", level=1)).to_contain_text("early")


def test_an_answer_that_was_overtaken_is_not_shown(page: Page, studio: Studio, row: dict[str, Any]) -> None:
    open_box(page, row, "Ann")
    expect(page.locator(".label-names")).to_contain_text("Nobody has named it yet")
    old = studio.get(api_of(row))
    answers: list[Route] = []
    page.route(f"**{api_of(row)}", lambda route: answers.append(route))
    for name in ("first", "second"):
        say(studio, row, kind="propose", text=name)
        expect(names(page).first).to_have_text(name)
    assert len(answers) == 2
    answers[1].continue_()
    expect(page.get_by_role("heading", level=1)).to_contain_text("second")
    answers[0].fulfill(json=old)
    page.evaluate(FRAMES)
    expect(page.get_by_role("heading", level=1)).to_contain_text("second")


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
