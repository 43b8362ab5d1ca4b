"""A small corpus, a config that learns from it in a second, and the data of such a run, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mfn_core.training.config import TrainConfig
from mfn_core.training.metrics import Metrics, read_metrics
from mfn_core.training.prepare import make_data
from tests.core.sentences import write_sentences


def small(**change: Any) -> TrainConfig:
    """24 steps of 4 rows of 24 tokens; `change` replaces whole sections, or merges where it begins with `+`."""
    data: dict[str, Any] = {
        "tokens": 24 * 4 * 24,
        "batch": 4,
        "autocast": "none",
        "log_every": 1,
        "eval_every": 12,
        "checkpoint_every": 8,
        "optimizer": {"lr": 2e-2, "matrix_lr": 2e-2},
        "model": {"width": 16, "blocks": 2, "heads": 2, "mlp": 24, "context": 24, "vocabulary": 300},
        "mfn": {"layers": [0, 1], "n_features": 64, "k": 4, "k_first": 8, "auxk_k": 8, "dead_after": 300},
        "machine": {"tensorboard": False, "device": "cpu"},
        "data": {
            "tokenizer_characters": 20_000,
            "valid_tokens": 240,
            "sources": {
                "sentences": {"share": 0.8, "train": "train.jsonl", "valid": "valid.jsonl"},
                "structured": {"share": 0.2},
            },
        },
    }
    for key, value in change.items():
        if isinstance(value, dict) and key != "sae":
            data[key] = {**data.get(key, {}), **value}
        else:
            data[key] = value
    return TrainConfig.from_json(data)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `train.jsonl` and `valid.jsonl`."""
    return write_sentences(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """The data folder of a run with `small()`."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    make_data(small(), folder, corpus, lambda line: None)
    return folder


@pytest.fixture
def run_folder(tmp_path: Path, prepared: Path) -> Callable[[str], Path]:
    """Run folders by name, whose data is there already."""

    def make(name: str) -> Path:
        shutil.copytree(prepared, tmp_path / name / "data")
        return tmp_path / name

    return make


def lines(folder: Path) -> list[Metrics]:
    """The log of a run, without the pace."""
    rows = read_metrics(folder / "metrics.jsonl")
    for row in rows:
        row.pop("tokens_per_second", None)
    return rows


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Bit for bit."""
    mine, theirs = a.state_dict(), b.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in theirs)
