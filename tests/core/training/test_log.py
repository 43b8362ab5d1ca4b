"""The log: cut lines, means over parts, TensorBoard events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mfn_core.training import run
from mfn_core.training.board import MISSING
from mfn_core.training.log import FigureMeans, Log
from mfn_core.training.metrics import read_metrics

from .conftest import lines, small


def test_means_over_the_parts_of_a_step() -> None:
    means = FigureMeans(2)
    for loss, fvu in ((1.0, 0.5), (2.0, 0.25)):
        means.add({"loss": torch.tensor(loss), "fvu": {3: torch.tensor(fvu)}})
    assert means.numbers() == {"loss": 1.5, "fvu": {3: 0.375}}


def test_what_will_be_done_again_is_taken_out_and_only_the_first_process_writes(tmp_path: Path) -> None:
    log = Log(tmp_path, None)
    for step in (1, 2, 3):
        log.write({"step": step})
    Log(tmp_path, None, rank=1).write({"step": 4})
    Log(tmp_path, None, rank=1).cut(0)
    assert [line["step"] for line in read_metrics(log.path)] == [1, 2, 3]
    log.cut(2)
    assert [line["step"] for line in read_metrics(log.path)] == [1, 2]


def test_events_say_what_the_lines_say(run_folder: Callable[[str], Path], corpus: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `train` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run_folder("run")
    run.train(small(machine={"tensorboard": True}, tokens=6 * 4 * 24, eval_every=3), folder, corpus)
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    for name, key in (("fvu/1", lambda line: line["fvu"]["1"]), ("utility", lambda line: line["utility"])):
        expected = [(line["step"], key(line)) for line in lines(folder) if "loss" in line]
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected], rel=1e-5)
    assert [event.step for event in events.Scalars("valid/loss")] == [3, 6]


def test_without_the_package_it_is_said_and_the_run_goes_on(
    run_folder: Callable[[str], Path], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "available", lambda: False)
    said: list[str] = []
    folder = run_folder("run")
    run.train(small(machine={"tensorboard": True}, tokens=2 * 4 * 24), folder, corpus, note=said.append)
    assert MISSING in said
    assert not (folder / "tensorboard").exists()
