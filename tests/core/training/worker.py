"""Trains small models, as one of the processes that a test starts: `python worker.py PLAN OUT`.

PLAN is a JSON list of runs, each a name and what is to differ from the default settings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mfn_core.training import renewal
from mfn_core.training.batches import PackedRows
from mfn_core.training.building import new_model
from mfn_core.training.config import TrainConfig
from mfn_core.training.parallel import processes
from mfn_core.training.trainer import Trainer

VOCABULARY = 300
SETTINGS: dict[str, dict[str, Any]] = {
    "run": {
        "tokens": 8 * 8 * 16,
        "batch": 8,
        "autocast": "none",
        "ema": 0.9,
        "log_every": 1,
        "eval_every": 3,  # not with a checkpoint, which has gathered weights let go of, too
        "checkpoint_every": 4,
    },
    "model": {"width": 16, "blocks": 2, "heads": 2, "mlp": 24, "context": 16, "vocabulary": VOCABULARY},
    "mfn": {
        "layers": [0, 1],
        "resid_final": True,
        "n_features": 48,
        "k": 4,
        "k_first": 8,
        "alpha_from": 0.1,
        "alpha_until": 0.5,
        "token_lookup": True,
        "rate": 0.1,
        "comp": 0.1,
        "stab": 0.1,
        "stab_every": 2,
        "auxk_k": 8,
        "dead_after": 200,
        "resample_after": 250,
    },
    "optimizer": {"matrices": "adamw"},
    "machine": {"device": "cpu", "tensorboard": False},
}


def config_of(change: dict[str, dict[str, Any]]) -> TrainConfig:
    sections = {name: {**settings, **change.get(name, {})} for name, settings in SETTINGS.items()}
    sections |= {name: settings for name, settings in change.items() if name not in sections}
    return TrainConfig.from_json({**sections.pop("run"), **sections})


def train(change: dict[str, dict[str, Any]], folder: Path) -> Trainer:
    """In float64, on random tokens, on this process and those it is joined to."""
    renewal.EVERY = 3
    config = config_of(change)
    rows = np.random.default_rng(0).integers(1, VOCABULARY, (64, 16)).astype(np.uint16)
    rows[:, 0] = 0
    model = new_model(config, range(VOCABULARY)).double()
    trainer = Trainer(model, config, PackedRows(rows, config.batch), folder, rows[:21])
    trainer.run()
    return trainer


def main(plan: str, out: str) -> None:
    torch.set_num_threads(1)
    with processes("cpu"):
        for name, change in json.loads(Path(plan).read_text()):
            train(change, Path(out) / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
