"""Labels that came with the model: marked wherever they stand, found by search, gone where a person writes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from mfn_core import MFNModel
from mfn_server.atlas.file import AtlasEntry, AtlasHeader, write_atlas

from .material import HOSTILE
from .studio import Studio, serve

UNCLEAR_EVERY = 3
"""Features whose number is divisible by it are unclear, the others are labelled."""


@pytest.fixture(scope="module")
def studio(original: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The app on a copy of the model in whose folder there is an atlas of all its features."""
    folder = shutil.copytree(original, tmp_path_factory.mktemp("atlas") / "studio")
    bundle = folder / "bundle"
    model = MFNModel.from_pretrained(bundle)
    entries = [
        AtlasEntry(layer=layer, feature=n, seen=f"nothing {HOSTILE}", unclear=True)
        if n % UNCLEAR_EVERY == 0
        else AtlasEntry(layer=layer, feature=n, label=label_of(layer, n), seen=f"all {HOSTILE}", confidence="medium")
        for layer, coder in model.coders.items()
        for n in range(coder.n_features)
    ]
    write_atlas(bundle / "atlas.jsonl", AtlasHeader(model=model.fingerprint), entries)
    with serve("serve", str(bundle), "--db", str(folder / "studio.sqlite3"), home=folder) as studio:
        yield studio


def label_of(layer: int, feature: int) -> str:
    return f"whatever is like subject{layer}x{feature}"


def some(studio: Studio, *, unclear: bool, place: int = 0) -> dict[str, Any]:
    """A feature that fires often."""
    rows = studio.get("/api/features?limit=100")["items"]
    row: dict[str, Any] = [row for row in rows if (row["index"] % UNCLEAR_EVERY == 0) == unclear][place]
    return row


def test_browse_shows_marks_and_finds_them(page: Page, studio: Studio) -> None:
    row = some(studio, unclear=False)
    page.goto("/browse")  # named ones come first
    expect(page.locator(".feature-row .automatic").first).to_have_text("auto")
    page.get_by_role("searchbox").fill(f"subject{row['layer']}x{row['index']}")
    expect(page.locator(".total")).to_have_text("1 feature")
    name = page.locator(".feature-row .cell-name")
    expect(name.locator(".feature-label")).to_have_text(row["label"])
    expect(name.locator(".automatic")).to_be_visible()


def test_a_feature_says_what_its_label_rests_on_until_a_person_names_it(page: Page, studio: Studio) -> None:
    row = some(studio, unclear=False, place=1)
    page.goto(f"/feature/{row['source']}/{row['index']}")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(f"{row['label']} automatic")
    expect(page.locator(".feature-seen")).to_have_text(f"all {HOSTILE} · medium confidence")
    page.get_by_role("button", name="Name it").click()
    expect(page.locator(".proposals li")).to_contain_text("the model's atlas")
    page.get_by_label("Name", exact=True).fill("My own name")
    page.get_by_role("button", name="Propose", exact=True).click()
    expect(heading).to_have_text("My own name")
    expect(page.locator(".feature-seen")).to_be_hidden()
    page.get_by_role("button", name=re.compile("^Names")).click()
    expect(page.locator(".proposals .automatic")).to_have_count(1)


def test_what_is_unclear_is_said_on_its_page_alone(page: Page, studio: Studio) -> None:
    row = some(studio, unclear=True)
    page.goto(f"/feature/{row['source']}/{row['index']}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Fires on")
    expect(page.locator(".feature-seen")).to_have_text(f"unclear automatic nothing {HOSTILE}")
    page.goto(f"/browse?layer={row['layer']}&status=unlabelled")
    expect(page.locator(".feature-row").first).to_be_visible()
    expect(page.locator(".feature-row .automatic")).to_have_count(0)


def test_steer_and_inspect_call_features_by_their_labels(page: Page, studio: Studio) -> None:
    row = some(studio, unclear=False, place=2)
    page.goto(f"/steer?p=The&n=2&f={row['source']}/{row['index']},set,1")
    expect(page.locator(".turn-name .hit-link")).to_have_text(row["label"])
    expect(page.locator(".turn-name .automatic")).to_be_visible()
    page.get_by_role("combobox", name="Add a feature").fill(f"subject{row['layer']}x{row['index']}")
    expect(page.locator("mfn-feature-picker").get_by_role("option").first).to_contain_text(row["label"])
    page.goto("/inspect?text=The+snow+fell+all+night&t=2")
    labels = page.locator(".hit .feature-label")
    expect(labels.first).to_have_text(re.compile("^whatever is like subject"))
    expect(page.locator(".hit .automatic")).to_have_count(labels.count())
