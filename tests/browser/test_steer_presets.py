"""Presets: kept, changed, gone back to, carried away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from .steering import PROMPT, steer_url, tokens, wait_until_written


def test_a_preset_is_saved_used_and_deleted(page: Page, feature: dict[str, Any]) -> None:
    page.goto(steer_url(feature, 1.5, n="7"))
    wait_until_written(page)
    page.get_by_role("button", name="Save as preset").click()
    page.get_by_label("Name", exact=True).fill("To sea")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Use preset “To sea”")).to_be_visible()
    page.goto("/steer")
    expect(page.get_by_text("Start from one of these")).to_be_visible()
    page.get_by_role("button", name="Use preset “To sea”").click()
    wait_until_written(page)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)
    expect(page.get_by_role("spinbutton", name="Value, typed")).to_have_value("1.5")
    assert tokens(page, "plain").count() == 7
    page.get_by_role("button", name="Delete preset “To sea”").click()
    expect(page.get_by_role("button", name="Use preset “To sea”")).to_be_hidden()


def test_a_preset_has_versions_and_travels_as_a_file(page: Page, feature: dict[str, Any], tmp_path: Path) -> None:
    page.goto(steer_url(feature, 1.5, n="5"))
    wait_until_written(page)
    page.get_by_role("button", name="Save as preset").click()
    page.get_by_label("Name", exact=True).fill("Ashore")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Use preset “Ashore”").click()
    page.get_by_role("spinbutton", name="Value, typed").fill("2.5")
    page.get_by_role("button", name="Save as preset").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Ashore")
    expect(page.get_by_label("Version 2 of “Ashore”")).to_be_checked()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Versions of “Ashore”").click()
    versions = page.get_by_role("dialog", name="Versions of “Ashore”")
    expect(versions.get_by_role("listitem")).to_have_count(2)
    versions.get_by_role("listitem").nth(1).get_by_role("button", name="Show").click()
    expect(page.get_by_role("spinbutton", name="Value, typed")).to_have_value("1.5")
    page.get_by_role("button", name="Versions of “Ashore”").click()
    versions.get_by_role("button", name="Go back to this").click()
    expect(versions.get_by_role("listitem")).to_have_count(3)
    versions.get_by_role("button", name="Close").click()

    with page.expect_download() as download:
        page.get_by_role("link", name="Export presets").click()
    file = tmp_path / "presets.json"
    download.value.save_as(file)
    page.get_by_role("button", name="Delete preset “Ashore”").click()
    expect(page.get_by_role("button", name="Use preset “Ashore”")).to_be_hidden()
    page.locator("mfn-preset-list input[type=file]").set_input_files(file)
    expect(page.get_by_text("Imported: 1 new, 0 changed, 0 as they were.")).to_be_visible()
    page.get_by_role("button", name="Use preset “Ashore”").click()
    expect(page.get_by_role("spinbutton", name="Value, typed")).to_have_value("1.5")
    page.get_by_role("button", name="Delete preset “Ashore”").click()
