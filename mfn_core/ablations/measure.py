"""What a finished run is like on held-out text: every run of a grid is measured alike, by the measures that exist."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from mfn_core.evaluation.qualities import layer_qualities
from mfn_core.files import replace_file
from mfn_core.losses import Competition, FeatureStatistics
from mfn_core.model import MFNModel
from mfn_core.training.checkpoint import newest_step
from mfn_core.training.config import TrainConfig
from mfn_core.training.export import load_run

VERSION = 3  # of what is measured: figures of another version are measured anew
FIGURES = "figures.json"
ALL_ALIKE = 10**9  # tokens: a horizon so far that a running mean weighs all alike
ROWS_AT_ONCE = 16
ROWS = 128  # of the held-out text that layers are measured on, the first ones; cross-entropy is over all
COMPETING = slice(None, None, 4)  # positions of a text whose competition is measured: it costs tokens squared

Rows = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Figures:
    """Of one run at its end.

    Attributes:
        step: at which it stood.
        held_out: digest of the held-out tokens.
        tokens: next tokens that the cross-entropy is over.
        loss: cross-entropy, nats a token, as the run's own log has it.
        unigram: what the same tokens cost by their frequencies in the training text, nats.
        flops: floating-point operations of a token's forward pass, matrix products and decoders alone.
        parameters: of Transformer and layers of features together.
        layers: by equipped block, what `layer_qualities` gives, and `comp`, the competition loss.
    """

    step: int
    held_out: str
    tokens: int
    loss: float
    unigram: float
    flops: float
    parameters: int
    layers: Mapping[str, Mapping[str, float]]

    def mean(self, name: str) -> float | None:
        """Of a measure over the layers; None where there are none."""
        values = [layer[name] for layer in self.layers.values()]
        return float(np.mean(values)) if values else None


def measured(folder: Path, config: TrainConfig) -> Figures:
    """The figures of a finished run: those that lie in its folder, or else new ones, which are kept there.

    Raises:
        MFNError: the folder is no run folder.
    """
    found = read_figures(folder, config)
    if found is None:
        found = measure(folder)
        kept = {"version": VERSION, "figures": vars(found)}
        replace_file(folder / FIGURES, lambda file: file.write(json.dumps(kept, indent=1).encode() + b"\n"))
    return found


def read_figures(folder: Path, config: TrainConfig) -> Figures | None:
    """Those that lie in a run folder; None where the run is not finished, or not measured as this version does."""
    if newest_step(folder / "checkpoints") != config.steps:
        return None
    try:
        kept = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if kept.get("version") != VERSION or kept["figures"]["step"] != config.steps:
        return None
    return Figures(**kept["figures"])


def measure(folder: Path) -> Figures:
    """Of a run at its newest checkpoint, in single precision.

    Raises:
        MFNError: the folder is no run folder.
    """
    saved = load_run(folder)
    score = next(line["valid"] for line in reversed(saved.metrics) if "valid" in line)
    model, rows = saved.model, np.asarray(saved.valid)
    seen = rows[:ROWS]
    competing = held_out_competition(model, seen, saved.start)
    layers = {
        str(quality.layer): _numbers(quality.to_json()) | {"comp": competing[quality.layer]}
        for quality in layer_qualities(model, [row.astype(np.int64) for row in seen], ROWS_AT_ONCE)
    }
    train = np.load(folder / "data" / "train.npy", mmap_mode="r")
    return Figures(
        step=saved.step,
        held_out=hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest(),
        tokens=score["n_tokens"],
        loss=score["loss"],
        unigram=unigram_cost(train, rows, model.vocab_size),
        flops=forward_flops(model, rows.shape[1]),
        parameters=sum(p.numel() for p in model.parameters()),
        layers=layers,
    )


def _numbers(quality: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in quality.items() if isinstance(value, int | float)}


@torch.no_grad()
def held_out_competition(model: MFNModel, rows: Rows, start: int) -> dict[int, float]:
    """The competition loss of each layer on held-out text, E[z²] of each feature taken over that same text.

    Args:
        model: with MFNs.
        rows: [rows, T] token ids.
        start: the token that begins a document, which does not count.
    """
    batches = [
        torch.from_numpy(rows[at : at + ROWS_AT_ONCE].astype(np.int64)).to(model.device)
        for at in range(0, len(rows), ROWS_AT_ONCE)
    ]
    power = {n: FeatureStatistics(layer.n_features, ALL_ALIKE, model.device) for n, layer in model.mfn_layers.items()}
    if not power:
        return {}
    for ids in batches:
        for number, trace in model(ids, record="codes", logits_to_keep=1).traces.items():
            power[number].update(trace.raw_codes, ids != start)
    sums, pairs = dict.fromkeys(power, 0.0), 0.0
    for ids in batches:
        keep = ids != start
        weight = float(keep[:, COMPETING].sum()) ** 2  # the loss is a mean over pairs of tokens
        for number, trace in model(ids, branch="train", logits_to_keep=1).traces.items():
            sums[number] += weight * float(Competition()(trace, keep, power[number].power, COMPETING))
        pairs += weight
    return {number: total / pairs for number, total in sums.items()}


def unigram_cost(train: Rows, held_out: Rows, vocabulary: int) -> float:
    """Nats a held-out token costs by how often tokens stand in the training text, one added to each count.

    Args:
        train, held_out: [rows, T] token ids; the first of a row is not predicted.
        vocabulary: V.
    """
    counts = np.bincount(train.ravel(), minlength=vocabulary) + 1.0
    return float(-np.log(counts / counts.sum())[held_out[:, 1:]].mean())


@torch.no_grad()
def forward_flops(model: MFNModel, length: int) -> float:
    """Floating-point operations a token in the forward pass of a text of so many tokens, two a multiplication and sum.

    Matrix products and attention as torch counts them, and 2·K·d for each decoder, which is a sparse sum.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        model(torch.ones(1, length, dtype=torch.int64, device=model.device))
    decoders = sum(2 * layer.k * layer.d_model for layer in model.mfn_layers.values())
    return float(counter.get_total_flops()) / length + decoders
