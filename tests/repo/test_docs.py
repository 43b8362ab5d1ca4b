"""The documentation says what is there: commands, settings, make targets, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mfn_server.settings import Settings
from scripts import cli_docs

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_cli_page_is_what_help_says() -> None:
    page = cli_docs.PAGE.read_text(encoding="utf-8")
    assert page == cli_docs.render(), "docs/reference/cli.md is out of date: run `make cli-docs`"


def test_every_setting_is_documented_and_no_other() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(MFN_[A-Z_]+)`", page, re.MULTILINE))
    assert documented == {f"MFN_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}, which is not there"


def test_make_targets_that_docs_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert target in targets, f"{page.name} names `make {target}`"


def test_every_page_is_reachable_from_the_index() -> None:
    found: set[Path] = set()
    waiting = [ROOT / "docs/index.md"]
    while waiting:
        page = waiting.pop()
        if page in found or not page.is_file():
            continue
        found.add(page)
        for target in re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                waiting.append((page.parent / target).resolve())
    lost = set((ROOT / "docs").rglob("*.md")) - found
    assert not lost, f"no link leads to {sorted(p.relative_to(ROOT).as_posix() for p in lost)}"
