"""Pairs of feature and token that occur, with how often and how strongly: columns that merge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HALVES = 2


class Pairs(NamedTuple):
    """P pairs of feature and token that occur.

    Attributes:
        keys: int64 [P], ascending: feature × vocabulary + token, of one half; of both halves
            (half × features + feature) × vocabulary + token.
        counts: int64 [P], firings.
        sums: int64 [P], Σ z in multiples of 1 / SUM_SCALE.
    """

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]
    sums: NDArray[np.int64]

    @classmethod
    def none(cls) -> Pairs:
        """No pairs."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def sorted(self, keys: NDArray[np.int64], order: NDArray[np.int64]) -> Pairs:
        """The same under other keys, which ascend in the given order."""
        return Pairs(keys.take(order), self.counts.take(order), self.sums.take(order))

    def where(self, which: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.keys[which], self.counts[which], self.sums[which])

    def merge(self, other: Pairs) -> Pairs:
        """The pairs of both, those that are in both added up."""
        if not len(self.keys) or not len(other.keys):
            return self if len(self.keys) else other
        keys = np.concatenate([self.keys, other.keys])
        order = np.argsort(keys, kind="stable")  # two ascending runs, which a stable sort merges in one go
        keys = keys.take(order)
        first = np.append(True, keys[1:] != keys[:-1])
        again = np.flatnonzero(~first)  # no key is in either twice

        def added(one: NDArray[np.int64], two: NDArray[np.int64]) -> NDArray[np.int64]:
            amounts: NDArray[np.int64] = np.concatenate([one, two]).take(order)
            amounts[again - 1] += amounts[again]
            kept: NDArray[np.int64] = amounts[first]
            return kept

        return Pairs(keys[first], added(self.counts, other.counts), added(self.sums, other.sums))
