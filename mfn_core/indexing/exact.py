"""Sums that do not depend on the order of what is added, because all of it is whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SUM_SCALE = 2.0**24  # z is summed in whole multiples of 1 / SUM_SCALE; room for 2³⁹ units of z a sum (ours)
REST_SCALE = 2.0**32


def fixed(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Values in whole multiples of 1 / SUM_SCALE, to the nearest."""
    whole: NDArray[np.int64] = np.rint(values * np.float32(SUM_SCALE)).astype(np.int64)
    return whole


class SquareSums:
    """Σ z² of each of G groups, each square to the nearest multiple of 2⁻³².

    Whole units and the rest are summed apart: neither overflows before 2³¹ firings of a group, or 2⁶³ units of z².

    Attributes:
        units, rest: int64 [G]; rest in multiples of 2⁻³².
    """

    def __init__(self, n_groups: int) -> None:
        self.units = np.zeros(n_groups, np.int64)
        self.rest = np.zeros(n_groups, np.int64)

    def add(self, group: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Adds the square of each value to its group's sum."""
        square = np.square(values, dtype=np.float64)  # exact: a float32 has 24 binary digits
        units = np.floor(square)
        rest = np.rint((square - units) * REST_SCALE)
        if len(group) < len(self.units):  # then what a table of all groups takes would be most of it
            np.add.at(self.units, group, units.astype(np.int64))
            np.add.at(self.rest, group, rest.astype(np.int64))
            return
        # Sums of whole numbers in float64 are exact up to 2⁵³, which is 2²¹ firings of one group in one batch.
        self.units += np.bincount(group, units, len(self.units)).astype(np.int64)
        self.rest += np.bincount(group, rest, len(self.rest)).astype(np.int64)

    def merge(self, other: SquareSums) -> SquareSums:
        """The sums over both."""
        both = SquareSums(0)
        both.units, both.rest = self.units + other.units, self.rest + other.rest
        return both

    def folded(self, n_parts: int, first: int) -> SquareSums:
        """Of groups that lie in `n_parts` equal parts, the sums over all parts from `first` on: [G / n_parts]."""
        found = SquareSums(0)
        found.units, found.rest = (x.reshape(n_parts, -1)[first:].sum(0) for x in (self.units, self.rest))
        return found

    def values(self) -> NDArray[np.float64]:
        """float64 [G]: the sums."""
        return self.units + self.rest / REST_SCALE
