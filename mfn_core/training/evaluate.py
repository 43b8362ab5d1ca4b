"""Held-out numbers of a model: cross-entropy, and per layer what the code leaves out and how it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.coder import full_precision
from mfn_core.data.mix import TokenRows
from mfn_core.model import MFNModel
from mfn_core.run import LayerTrace


@dataclass(frozen=True)
class LayerScore:
    """One layer on held-out text.

    Attributes:
        fvu: fraction of variance unexplained, in normalised units; predicting the mean gives 1.
        fvu_stream: the same for the stream itself.
        l0: features that fire on a token, on average.
        dead: share of features that fire on no token of the text.
    """

    fvu: float
    fvu_stream: float
    l0: float
    dead: float


@dataclass(frozen=True)
class Score:
    """A model on held-out text.

    Attributes:
        loss: cross-entropy in nats a token.
        n_tokens: how many tokens that is over.
        layers: by equipped block.
    """

    loss: float
    n_tokens: int
    layers: dict[int, LayerScore]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "layers": {str(n): asdict(score) for n, score in self.layers.items()}}


class _LayerSums:
    """Running sums for one layer, in float64."""

    def __init__(self, n_features: int, width: int, device: torch.device) -> None:
        self.fired = torch.zeros(n_features, dtype=torch.bool, device=device)
        self.entries = 0
        self.tokens = 0
        self.normed = _Variance(width, device)
        self.stream = _Variance(width, device)

    def add(self, trace: LayerTrace, keep: Tensor) -> None:
        assert trace.x_hat is not None
        codes = trace.codes
        indices, values = codes.indices[keep], codes.values[keep]
        self.fired[indices[values > 0]] = True
        self.entries += int((values > 0).sum())
        self.tokens += int(keep.sum())
        x, x_hat, scale = trace.x[keep].double(), trace.x_hat[keep].double(), trace.scale[keep].double()
        self.normed.add(x, x_hat)
        self.stream.add(x * scale, x_hat * scale)

    def score(self) -> LayerScore:
        return LayerScore(
            self.normed.unexplained(),
            self.stream.unexplained(),
            self.entries / self.tokens,
            1.0 - float(self.fired.float().mean()),
        )


class _Variance:
    """Σ‖x − x̂‖² over Σ‖x − x̄‖², with x̄ the mean over everything added."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.n = 0
        self.total = torch.zeros(width, dtype=torch.float64, device=device)
        self.squares = 0.0
        self.errors = 0.0

    def add(self, x: Tensor, x_hat: Tensor) -> None:
        self.n += len(x)
        self.total += x.sum(0)
        self.squares += float(x.square().sum())
        self.errors += float((x - x_hat).square().sum())

    def unexplained(self) -> float:
        spread = self.squares - float(self.total.square().sum()) / self.n
        return self.errors / spread


@torch.inference_mode()
def evaluate(
    model: MFNModel,
    rows: TokenRows,
    start: int = 0,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Measures a model in the precision it has.

    Args:
        model: with or without layers of features.
        rows: [rows, T] token ids.
        start: the token that begins a document. It is left out of the layers' numbers, since its massive activations
            would rule them.
        batch: rows in a forward pass.
        progress: called with rows done and rows in all.
    """
    was_training = model.training
    model.eval()
    sums = {n: _LayerSums(layer.n_features, layer.d_model, model.device) for n, layer in model.coders.items()}
    loss, count = 0.0, 0
    for first in range(0, len(rows), batch):
        ids = torch.from_numpy(rows[first : first + batch].astype(np.int64)).to(model.device)
        out = model(ids, record=True)
        logits, targets = full_precision(out.logits[:, :-1].flatten(0, 1)), ids[:, 1:].flatten()
        loss += float(F.cross_entropy(logits, targets, reduction="sum"))
        count += targets.numel()
        for number, trace in out.traces.items():
            if trace.x_hat is not None:
                sums[number].add(trace, ids != start)
        if progress is not None:
            progress(min(first + batch, len(rows)), len(rows))
    model.train(was_training)
    return Score(loss / count, count, {n: s.score() for n, s in sums.items() if s.tokens})
