"""Collections as people make them: from a list, together, with notes that nobody loses; and labels as files."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import NewPage, Watch
from .studio import Studio


def names(studio: Studio, count: int) -> list[dict[str, Any]]:
    """Features that fire, the last of the list."""
    rows = studio.get("/api/features?limit=100&sort=index&order=desc")["items"][-count:]
    return [{"source": row["source"], "index": row["index"]} for row in rows]


def make(studio: Studio, name: str, items: list[dict[str, Any]]) -> str:
    identity = str(uuid.uuid4())
    studio.post("/api/collections", {"id": identity, "name": name, "items": items})
    return identity


def act(studio: Studio, identity: str, **event: Any) -> None:
    base = studio.get(f"/api/collections/{identity}")["version"]
    body = {"id": str(uuid.uuid4()), "base_version": base, "event": event}
    studio.post(f"/api/collections/{identity}/events", body)


def items_of(studio: Studio, identity: str) -> list[tuple[int, str | None]]:
    return [(item["index"], item["note"]) for item in studio.get(f"/api/collections/{identity}")["items"]]


def item(page: Page, name: dict[str, Any]) -> Locator:
    return page.locator(f'collection-item[data-key="{name["source"]}:{name["index"]}"]')


def test_features_are_collected_from_a_list_annotated_and_opened_again(page: Page, studio: Studio) -> None:
    make(studio, "There already", [])
    page.goto("/browse?sort=index&status=alive")
    rows = page.locator(".feature-row")
    rows.nth(2).wait_for()
    for place in range(2):
        rows.nth(place).locator(".choose").click()
    page.get_by_role("button", name="Collect").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Add 2 features to a collection")
    dialog.get_by_label("Collection").select_option("")
    dialog.get_by_label("Name").fill("<b>Ships</b>")
    dialog.get_by_label("Note on each").fill("sails & masts")
    page.keyboard.press("Tab")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("status")).to_have_text("Added to <b>Ships</b>.")
    dialog.get_by_role("link", name="Open it").click()

    expect(page.get_by_role("heading", name="<b>Ships</b>")).to_be_visible()
    identity = page.url.rsplit("/", 1)[1]
    items = page.locator("collection-item")
    expect(items).to_have_count(2)
    expect(items.first.locator(".collection-item-name *").first).to_be_visible()
    expect(items.first.locator(".collection-note")).to_have_text("sails & masts")

    items.first.get_by_role("button", name=re.compile("Change the note")).click()
    expect(items.first.get_by_label("Note", exact=True)).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("hulls")
    page.keyboard.press("Control+Enter")
    expect(items.first.locator(".collection-note")).to_have_text("hulls")
    items.first.get_by_role("button", name=re.compile("Move down")).click()
    expect(items.nth(1).locator(".collection-note")).to_have_text("hulls")
    items.nth(1).get_by_role("button", name=re.compile("Take out")).click()
    expect(items).to_have_count(1)
    page.locator(".collection-notice").get_by_role("button", name="Undo").click()
    expect(items).to_have_count(2)
    assert [note for _, note in items_of(studio, identity)] == ["sails & masts", "hulls"]

    page.locator("summary", has_text="History").click()
    expect(page.locator(".collection-history li").first).to_contain_text("undid something")
    expect(page.locator(".collection-history li").last).to_contain_text("made “<b>Ships</b>” with 2 features")

    page.get_by_role("link", name="As a list").click()
    expect(page.locator(".feature-row")).to_have_count(2)
    expect(page.locator(".collection-chip")).to_contain_text("In “<b>Ships</b>”")
    page.get_by_role("button", name="No longer only those").click()
    expect(page.locator(".collection-chip")).to_be_hidden()
    page.goto(f"/map?collection={identity}")
    expect(page.locator(".collection-chip")).to_contain_text("In “<b>Ships</b>”")
    page.goto(f"/label/new?collection={identity}")
    expect(page.get_by_label("One a line: SOURCE:INDEX")).to_have_value(re.compile(r"^\S+:\d+\n\S+:\d+$"))


@pytest.fixture
def refusals(watched: tuple[NewPage, list[Watch]], page: Page) -> None:
    """The console tells of every status above 400; here 409 is what is looked for."""
    for watch in watched[1]:
        watch.allowed.append("status of 409")


@pytest.mark.usefixtures("refusals")
def test_two_write_on_one_feature_and_neither_note_is_lost(page: Page, studio: Studio) -> None:
    rows = names(studio, 3)
    identity = make(studio, "Together", rows[:2])
    page.goto(f"/collection/{identity}")
    mine = item(page, rows[0])
    mine.get_by_role("button", name=re.compile("Add a note")).click()
    field = mine.get_by_label("Note", exact=True)
    field.fill("from here")
    # the other's change comes by itself, and takes nothing of what is being written
    act(studio, identity, kind="add", items=[rows[2]])
    expect(page.locator("collection-item")).to_have_count(3)
    act(studio, identity, kind="note", item=rows[0], note="from there")
    expect(field).to_have_value("from here")
    mine.get_by_role("button", name="Save").click()
    expect(mine.get_by_role("alert")).to_have_text("Somebody has written here meanwhile: from there")
    expect(field).to_have_value("from here")
    mine.get_by_role("button", name="Keep both").click()
    expect(mine.locator(".collection-note")).to_have_text("from there\n\nfrom here")
    assert items_of(studio, identity)[0] == (rows[0]["index"], "from there\n\nfrom here")

    page.locator(".collection-history summary").click()
    page.once("dialog", lambda dialog: dialog.accept(" "))  # without a reason nothing is taken out
    page.get_by_role("button", name=re.compile("^Take the words out: wrote on .*from there$")).click()
    page.once("dialog", lambda dialog: dialog.accept("it names <b>somebody</b>"))
    page.get_by_role("button", name=re.compile("^Take the words out: wrote on .*from there$")).click()
    history = page.locator(".collection-history li")
    expect(history.filter(has_text="took out words: it names <b>somebody</b>")).to_have_count(1)
    expect(history.filter(has_text="taken out by an admin")).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept("that, too"))
    page.get_by_role("button", name=re.compile("^Take the words out: wrote on .*from here$")).click()
    expect(mine.locator(".collection-note")).to_have_count(0)
    assert items_of(studio, identity)[0] == (rows[0]["index"], None)

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Bring it back").click()
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_visible()
    assert len(items_of(studio, identity)) == 3


def test_labels_leave_as_files_and_a_file_is_looked_at_before_it_comes_in(page: Page, studio: Studio) -> None:
    row = names(studio, 1)[0]
    page.goto("/settings")
    with page.expect_download(timeout=30_000) as begun:
        page.get_by_role("link", name="Everything that was said").click()
    file = begun.value.path().read_text(encoding="utf-8").splitlines()
    assert json.loads(file[0])["format"] == "mfn-labels"
    assert json.loads(file[-1])["type"] == "end"
    table = f"source,index,text,author\n{row['source']},{row['index']},<u>quays</u>,Zoe\n"
    page.get_by_label("File of labels").set_input_files(
        {"name": "labels.csv", "mimeType": "text/csv", "buffer": table.encode()}
    )
    report = page.locator(".import-report")
    expect(report).to_contain_text("It would add: 1 event on 1 feature")
    expect(report).to_contain_text("Zoe → Zoe (imported): 1 event")
    labels = f"/api/features/{row['source']}/{row['index']}/labels"
    assert "<u>quays</u>" not in [label["text"] for label in studio.get(labels)["labels"]]
    report.get_by_role("button", name="Take in 1 event").click()
    expect(report).to_contain_text("Taken in: 1 event on 1 feature")
    assert "<u>quays</u>" in [label["text"] for label in studio.get(labels)["labels"]]
    wrong = {"name": "x.csv", "mimeType": "text/csv", "buffer": b"index,text\n1,x\n"}
    page.get_by_label("File of labels").set_input_files(wrong)
    expect(report).to_contain_text("Line 1: has no column 'source': name the columns: source or layer, index, text")
