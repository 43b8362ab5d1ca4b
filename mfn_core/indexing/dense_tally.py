"""A table of a few tokens × features: what the most frequent tokens are counted in, since nothing need be sorted.

Few tokens make up most of a text. Of those a table of counts and sums is small, and each cell is soon in use; all the
other pairs of feature and token are far too many for a table, and nearly all of them never occur.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.exact import fixed
from mfn_core.indexing.pairs import HALVES, Pairs

CELLS = 1 << 20
"""Cells of a table at most, of 16 bytes each (ours)."""


class DenseTally:
    """Counts and sums over (half of the corpus, feature, token) for some of the tokens.

    Attributes:
        column: int32 [V], which column of the table each token has; -1 for none.
    """

    def __init__(self, n_features: int, vocab_size: int, tokens: NDArray[np.integer[Any]]) -> None:
        self.column = np.full(vocab_size, -1, np.int32)
        self._tokens = np.sort(tokens.astype(np.int64))
        self.column[self._tokens] = np.arange(len(tokens))
        self._n_features = n_features
        # One feature more than there are takes what is silent.
        self._counts = np.zeros((HALVES, len(tokens), n_features + 1), np.int64)
        self._sums = np.zeros_like(self._counts)

    @staticmethod
    def room(n_features: int) -> int:
        """How many tokens a table for so many features may have."""
        return CELLS // (HALVES * (n_features + 1))

    def add(
        self,
        half: NDArray[np.int64],
        column: NDArray[np.integer[Any]],
        features: NDArray[Any],
        strength: NDArray[np.float32],
    ) -> None:
        """Takes in the codes of T tokens: half and column [T], features and strength [T, K] as `TokenTally.add`."""
        _, columns, width = self._counts.shape
        cell = ((half * columns + column) * width)[:, None] + features
        cell = cell.reshape(-1)
        np.add.at(self._counts.reshape(-1), cell, 1)
        np.add.at(self._sums.reshape(-1), cell, fixed(strength).reshape(-1))

    def take_out(self) -> Pairs:
        """Empties the table. Keys of the pairs: (half × vocabulary + token) × features + feature."""
        half, column, feature = np.nonzero(self._counts[..., : self._n_features])
        keys = (half * len(self.column) + self._tokens.take(column)) * self._n_features + feature
        pairs = Pairs(keys, self._counts[half, column, feature], self._sums[half, column, feature])
        self._counts[:] = 0
        self._sums[:] = 0
        return pairs
