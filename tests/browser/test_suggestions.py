"""What programs suggest, in the label box: seen as such, no name until somebody adopts it, with one key."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from sqlalchemy import select

from mfn_server.db.migrate import open_database
from mfn_server.db.score_tables import WorkState
from mfn_server.db.tables import Source
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import lock_log
from mfn_server.naming.figures import Figure
from mfn_server.naming.runs import Starter, end_broken_off, new_run
from mfn_server.naming.score_store import Judged, add_scores

from .studio import Studio


def suggest(database: Path, feature: dict[str, Any]) -> None:
    """By two programs; the second is surer."""
    store = open_database(f"sqlite:///{database}")
    with store.write() as connection:
        place = connection.scalar(select(Source.id).where(Source.key == feature["source"])) or 0, feature["index"]
        lock_log(connection)
        unsure, sure = {"text": "writes <b>ships</b>"}, {"text": "“ ship” or “ ships”", "confidence": "high"}
        record_statements(connection, [Statement(place, "suggest.logits", unsure, "of the 9 tokens")])
        record_statements(connection, [Statement(place, "suggest.patterns", sure, "covers 90%")])
    store.close()


def test_a_suggestion_is_adopted_with_one_key(page: Page, studio: Studio, indexed: tuple[Path, Path]) -> None:
    rows = studio.get("/api/features?limit=100&status=unlabelled&sort=index")["items"]
    feature = next(
        row for row in rows[60:] if studio.get(f"/api/features/{row['source']}/{row['index']}/labels")["version"] == 0
    )
    suggest(indexed[1], feature)
    page.goto(f"/feature/{feature['source']}/{feature['index']}")
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("ship")
    page.get_by_role("button", name=re.compile("^Name it")).click()
    suggestions = page.locator(".suggestions .proposal")
    expect(suggestions).to_have_text(["“ ship” or “ ships” automatic", "writes <b>ships</b> automatic"])
    expect(page.locator(".label-names")).to_contain_text("Nobody has named it yet")
    expect(page.get_by_role("button", name="Adopt “")).to_have_count(2)
    page.get_by_role("heading", name="Suggestions").click()  # out of the field, in which an a is an a
    page.keyboard.press("a")
    expect(page.get_by_role("heading", level=1)).to_contain_text("“ ship” or “ ships”")
    found = studio.get(f"/api/features/{feature['source']}/{feature['index']}/labels")["labels"]
    adopted = next(label for label in found if label["origin"] == "human")
    assert (adopted["text"], adopted["shown"]) == ("“ ship” or “ ships”", True)
    assert adopted["reason"] == "adopted from a suggestion (patterns)"

    page.get_by_role("button", name=re.compile("^Names")).click()
    expect(page.locator(".suggestions li").first).to_contain_text("adopted")
    page.get_by_role("button", name="Adopt “writes <b>ships</b>”").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("writes <b>ships</b>")


def test_scores_stand_beside_names_and_say_what_they_mean(
    page: Page, studio: Studio, indexed: tuple[Path, Path]
) -> None:
    rows = studio.get("/api/features?limit=100&status=unlabelled&sort=index")["items"]
    row = next(r for r in rows[80:] if studio.get(f"/api/features/{r['source']}/{r['index']}/labels")["version"] == 0)
    path = f"/api/features/{row['source']}/{row['index']}"
    said: list[dict[str, Any]] = []
    for text in ("<i>tides</i>", "waves"):
        body = {"id": str(uuid.uuid4()), "event": {"kind": "propose", "text": text}}
        body["base_version"] = said[-1]["stream"] if said else 0
        said.append(studio.post(f"{path}/events", body))
    store = open_database(f"sqlite:///{indexed[1]}")
    with store.write() as connection:
        place = connection.scalar(select(Source.id).where(Source.key == row["source"])) or 0, row["index"]
        model = connection.scalar(select(Source.model_id).where(Source.id == place[0])) or 0
        found = []
        for event, told in zip(said, ("1100", "1000"), strict=True):
            figure = Figure(0.875, 0.5, 0.97, 4, details={"told": told, "true": "1100"})
            about = place, event["stream"], event["stream"]
            found.append(Judged(*about, "detection", "", figure, 0.5, 0.45, "q"))
            found.append(Judged(*about, "embedding", "words", Figure(None, why="no word of it is known")))
        told = {"corpus": "tides.jsonl", "seed": 0}
        run_id = new_run(connection, model, "score", told, Starter())
        add_scores(connection, run_id, found)
        end_broken_off(connection, run_id, WorkState.DONE, "")  # or it would wait for a process
    store.close()
    page.goto(f"/feature/{row['source']}/{row['index']}")
    page.get_by_role("button", name=re.compile("^Names")).click()
    name = page.locator(".label-names li", has_text="tides")
    summary = name.locator("summary")
    expect(summary).to_have_text("detection 0.88")
    summary.click()
    table = name.locator("table")
    expect(table.get_by_role("row").nth(1)).to_contain_text("0.50 to 0.97")
    expect(table.get_by_role("row").nth(2)).to_contain_text("no word of it is known")
    expect(name).to_contain_text("1 is best; chance is what guessing gives")
    agreement = page.locator(".label-agreement")
    agreement.locator("summary").click()
    expect(agreement.locator("li")).to_have_text(re.compile("“waves”.*κ 0.50.*with where it fires.*4 snippets"))
    # what others say meanwhile leaves open what is open
    studio.post(f"{path}/events", {"id": str(uuid.uuid4()), "event": {"kind": "comment", "text": "<b>so</b>"}})
    expect(page.locator(".comments")).to_contain_text("<b>so</b>")
    expect(table).to_be_visible()


def test_a_run_is_started_from_the_page_and_says_what_came_of_it(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?limit=1&sort=rate&status=unlabelled")["items"][0]
    page.goto("/label")
    page.get_by_role("link", name="Suggestions and scores").click()
    expect(page.get_by_role("radio", name=re.compile("^Score labels"))).to_be_disabled()
    expect(page.locator("naming-runs")).to_contain_text("no held-out text")
    field = page.get_by_role("textbox", name=re.compile("^These features"))
    field.fill("nothing")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert").filter(has_text="is not SOURCE:INDEX")).to_be_visible()
    field.fill(f"{row['source']}:{row['index']}")
    page.get_by_role("button", name="Start").click()
    run = page.locator("[data-run]").first
    expect(run).to_have_attribute("data-state", "done")
    expect(run).to_contain_text("1 feature")
    expect(run).to_contain_text("suggestions for 1 features")
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
