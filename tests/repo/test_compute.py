"""The script that measures overheads writes a document whose claims follow from its rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.overhead import kept_for_backward
from mfn_core.evidence.document import Document
from scripts.compute import QUICK, document, main


def test_a_quick_run_writes_a_whole_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "compute.json"), "--quick"]) == 0
    found = Document.read(tmp_path / "compute.json")
    assert capsys.readouterr().out.strip() == found.summary
    rows = {table.title: table.rows for table in found.tables}
    assert [(row["F/d"], row["K"]) for row in rows["Over K"]] == [(4, 2), (4, 4)]
    assert [row["tokens"] for row in rows["Over tokens"]] == [16, 32]
    for row in (row for each in rows.values() for row in each):
        assert row["forward_low"] <= row["forward"] <= row["forward_high"]
        assert row["kept"] > 0
    one, four = rows["Over F/d"]
    assert four["parameters"] / one["parameters"] == pytest.approx(4, rel=0.1)
    assert four["kept"] > one["kept"]


def test_what_stays_below_the_limit_is_said_of_the_largest_before_the_first_that_does_not() -> None:
    def row(width: int, share: float) -> dict[str, float]:
        measures = dict.fromkeys(("forward", "forward_cpu", "training", "parameters", "kept"), share)
        return {"F/d": width, "K": 4, "tokens": 16, "training_cpu": 0.2, **measures}

    rows = [row(1, 0.02), row(2, 0.09), row(4, 0.2), row(8, 0.05)]
    forward, training = document({"F/d": rows}, QUICK).checks
    assert (forward.status, "up to F/d = 2" in forward.found) == ("holds", True)
    assert (training.status, "at no F/d" in training.found) == ("fails", True)


def test_no_such_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere" / "compute.json")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_kept_is_counted_once() -> None:
    x = torch.ones(10, requires_grad=True)
    assert kept_for_backward(lambda: x * x) == 40  # one storage, kept twice
    y = torch.ones(10, requires_grad=True)
    assert kept_for_backward(lambda: x * y) == 80
