"""Bootstrap intervals of any measure, over the units that are independent of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number and how sure it is.

    Attributes:
        value: of the units that there are.
        low, high: ends of the 95 % interval; equal to the value where there is but one unit.
        n: how many units.
    """

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def bootstrap(
    units: Sized,
    measure: Callable[[NDArray[np.int64]], float],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A measure with its percentile interval, 95 %. Source: Efron 1979; Efron and Tibshirani 1993, chapter 13.

    Args:
        units: of what is independent, such as texts, features or concepts; their number alone is used here.
        measure: takes the numbers of the units it is to be taken of, int64 [n], some of them more than once. It may
            give NaN, where resampled units define none; those are left out.
        resamples: how often units are drawn anew.
        seed: of the draws.

    Raises:
        ValueError: there are no units.
    """
    n = len(units)
    if n == 0:
        raise ValueError("there is nothing to take an interval over")
    value = float(measure(np.arange(n)))
    if n == 1:
        return Estimate(value, value, value, 1)
    rng = np.random.default_rng(seed)
    drawn = np.array([measure(rng.integers(0, n, n)) for _ in range(resamples)], dtype=np.float64)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Estimate(value, float("nan"), float("nan"), n)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value, float(low), float(high), n)


def mean_of(values: Sequence[float] | Floats, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The mean of numbers, one a unit."""
    numbers = np.asarray(values, dtype=np.float64)
    return bootstrap(numbers, lambda drawn: float(numbers[drawn].mean()), resamples, seed)


def median_of(values: Sequence[float] | Floats, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The median of numbers, one a unit."""
    numbers = np.asarray(values, dtype=np.float64)
    return bootstrap(numbers, lambda drawn: float(np.median(numbers[drawn])), resamples, seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for how many were tested together, each at most 1.

    Holm's step-down procedure, valid whatever their dependence. Source: S. Holm, Scand. J. Statistics 6 (1979).
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected = [0.0] * len(p_values)
    above = 0.0
    for rank, place in enumerate(order):
        above = max(above, (len(p_values) - rank) * p_values[place])
        corrected[place] = min(1.0, above)
    return corrected
