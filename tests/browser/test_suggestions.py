"""What programs suggest, in the label box: seen as such, no name until somebody adopts it, with one key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from sqlalchemy import select

from mfn_server.db.migrate import open_database
from mfn_server.db.tables import Source
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import lock_log

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
