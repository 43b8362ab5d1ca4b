"""A grid of tiny runs: two seeds of the full setting, one pressure off, the dense twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_core.ablations.grid import Grid, load_grid
from tests.core.sentences import write_sentences

BASE = """
tokens = 11_520
batch = 4
autocast = "none"
log_every = 1
eval_every = 1000
checkpoint_every = 1000
model = { width = 16, blocks = 2, heads = 2, mlp = 24, context = 24, vocabulary = 300 }
machine = { tensorboard = false, device = "cpu" }

[mfn]
layers = [0, 1]
enter = 0.25
n_features = 64
k = 4
k_first = 8
auxk_k = 8
dead_after = 300

[optimizer]
lr = 2e-2
matrix_lr = 2e-2

[data]
seed = 0
tokenizer_characters = 20_000
valid_tokens = 480
sources.sentences = { share = 1.0, train = "train.jsonl", valid = "valid.jsonl" }
"""
GRID = """
name = "tiny"
base = "base.toml"
set = { mfn.rate = 0.5 }

[groups]
losses = { title = "Each pressure off" }
K = { title = "How many may fire", setting = "mfn.k" }

[runs]
full = { seeds = [0, 1], about = "all pressures" }
dense = { set = { mfn.layers = [] } }
no-rate = { group = "losses", off = "rate", set = { mfn.rate = 0.0 } }
"""


def written(folder: Path, grid: str = GRID, base: str = BASE) -> Path:
    """A grid file and its base in a folder."""
    (folder / "base.toml").write_text(base)
    (folder / "grid.toml").write_text(grid)
    return folder / "grid.toml"


@pytest.fixture(scope="session")
def grid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("grid"))


@pytest.fixture(scope="session")
def grid(grid_file: Path) -> Grid:
    return load_grid(grid_file)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `train.jsonl` and `valid.jsonl`."""
    return write_sentences(tmp_path_factory.mktemp("text"))
