"""`mfn toy`: from training to the files, and going on where it stood. Sizes are the least that are of any kind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mfn_core.evidence.document import Document
from mfn_core.toy import engineering_study, recovery_study, superposition_study
from mfn_server import cli

Toy = Callable[..., tuple[int, str, str]]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Toy:
    """Runs `mfn toy` on models that train for a few steps; no PNGs, which would need a browser."""
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setattr("mfn_core.evidence.png.write_pngs", lambda *_: "this is a test")
    whole = superposition_study.plan

    def tiny(quick: bool, seed: int) -> superposition_study.Plan:
        plan = whole(quick, seed)
        cases = {name: replace(getattr(plan, name), steps=3) for name in ("plane", "basic", "dimensions", "phase")}
        return replace(plan, **cases)

    monkeypatch.setattr(superposition_study, "plan", tiny)
    engineering, recovery = engineering_study.plan, recovery_study.plan
    least: dict[str, Any] = {"features": 8, "inputs": 4, "steps": 2}

    def small(quick: bool, seed: int) -> engineering_study.Plan:
        plan = engineering(quick, seed)
        return engineering_study.Plan(
            tuple(replace(case, **least, neurons=case.neurons // 64) for case in plan.grid),
            tuple(replace(case, **least, neurons=case.neurons // 64) for case in plan.neurons),
        )

    def two_worlds(quick: bool, seed: int) -> recovery_study.Plan:
        worlds = recovery(quick, seed).recovery[:2]
        return recovery_study.Plan(
            tuple(replace(case, world=replace(case.world, **least, neurons=16)) for case in worlds)
        )

    monkeypatch.setattr(engineering_study, "plan", small)
    monkeypatch.setattr(recovery_study, "plan", two_worlds)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mfn", "toy", *(str(argument) for argument in arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run


def without_time(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data | {"made": None}


def test_superposition_writes_a_document_and_a_page(toy: Toy, tmp_path: Path) -> None:
    code, text, _ = toy("superposition", "--quick", "--out", tmp_path / "new")
    assert code == 0
    document = Document.read(tmp_path / "new" / "toy-superposition.json")
    assert document.kind == "toy"
    assert {check.status for check in document.checks} >= {"fails"}  # models hardly trained bear nothing out
    for check in document.checks:
        assert check.claim in text
    assert "PNGs of the figures are not: this is a test" in text
    assert document.settings["plane"]["steps"] == 3
    assert {figure.key.split("/")[0] for figure in document.figures} <= set(document.sections)
    assert "<script" in (tmp_path / "new" / "toy-superposition.html").read_text()
    assert not list((tmp_path / "new").glob("*.journal"))


def test_engineering_writes_a_document_with_all_models(toy: Toy, tmp_path: Path) -> None:
    code, text, _ = toy("engineering", "--quick", "--out", tmp_path)
    assert code == 0
    document = Document.read(tmp_path / "toy-engineering.json")
    assert all(check.claim in text for check in document.checks)
    tables = {table.key: table for table in document.tables}
    assert len(tables["models/grid"].rows) == 10
    assert {row["task"] for row in tables["models/grid"].rows} == set(engineering_study.TASKS.values())
    assert len(tables["neurons/counts"].rows) == 4
    assert {figure.key.split("/")[0] for figure in document.figures} == set(document.sections)


def test_recovery_writes_a_document_with_all_units(toy: Toy, tmp_path: Path) -> None:
    code, text, _ = toy("recovery", "--quick", "--out", tmp_path)
    assert code == 0
    document = Document.read(tmp_path / "toy-recovery.json")
    assert all(check.claim in text for check in document.checks)
    tables = {table.key: table for table in document.tables}
    units = {row["units"]: row for row in tables["recovery/units"].rows}
    assert tuple(units) == recovery_study.UNITS
    assert units["MFN"]["cosine_low"] <= units["MFN"]["cosine"] <= units["MFN"]["cosine_high"]
    assert "loss" not in units["random directions"]
    assert {figure.key.split("/")[0] for figure in document.figures} == set(document.sections)


def test_it_goes_on_where_it_stood(toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert toy("superposition", "--quick", "--out", tmp_path / "whole")[0] == 0
    trained: list[int] = []
    real = superposition_study.train

    def breaks(*arguments: Any) -> Any:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(1)
        return real(*arguments)

    monkeypatch.setattr(superposition_study, "train", breaks)
    assert toy("superposition", "--quick", "--out", tmp_path / "again")[0] != 0
    assert not list((tmp_path / "again").glob("*.json"))
    code, _, error = toy("superposition", "--quick", "--out", tmp_path / "again", "--seed", 1)
    assert code != 0
    assert error.count("\n") == 1
    assert "other settings" in error
    trained.clear()
    monkeypatch.setattr(superposition_study, "train", lambda *given: trained.append(1) or real(*given))
    assert toy("superposition", "--quick", "--out", tmp_path / "again")[0] == 0
    assert len(trained) == 5 - 2  # none twice
    name = "toy-superposition.json"
    assert without_time(tmp_path / "again" / name) == without_time(tmp_path / "whole" / name)


def test_a_folder_that_cannot_be_made_is_told_in_a_line(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, error = toy("superposition", "--out", tmp_path / "file")
    assert code != 0
    assert "cannot be made" in error
    assert error.count("\n") == 1
