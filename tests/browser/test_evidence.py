"""The Evidence page with something on it: verdicts, figures, features behind numbers, curves, hostile words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from mfn_core.evidence.document import Check, Column, Document, Figure, Table
from mfn_core.evidence.html import write_html

from .accessible import violations
from .everywhere import PHONE, sticks_out
from .material import HOSTILE
from .studio import Studio


def verdict(status: str, value: float) -> dict[str, Any]:
    estimate = {"value": value, "low": value - 0.02, "high": value + 0.02, "n": 9}
    asked = {"claim": f"near the target {HOSTILE}", "sense": "at least", "bound": 0.8, "unit": "share"}
    missing = {"claim": "overlap", "sense": "below", "bound": 0, "unit": "", "estimate": None, "status": "not measured"}
    conditions = [asked | {"estimate": estimate, "status": status, "why_not": ""}, missing | {"why_not": "no code"}]
    return {"name": "P1", "claim": "Rates converge.", "status": status, "conditions": conditions, "tables": {}}


def report(name: str, model: str, layer: int, status: str, value: float, seed: int) -> Document:
    columns = [Column("concept", "Concept", "text"), Column("auc", "AUC"), Column("feature", "Feature", "feature")]
    rows = [
        {"concept": HOSTILE, "auc": 0.7, "auc_low": 0.6, "auc_high": 0.8, "feature": [layer, 7]},
        {"concept": "b", "auc": None, "feature": [layer, 8]},
        {"concept": "c", "auc": 0.9, "feature": [layer, 9]},
    ]
    line = {"type": "scatter", "name": HOSTILE, "x": [1, 2], "y": [3, 4], "error_y": {"array": [0.5, 0.5]}}
    heat = {"type": "heatmap", "z": [[1, 2], [3, 4]]}
    figures = [
        Figure("p1/line", f"A line {HOSTILE}", f"It rises. {HOSTILE}", {"data": [line], "layout": {}}),
        Figure("p1/heat", "A map", "It is warm.", {"data": [heat], "layout": {}}),
    ]
    made = {"time": "2026-11-29T00:00:00+00:00", "commit": "c" * 40, "versions": {"mfn-studio": "0.1.0"}}
    return Document(
        "eval",
        name,
        f"Report {name}",
        HOSTILE,
        {"model": model, "seed": seed},
        made,
        [verdict(status, value)],
        [Check(HOSTILE, "holds", "3 > 2")],
        [Table("p1/concepts", "Concepts", columns, rows)],
        figures,
        {"p1": f"Rates {HOSTILE}"},
    )


@pytest.fixture(scope="module")
def folder(studio: Studio, indexed: tuple[Path, Path]) -> Iterator[Path]:
    """Two reports, one of the model that is served; a run; a file that is none. Gone again for the modules after it."""
    model = studio.get("/api/model")
    layer = model["sources"][-1]["layer"]
    found = indexed[0] / "evidence"
    found.mkdir()
    report("ours", model["fingerprint"], layer, "fails", 0.5, 0).write(found / "ours.json")
    report("theirs", "f" * 64, layer, "holds", 0.9, 1).write(found / "theirs.json")
    (found / "broken.json").write_text("{")
    (found / "run").mkdir()
    lines = [{"step": step, "loss": 3 - step / 10, "fvu": {"0": 0.1, "1": 0.2}} for step in range(5)]
    (found / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    yield found
    shutil.rmtree(found)


def drawn(page: Page, count: int) -> None:
    expect(page.locator("mfn-evidence-figure .plot[data-drawn]")).to_have_count(count)


def test_the_report_of_the_served_model_and_what_is_behind_it(page: Page, folder: Path) -> None:
    page.goto("/evidence")
    card = page.get_by_role("article", name="Rates converge.")
    expect(card.locator("header .verdict-mark")).to_have_text("fails")
    expect(card).to_contain_text("50.0% (48.0% to 52.0%) asked: at least 80%")
    expect(card).to_contain_text("not measured: no code; asked: below 0")
    expect(page.locator(".evidence-broken")).to_contain_text("broken.json")
    assert not page.evaluate("!!globalThis.Plotly")  # nobody has asked for a figure yet
    card.get_by_role("link", name="Tables and figures of P1").click()
    drawn(page, 2)
    assert "s=p1" in page.url
    table = page.get_by_role("region", name="Concepts", exact=True)
    order = lambda: table.locator("tbody td:nth-child(2)").all_text_contents()  # noqa: E731
    assert order() == ["0.700 0.600 to 0.800", "–", "0.900"]
    heading = table.get_by_role("button", name="AUC")
    heading.focus()
    page.keyboard.press("Enter")
    expect(table.locator("th[aria-sort=ascending]")).to_have_count(1)
    assert order() == ["0.700 0.600 to 0.800", "0.900", "–"]
    page.keyboard.press("Enter")
    expect(table.locator("th[aria-sort=descending]")).to_have_count(1)
    assert order() == ["0.900", "0.700 0.600 to 0.800", "–"]
    page.locator("mfn-evidence-figure").first.get_by_text("Show the numbers").click()
    numbers = page.locator("mfn-evidence-figure").first.locator("tbody tr").first
    expect(numbers.locator("td").nth(2)).to_have_text("3 2.500 to 3.500")  # they are written when they are asked for
    assert numbers.locator("td").all_text_contents()[1:] == ["1", "3 2.500 to 3.500"]
    page.reload()
    drawn(page, 2)
    table.get_by_role("link").first.click()
    page.wait_for_url("**/feature/**/7")


def test_another_models_report_says_so_and_two_stand_side_by_side(page: Page, folder: Path) -> None:
    page.goto("/evidence?d=theirs&s=p1")
    drawn(page, 2)
    expect(page.locator(".evidence-other")).to_contain_text("another model")
    expect(page.get_by_role("region", name="Concepts", exact=True).get_by_role("link")).to_have_count(0)
    page.get_by_role("link", name="Put Report ours beside what is shown").click()
    rows = page.get_by_role("region", name="Verdicts").locator("tbody tr")
    expect(rows.first.locator("td")).to_have_text(["holds", "fails"])
    differ = page.get_by_role("region", name="Settings that differ")
    expect(differ.locator("tbody th")).to_have_text(["model", "seed"])
    page.go_back()
    drawn(page, 2)


def test_curves_of_a_run(page: Page, folder: Path) -> None:
    page.goto("/evidence")
    page.get_by_role("link", name="run", exact=True).click()
    drawn(page, 2)
    page.get_by_role("navigation", name="Curves").get_by_role("link", name="loss", exact=True).click()
    drawn(page, 1)
    assert "c=fvu" in page.url
    assert "c=loss" not in page.url


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(new_page: Any, folder: Path, theme: str) -> None:
    page = new_page(viewport=PHONE, color_scheme=theme)
    for path, figures in (("/evidence?d=ours&s=p1", 2), ("/evidence?d=ours&d=theirs&r=run", 2)):
        page.goto(path)
        drawn(page, figures)
        assert sticks_out(page) is None
        assert violations(page) == []


def test_a_report_file_stands_alone(new_page: Any, browser: Any, tmp_path: Path) -> None:
    """Opened from the disk, without a server: it asks nobody for anything, runs nothing of a document's, and draws."""
    write_html(report("ours", "f" * 64, 0, "fails", 0.5, 0), tmp_path / "a.html")
    context = browser.new_context(color_scheme="dark", viewport=PHONE)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split(":")[0]))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "a.html").as_uri())
    page.locator("html[data-drawn='2']").wait_for()
    assert page.locator(".plot .main-svg").count() > 0
    assert page.evaluate("window.hacked") is None
    assert set(asked) <= {"file", "data", "blob"}
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("button", name="AUC").click()
    first = page.get_by_role("region", name="Concepts").locator("td[data-value]").first
    assert first.text_content() == "0.700 0.600 to 0.800"
    context.close()
