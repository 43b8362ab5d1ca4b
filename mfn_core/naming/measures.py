"""How well predictions fit what is so: each measure with a 95 % interval that does not vanish where all was told right.

Half is chance for balanced accuracy and AUC, 0 for correlation and kappa. A bootstrap over ten answers that are all
right gives an interval of no width, so shares and AUC have score intervals, and the bootstrap is left to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfn_core.intervals import BOUND, wilson
from mfn_core.metrics.auc import auc_variance

RESAMPLES = 1_000
_HALVINGS = 60


class Measured(NamedTuple):
    """A figure and the ends of its 95 % interval; None and None where there is none."""

    value: float
    low: float | None
    high: float | None


def balanced_accuracy(true: ArrayLike, right: ArrayLike) -> Measured:
    """The mean of two shares: of what is so, and of what is not, that was told right.

    The interval is that of a mean of two independent shares made of Wilson's for each (R. G. Newcombe, Statistics in
    Medicine 17 (1998) 873, method 10, with a sum for the difference).

    Args:
        true: bool [n], what is so. Both must occur.
        right: [n], 1 for an answer that was right, 0 for one that was wrong, 0.5 for none at all.
    """
    fact, credit = np.asarray(true, np.bool_), np.asarray(right, np.float64)
    if fact.all() or not fact.any():
        raise ValueError("what is so and what is not must both occur")
    shares = []
    for part in (credit[fact], credit[~fact]):
        p = float(part.mean())
        shares.append((p, *wilson(p, float(len(part)))))
    value = sum(p for p, *_ in shares) / 2
    below = sum((p - low) ** 2 for p, low, _ in shares) ** 0.5 / 2
    above = sum((high - p) ** 2 for p, _, high in shares) ** 0.5 / 2
    return Measured(value, max(0.0, value - below), min(1.0, value + above))


def share_right(credits: Sequence[float]) -> Measured:
    """The mean of credits from 0 to 1, n > 0 of them, with Wilson's interval."""
    p = sum(credits) / len(credits)
    low, high = wilson(p, float(len(credits)))
    return Measured(p, max(0.0, low), min(1.0, high))


def auc(true: ArrayLike, scores: ArrayLike) -> Measured:
    """The chance that a score of what is so is above one of what is not; equal ones count half. 0.5 is chance.

    The interval is what the variance of J. A. Hanley and B. J. McNeil (Radiology 143 (1982) 29) allows for, taken at
    the interval's ends and not at the estimate (R. G. Newcombe, Statistics in Medicine 25 (2006) 559).

    Args:
        true: bool [n], what is so. Both must occur.
        scores: [n], finite.
    """
    fact, given = np.asarray(true, np.bool_), np.asarray(scores, np.float64)
    if fact.all() or not fact.any():
        raise ValueError("what is so and what is not must both occur")
    so, other = given[fact][:, None], given[~fact][None, :]
    value = float(((so > other) + 0.5 * (so == other)).mean())
    m, n = len(so), other.shape[1]

    def bound(end: float) -> float:
        inside, outside = value, end
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            near = abs(middle - value) <= BOUND * auc_variance(middle, m, n) ** 0.5
            inside, outside = (middle, outside) if near else (inside, middle)
        return inside

    return Measured(value, bound(0.0), bound(1.0))


def correlation(real: Sequence[NDArray[np.float64]], told: Sequence[NDArray[np.float64]], seed: int = 0) -> Measured:
    """Pearson's correlation of real and predicted values over the tokens of some snippets, -1 to 1.

    0 where either is the same everywhere: what predicts nothing explains nothing. The interval is a bootstrap over
    snippets, since tokens of one are not independent; None and None for fewer than three.

    Args:
        real, told: of each snippet, float64 [tokens].
        seed: of the bootstrap.
    """
    if len(real) != len(told) or not real:
        raise ValueError("real and predicted values must be of the same snippets, of at least one")
    pairs = list(zip(real, told, strict=True))
    # sums are all that a resample needs: n, Σx, Σy, Σx², Σy², Σxy
    moments = np.array([[len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()] for x, y in pairs])
    ends = _bootstrap(len(pairs), lambda drawn: _pearson(moments[drawn].sum(axis=1)), seed)
    return Measured(float(_pearson(moments.sum(axis=0)[None])[0]), *ends)


def kappa(one: ArrayLike, other: ArrayLike, seed: int = 0) -> Measured | None:
    """Cohen's κ of two judges who each said yes or no of the same n things: 1 is perfect, 0 what chance gives.

    None where both said the same of all things, yes or no: then chance explains it all (0 / 0). The interval is a
    bootstrap over things in which κ is defined; None and None for fewer than three.

    Source: J. Cohen, Educational and Psychological Measurement 20 (1960) 37.
    """
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if a.shape != b.shape or not len(a):
        raise ValueError("two judges must have judged the same things, at least one")
    counts = np.stack([np.ones_like(a), a, b, a * b], axis=1)
    value = float(_kappa(counts.sum(axis=0)[None])[0])
    if np.isnan(value):
        return None
    return Measured(value, *_bootstrap(len(a), lambda drawn: _kappa(counts[drawn].sum(axis=1)), seed))


def _bootstrap(
    n: int, of: Callable[[NDArray[np.int64]], NDArray[np.float64]], seed: int
) -> tuple[float | None, float | None]:
    if n < 3:
        return None, None
    found = of(np.random.default_rng(seed).integers(0, n, (RESAMPLES, n)))
    found = found[~np.isnan(found)]
    if not len(found):
        return None, None
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _pearson(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """From [·, 6] sums; 0 where either side is constant."""
    n, x, y, xx, yy, xy = moments.T
    spread = np.maximum(n * xx - x * x, 0.0) * np.maximum(n * yy - y * y, 0.0)
    constant = spread <= 1e-18 * np.maximum(n * xx, 1e-300) * np.maximum(n * yy, 1e-300)
    found: NDArray[np.float64] = np.where(constant, 0.0, (n * xy - x * y) / np.sqrt(np.where(constant, 1.0, spread)))
    return found


def _kappa(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """From [·, 4]: how many things, yes by one, yes by the other, yes by both. NaN where undefined."""
    n, a, b, both = counts.T
    same = (both + n - a - b + both) / n
    chance = (a * b + (n - a) * (n - b)) / (n * n)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = np.where(chance < 1, (same - chance) / (1 - chance), np.nan)
    return found
