"""A run whose process is killed, again and again, ends with the bits of one that was left alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mfn_core.training.checkpoint import load_latest
from mfn_core.training.config import TrainConfig

from .conftest import lines, small

pytestmark = pytest.mark.slow

PROGRAM = """
import json, sys
import torch
from pathlib import Path
from mfn_core.training.config import TrainConfig
from mfn_core.training.run import train
torch.set_num_threads(1)
config, folder, corpus = sys.argv[1:]
train(TrainConfig.from_json(json.loads(config)), Path(folder), Path(corpus))
"""


def start(config: TrainConfig, folder: Path, corpus: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, json.dumps(config.to_json()), str(folder), str(corpus)]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def kill_when(process: subprocess.Popen[bytes], moment: Callable[[], bool]) -> None:
    while process.poll() is None and not moment():
        time.sleep(0.0005)
    process.kill()
    process.wait()


@pytest.mark.parametrize("stream", [False, True], ids=["packed", "streamed"])
def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, corpus: Path, stream: bool) -> None:
    config = small(
        autocast="bf16",
        ema=0.9,
        checkpoint_every=2,
        mfn={"resample_after": 400, "resid_final": True},
        data={**small().to_json()["data"], "stream": stream, "buffer": 8},
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(config, whole, corpus).wait() == 0
    rng = random.Random(0)

    def reached(step: int) -> Callable[[], bool]:
        """A random while after the log has come to a step."""
        late = rng.random() * 0.05

        def moment() -> bool:
            log = cut / "metrics.jsonl"
            if not log.exists() or log.read_bytes().count(b'"utility"') < step:
                return False
            time.sleep(late)
            return True

        return moment

    def writing() -> bool:
        return any((cut / "checkpoints").glob(".draft-*/tensors.safetensors"))

    for moment in (reached(1), writing, reached(9), writing, reached(15)):
        kill_when(start(config, cut, corpus), moment)
    assert start(config, cut, corpus).wait() == 0
    assert lines(cut) == lines(whole)
    mine, theirs = load_latest(cut / "checkpoints"), load_latest(whole / "checkpoints")
    assert mine is not None
    assert theirs is not None
    assert mine.step == theirs.step == config.steps
    assert mine.state == theirs.state
    assert mine.tensors.keys() == theirs.tensors.keys()
    assert all(mine.tensors[name].equal(tensor) for name, tensor in theirs.tensors.items())
