"""How far people agree, on the page: what two people answered, which question, and what comes while it is open."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page, expect

from mfn_server.db.migrate import open_database
from mfn_server.labels.payloads import Rate, Tag
from tests.server.saying import ANN, BOB, put

from .studio import Studio

Answers = tuple[Literal["yes", "partly", "no"], Literal["yes", "partly", "no"]]


def answer(database: Path, features: list[dict[str, Any]], answers: list[Answers]) -> None:
    """Ann and Bob, whom a server without accounts does not tell apart, straight into the log."""
    store = open_database(f"sqlite:///{database}")
    with store.write() as connection:
        for feature, pair in zip(features, answers, strict=True):
            place = feature["source"], feature["index"]
            for who, said in zip((ANN, BOB), pair, strict=True):
                put(connection, who, Rate(one_concept=said, specificity=3), feature=place)
            put(connection, ANN, Tag(tag="<b>agreed</b>"), feature=place)
    store.close()


def test_the_board(page: Page, studio: Studio, indexed: tuple[Path, Path]) -> None:
    features = studio.get("/api/features?limit=5&sort=index&order=desc")["items"]
    since = f"since={datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"  # modules before this one may have answered, too
    answer(indexed[1], features[:4], [("yes", "yes"), ("no", "no"), ("partly", "yes"), ("no", "no")])
    page.goto(f"/agreement?{since}")
    questions = page.get_by_role("region", name="Questions")
    concept = questions.get_by_role("row", name="One concept?")
    expected = studio.get(f"/api/labels/agreement?{since}")["questions"][0]["total"]
    expect(concept.get_by_role("cell").nth(0)).to_contain_text(f"{expected['alpha']:.2f}")
    expect(concept.get_by_role("cell").nth(2)).to_have_text("75.0%")
    pairs = page.get_by_role("region", name="By two people")
    expect(pairs.get_by_role("row", name="Ann and Bob").get_by_role("cell").nth(3)).to_have_text("4")
    expect(page.get_by_role("region", name="By tag").locator("tbody th")).to_have_text(["<b>agreed</b>"])

    answer(indexed[1], features[4:], [("yes", "no")])  # while the page is open
    expect(concept.get_by_role("cell").nth(2)).to_have_text("60.0%")

    questions.get_by_role("button", name="How specific?").click()
    expect(page).to_have_url(re.compile("[?&]question=specificity"))
    expect(page.get_by_role("heading", name="How specific?")).to_be_visible()
    specific = questions.get_by_role("row", name="How specific?")
    expect(specific.get_by_role("cell").nth(0)).to_have_text("–")  # everybody said the same throughout
    expect(specific.get_by_role("cell").nth(2)).to_have_text("100.0%")
    page.get_by_role("button", name="By month").click()
    expect(page.get_by_role("region", name="Over time").locator("tbody th")).to_have_count(1)
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", name="One concept?")).to_be_visible()


def test_of_a_campaign_alone(page: Page, studio: Studio) -> None:
    row = studio.get("/api/features?limit=1&sort=rate")["items"][0]
    these = {"kind": "list", "features": [{"source": row["source"], "index": row["index"]}]}
    identity = str(uuid.uuid4())
    studio.post("/api/campaigns", {"id": identity, "name": "By <b>itself</b>", "opinions": 1, "features": these})
    opinion = {"source": row["source"], "index": row["index"], "text": "ships", "specificity": 4}
    studio.post(f"/api/campaigns/{identity}/opinions", {"id": str(uuid.uuid4()), **opinion})
    page.goto("/label")
    page.get_by_role("link", name="Agreement: By <b>itself</b>").click()
    scope = page.locator(".agreement-scope")
    expect(scope).to_contain_text("Opinions given in the campaign By <b>itself</b>")
    names = page.get_by_role("region", name="Questions").get_by_role("row", name="Names: words in common")
    expect(names.get_by_role("cell").last).to_have_text("1")  # it stands alone
    scope.get_by_role("link").click()
    expect(scope).to_be_hidden()
    expect(page).to_have_url(re.compile("/agreement$"))
