"""Two processes that share the batch (data parallel) or the weights too (FSDP2) learn what one process learns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mfn_core.training.checkpoint import load_latest
from mfn_core.training.parallel import set_rows

from . import worker
from .conftest import lines

pytestmark = pytest.mark.slow

PARTS = {"accumulate": 2, "checkpoint_gradients": True}
# By name: what one process is asked, and what two are asked in its place.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ddp": ({}, {"machine": {"parallel": "ddp"}}),
    "ddp-muon": ({"optimizer": {"matrices": "muon"}},) * 2,
    "fsdp-muon": (
        {"optimizer": {"matrices": "muon"}},
        {"optimizer": {"matrices": "muon"}, "machine": {"parallel": "fsdp"}},
    ),
    "ddp-parts": ({"machine": PARTS},) * 2,
    "fsdp": ({}, {"machine": {"parallel": "fsdp"}}),
    "fsdp-parts": ({"machine": PARTS}, {"machine": {**PARTS, "parallel": "fsdp"}}),
    "fsdp-frozen": ({"base": {"freeze": True}}, {"base": {"freeze": True}, "machine": {"parallel": "fsdp"}}),
    "ddp-sae": ({"mfn": {"layers": [], "resid_final": False}, "sae": {"layers": [0, 1], "n_features": 48, "k": 4}},)
    * 2,
}


def launch(plan: list[tuple[str, dict[str, Any]]], out: Path) -> None:
    out.mkdir(exist_ok=True)
    (out / "plan.json").write_text(json.dumps(plan))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(Path(worker.__file__)), str(out / "plan.json"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The runs of one process, and those of two: some from the start, some that take up a checkpoint of one."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for name, (change, _) in PAIRS.items():
        worker.train(change, one / name)
    taken_up = two / "fsdp-taken-up"
    (taken_up / "checkpoints").mkdir(parents=True)
    shutil.copytree(one / "fsdp/checkpoints/step-00000004", taken_up / "checkpoints/step-00000004")
    shutil.copy(one / "fsdp/metrics.jsonl", taken_up)
    launch([*((name, change) for name, (_, change) in PAIRS.items()), ("fsdp-taken-up", PAIRS["fsdp"][1])], two)
    return one, two


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from numbers(entry)
    else:
        yield value


def assert_same(mine: Path, theirs: Path) -> None:
    """The same log to rounding, the same weights, moments and statistics to 1e-10."""
    for a, b in zip(lines(mine), lines(theirs), strict=True):
        assert list(numbers(a)) == pytest.approx(list(numbers(b)), rel=1e-10, abs=1.1e-5)
    a, b = load_latest(mine / "checkpoints"), load_latest(theirs / "checkpoints")
    assert a is not None
    assert b is not None
    assert a.step == b.step == 8
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        torch.testing.assert_close(tensor, b.tensors[name], rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("name", PAIRS)
def test_two_processes_learn_what_one_does(folders: tuple[Path, Path], name: str) -> None:
    one, two = folders
    assert any(max(line["dead"].values()) > 0 for line in lines(one / name) if "dead" in line) or "sae" in name
    assert_same(two / name, one / name)


def test_a_checkpoint_of_one_process_is_taken_up_by_two_that_share_the_weights(folders: tuple[Path, Path]) -> None:
    one, two = folders
    assert_same(two / "fsdp-taken-up", one / "fsdp")


def test_a_checkpoint_of_two_is_taken_up_by_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = folders
    (tmp_path / "checkpoints").mkdir()
    shutil.copytree(two / "fsdp/checkpoints/step-00000004", tmp_path / "checkpoints/step-00000004")
    shutil.copy(two / "fsdp/metrics.jsonl", tmp_path)
    worker.train(PAIRS["fsdp"][0], tmp_path)
    assert_same(tmp_path, one / "fsdp")


def test_rows_of_a_whole_tensor_are_set() -> None:
    tensor = torch.zeros(5, 2)
    set_rows(tensor, torch.tensor([3, 1]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert tensor.tolist() == [[0, 0], [3, 4], [0, 0], [1, 2], [0, 0]]
