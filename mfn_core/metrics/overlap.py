"""How far features fire together."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.codes import SparseCodes


class CoFiring:
    """Counts, for all pairs of some features, the tokens on which both fire. Memory is n² of the features counted."""

    def __init__(self, n_features: int, chosen: Tensor | None = None) -> None:
        """
        Args:
            n_features: F.
            chosen: int64 [n], the features whose pairs are counted; all of them if left out.
        """
        self.chosen = torch.arange(n_features) if chosen is None else chosen.cpu()
        self._place = torch.full((n_features,), -1)
        self._place[self.chosen] = torch.arange(len(self.chosen))
        self.both = torch.zeros(len(self.chosen), len(self.chosen), dtype=torch.int64)
        self.tokens = 0

    def add(self, codes: SparseCodes) -> None:
        """More tokens, [..., K]."""
        flat = codes.flatten()
        place = torch.where(flat.fires.cpu(), self._place[flat.indices.cpu()], -1)
        row, entry = (place >= 0).nonzero(as_tuple=True)
        fired = torch.zeros(len(place), len(self.chosen))
        fired[row, place[row, entry]] = 1.0
        self.both += (fired.T @ fired).round().long()  # exact below 2²⁴ tokens a call
        self.tokens += len(place)

    def jaccard(self) -> Tensor:
        """float64 [pairs], of each pair of two features that both fire: tokens with both over tokens with either."""
        return self._pairs()[0]

    def percentile(self, level: float = 99.0) -> float:
        """This percentile of `jaccard`; 0 where there is no pair. With exactly K firing and rates given, the mean is
        given, too: what tells dictionaries apart is the tail."""
        pairs = self.jaccard()
        if not len(pairs):
            return 0.0
        rank = min(len(pairs) - 1, int(level / 100 * len(pairs)))
        return float(pairs.kthvalue(rank + 1).values)

    def resampled(self, resamples: int, rng: np.random.Generator, level: float = 99.0) -> NDArray[np.float64]:
        """The percentile [resamples] with features drawn anew, as a bootstrap draws them: one that was drawn twice
        makes all its pairs twice, but none with itself."""
        pairs, first, second = self._pairs()
        if not len(pairs):
            return np.zeros(resamples)
        order = pairs.argsort()
        values, one, other = (each[order].numpy() for each in (pairs, first, second))
        found = np.zeros(resamples)
        for number in range(resamples):
            times = rng.multinomial(len(self.chosen), np.full(len(self.chosen), 1 / len(self.chosen)))
            below = np.cumsum(times[one] * times[other])
            found[number] = values[
                np.searchsorted(below, level / 100 * below[-1], side="right").clip(max=len(values) - 1)
            ]
        return found

    def _pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Jaccard overlap of each pair of two features that both fire, and their places among the chosen."""
        alone = self.both.diagonal()
        first, second = torch.triu_indices(len(alone), len(alone), 1)
        live = (alone[first] > 0) & (alone[second] > 0)
        first, second = first[live], second[live]
        both = self.both[first, second].double()
        return both / (alone[first] + alone[second] - both), first, second
