"""Shares and means with 95 % intervals; means over tokens of texts, for which texts, not tokens, are independent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

BOUND = 1.96  # standard errors on either side of a 95 % interval

N = TypeVar("N", float, "Tensor")


def wilson(p: N, n: N) -> tuple[N, N]:
    """Ends of the 95 % score interval of a share p of n > 0. Source: E. B. Wilson, JASA 22 (1927)."""
    z = BOUND
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    return middle - half, middle + half


class Share(NamedTuple):
    """So many of so many."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """Part / whole; 0 of nothing."""
        return self.part / self.whole if self.whole else 0.0

    def interval(self) -> tuple[float, float]:
        """Wilson's score interval, 95 %."""
        if not self.whole:
            return 0.0, 1.0
        low, high = wilson(self.value, self.whole)
        return max(0.0, low), min(1.0, high)

    def to_json(self) -> dict[str, Any]:
        """Plain data, with value and interval."""
        return {"value": self.value, "part": self.part, "whole": self.whole, "interval": list(self.interval())}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Share:
        """What `to_json` gave."""
        return cls(data["part"], data["whole"])


class Mean(NamedTuple):
    """A mean in nats, with its standard error over texts (infinite where there are too few to tell)."""

    value: float
    error: float

    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        return self.value - BOUND * self.error, self.value + BOUND * self.error

    @property
    def positive(self) -> bool:
        """Whether all of the 95 % interval lies above 0."""
        return self.interval()[0] > 0.0

    def less(self, other: Mean) -> Mean:
        """The difference to another mean, which is independent of this one."""
        return Mean(self.value - other.value, (self.error**2 + other.error**2) ** 0.5)

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the interval; None for what is not finite."""
        known = np.isfinite(self.error)
        interval = list(self.interval()) if known else None
        return {"value": self.value, "error": self.error if known else None, "interval": interval}

    def to_estimate(self) -> dict[str, float | None]:
        """Plain data as tables of evidence have it: `value`, `low`, `high`; None for what is not finite."""
        low, high = self.interval() if np.isfinite(self.error) else (None, None)
        return {"value": self.value, "low": low, "high": high}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Mean:
        """What `to_json` gave."""
        return cls(data["value"], float("inf") if data["error"] is None else data["error"])


def ratio(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> Mean:
    """The mean over all tokens of some texts, with its error where texts, not tokens, are independent.

    Source: the ratio estimator (W. G. Cochran, Sampling Techniques, 1977, chapter 6).

    Args:
        sums, counts: [texts], sum over a text's tokens, and how many they are.
    """
    seen = counts > 0
    sums, counts = sums[seen], counts[seen]
    if len(sums) == 0:
        return Mean(0.0, float("inf"))
    mean = sums.sum() / counts.sum()
    if len(sums) == 1:
        return Mean(float(mean), float("inf"))
    residual = (sums - mean * counts) / counts.mean()
    return Mean(float(mean), float(residual.std(ddof=1) / len(sums) ** 0.5))


def stratified(groups: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], tokens: Sequence[int]) -> Mean:
    """The mean over all tokens of groups of texts from each of which some were drawn.

    Each group's mean weighs with the tokens that the group has, drawn or not; a group without any is left out. Source:
    the separate ratio estimator (Cochran, section 6.10).

    Args:
        groups: of each, the sums and counts of the texts that were drawn, as `ratio` takes them.
        tokens: of each, in all of its texts.
    """
    shares = np.array(tokens) / max(1, sum(tokens))
    means = [(ratio(*group), float(share)) for group, share in zip(groups, shares, strict=True)]
    told = [(mean, share) for mean, share in means if share > 0]
    if not told:
        return Mean(0.0, float("inf"))
    value = sum(mean.value * share for mean, share in told)
    return Mean(float(value), float(sum((mean.error * share) ** 2 for mean, share in told) ** 0.5))
