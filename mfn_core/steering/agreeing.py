"""How well a prediction and a measurement agree, over all tokens of the vocabulary."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mfn_core.steering.results import Agreement

TOP = 10


def agreement(predicted: Tensor, measured: Tensor, top: int = TOP) -> Agreement:
    """Compares two changes of the logits, float [V] each. What is added to all logits alike says nothing."""
    p, m = centred(predicted.double()), centred(measured.double())
    top = min(top, len(p))
    return Agreement(
        _correlation(ranks(p), ranks(m)),
        _correlation(p, m),
        float(p @ m / (p @ p)) if bool(p.any()) else None,
        _overlap(p, m, top),
        _overlap(-p, -m, top),
        top,
    )


def centred(change: Tensor) -> Tensor:
    """The same less its mean: softmax does not see what is added to all logits alike."""
    return change - change.mean(-1, keepdim=True)


def ranks(values: Tensor) -> Tensor:
    """float64 [V]: the place of each in rising order, from 0; ties share the mean of their places."""
    _, number, counts = torch.unique(values, return_inverse=True, return_counts=True)
    places: Tensor = counts.cumsum(0) - (counts + 1) / 2
    return places.double()[number]


def _correlation(x: Tensor, y: Tensor) -> float | None:
    x, y = centred(x), centred(y)
    lengths = float(x.norm() * y.norm())
    if lengths == 0 or not math.isfinite(lengths):
        return None
    return max(-1.0, min(1.0, float(x @ y) / lengths))


def _overlap(p: Tensor, m: Tensor, top: int) -> float:
    mine, theirs = (set(v.topk(top).indices.tolist()) for v in (p, m))
    return len(mine & theirs) / top
