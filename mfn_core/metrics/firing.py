"""How often features fire, and how evenly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ULTRA_RARE = 1e-6  # fires on fewer than one token in a million
DENSE = 0.1  # fires on more than one token in ten
NEAR = 2.0  # a rate is near its target if neither is more than this many times the other

Counts = NDArray[np.int64]


def dead(counts: Counts) -> float:
    """Share of features that never fire. `counts` [F]: tokens on which each fires."""
    return float((counts == 0).mean())


def ultra_rare(counts: Counts, tokens: int) -> float:
    """Share of features that fire on fewer than one of a million tokens, dead ones among them."""
    return float((counts < ULTRA_RARE * tokens).mean())


def dense(counts: Counts, tokens: int) -> float:
    """Share of features that fire on more than a tenth of all tokens."""
    return float((counts > DENSE * tokens).mean())


def near_target(counts: Counts, tokens: int, target: float) -> float:
    """Share of live features, those that fire at all, with a rate from half to twice the target; 0 if none is live."""
    found = near(counts, tokens, target)
    return float(found.mean()) if len(found) else 0.0


def near(counts: Counts, tokens: int, target: float) -> NDArray[np.bool_]:
    """bool [live]: of each live feature, whether its rate is from half to twice the target."""
    rates = counts[counts > 0] / tokens
    return (rates <= NEAR * target) & (rates >= target / NEAR)


def spread(counts: Counts) -> float:
    """The Gini coefficient of the rates of all features: 0 where all fire alike, towards 1 where one does all."""
    ordered = np.sort(counts).astype(np.float64)
    total, n = ordered.sum(), len(ordered)
    if total == 0:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))
