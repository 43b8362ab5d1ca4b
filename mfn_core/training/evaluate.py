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
from mfn_core.metrics.reconstruction import ReconstructionSums
from mfn_core.model import MFNModel
from mfn_core.run import LayerTrace
from mfn_core.training.recompute import not_recomputed
from mfn_core.world import ALONE, World


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
        rows: nats a token of each row of text, for intervals; empty where several processes shared them.
    """

    loss: float
    n_tokens: int
    layers: dict[int, LayerScore]
    rows: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the rows."""
        layers = {str(n): asdict(score) for n, score in self.layers.items()}
        return {"loss": self.loss, "n_tokens": self.n_tokens, "layers": layers}


class _LayerSums:
    """Running sums for one layer, in float64."""

    def __init__(self, n_features: int, width: int, device: torch.device) -> None:
        self.fired = torch.zeros(n_features, device=device)
        self.counts = torch.zeros(2, dtype=torch.float64, device=device)  # entries, tokens
        self.normed = ReconstructionSums(width, device)
        self.stream = ReconstructionSums(width, device)

    def add(self, trace: LayerTrace, keep: Tensor) -> None:
        assert trace.x_hat is not None
        codes = trace.codes
        fires = codes.fires & keep[..., None]
        self.fired[codes.indices[fires]] = 1.0
        self.counts += torch.stack([fires.sum(), keep.sum()])
        x, x_hat, scale = trace.x[keep].double(), trace.x_hat[keep].double(), trace.scale[keep].double()
        self.normed.add(x, x_hat)
        self.stream.add(x * scale, x_hat * scale)

    def score(self, world: World) -> LayerScore | None:
        """None where the layer had nothing to rebuild (α = 0)."""
        entries, tokens = world.sum(self.counts).tolist()
        if tokens == 0:
            return None
        return LayerScore(
            self.normed.result(world.sum).fvu,
            self.stream.result(world.sum).fvu,
            entries / tokens,
            1.0 - float((world.sum(self.fired) > 0).double().mean()),
        )


@torch.no_grad()
def evaluate(
    model: MFNModel,
    rows: TokenRows,
    start: int = 0,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
    world: World = ALONE,
) -> Score:
    """Measures a model in the precision it has.

    Args:
        model: with or without layers of features.
        rows: [rows, T] token ids.
        start: the token that begins a document. It is left out of the layers' numbers, since its massive activations
            would rule them.
        batch: rows in a forward pass.
        progress: called with rows done and rows in all.
        world: the processes that share the work. All have to take part, and all get the score of the whole.
    """
    sums = {n: _LayerSums(layer.n_features, layer.d_model, model.device) for n, layer in model.coders.items()}
    losses = torch.zeros(2, dtype=torch.float64, device=model.device)  # sum, tokens
    by_row: list[float] = []
    was_training = model.training
    with not_recomputed(model):
        model.eval()
        for first in range(0, len(rows), batch * world.size):
            own = rows[first + world.rank * batch :][:batch]
            # A process that nothing is left for computes along, as a model that is spread over all asks it to.
            ids = torch.from_numpy((own if len(own) else rows[:1]).astype(np.int64)).to(model.device)
            out = model(ids, record=True)
            if len(own):
                logits, targets = full_precision(out.logits[:, :-1].flatten(0, 1)), ids[:, 1:].flatten()
                loss = F.cross_entropy(logits, targets, reduction="none").view(len(own), -1).double()
                losses += torch.stack([loss.sum(), loss.new_tensor(len(targets))])
                by_row += loss.mean(1).tolist()
                for number, trace in out.traces.items():
                    if trace.x_hat is not None:
                        sums[number].add(trace, ids != start)
            if progress is not None:
                progress(min(first + batch * world.size, len(rows)), len(rows))
        model.train(was_training)
    total, count = world.sum(losses).tolist()
    scores = {n: s.score(world) for n, s in sums.items()}
    layers = {n: score for n, score in scores.items() if score is not None}
    return Score(total / count, int(count), layers, tuple(by_row) if world.size == 1 else ())
