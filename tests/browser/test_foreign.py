"""Dashboards from elsewhere: from the sources to a list and to a feature, with nothing to steer or name."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from .conftest import NewPage
from .material import HOSTILE
from .studio import Studio


def test_from_the_sources_to_a_feature_and_to_the_next(page: Page, studio: Studio) -> None:
    page.goto("/browse")
    page.get_by_role("link", name="Elsewhere").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dashboards from elsewhere")
    page.get_by_role("link", name="layer 6").click()
    rows = page.locator(".foreign-list tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(60)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    page.get_by_label("Order").select_option("max")
    expect(rows.first.get_by_role("link")).to_have_text("59")
    page.get_by_label("Search tokens").fill("SH")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"q=SH"))
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Feature 7")
    key = studio.get("/api/foreign")["sources"][0]["key"]
    dashboard = studio.get(f"/api/foreign/{key}/features/7")["dashboard"]
    expect(page.locator(".context")).to_have_count(len(dashboard["activations"]))
    expect(page.locator(".context-value").first).to_have_text("1.70")
    expect(page.locator(".band h3")).to_have_text(["0.50 to 1.00", "0 to 0.50"])
    expect(page.locator(".foreign-bars").first.locator("i")).to_have_count(3)
    expect(page.locator(".bars.is-up tbody tr")).to_have_count(2)
    expect(page.locator(".bars.is-down td")).to_have_text("−0.75")
    expect(page.get_by_role("link", name="Steer", exact=True)).to_have_count(1)  # that of the header
    page.get_by_role("link", name="Next feature").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Feature 8")


def test_markup_in_files_is_text(page: Page, studio: Studio) -> None:
    key = studio.get("/api/foreign")["sources"][0]["key"]
    page.goto(f"/foreign/{key}/7")
    page.get_by_role("button", name="Show the whole context").first.click()
    expect(page.locator(".context").first).to_contain_text("onerror")
    expect(page.locator(".crumbs")).to_contain_text(HOSTILE)
    assert page.locator("foreign-page img, foreign-page script").count() == 0


def test_what_is_missing_is_left_out_or_said(page: Page, studio: Studio) -> None:
    key = studio.get("/api/foreign")["sources"][0]["key"]
    page.goto(f"/foreign/{key}/9")
    expect(page.get_by_text("The dashboard has no contexts.")).to_be_visible()
    expect(page.get_by_role("heading", name="Strengths")).to_have_count(0)
    page.goto(f"/foreign/{key}?q=qqqxyz")
    expect(page.get_by_text("No feature matches.")).to_be_visible()


def test_an_unknown_dashboard_leads_back(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 360, "height": 740})
    page.goto("/foreign/nobody")
    page.get_by_role("link", name="All dashboards").click()
    page.get_by_role("link", name="layer 6").click()
    page.locator(".foreign-list tbody a").nth(7).click()
    expect(page.locator(".context").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
