"""How often each feature fires on each token, without a table of features × vocabulary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import rank_in_run, run_lengths, run_starts, stable_argsort


class TokenTally:
    """Counts of (feature, token) pairs, exact, holding only the pairs that occur.

    Pairs gather in a buffer that is sorted and added in when full. Adding is a sum, so two tallies merge exactly.
    """

    def __init__(self, n_features: int, vocab_size: int, buffer: int = 1 << 21) -> None:
        self._vocab = vocab_size
        self._bound = n_features * vocab_size
        self._n_features = n_features
        self._keys = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)
        self._new: list[NDArray[np.int64]] = []
        self._n_new = 0
        self._buffer = buffer

    def add(self, feature: NDArray[np.int64], token: NDArray[np.int64]) -> None:
        """Counts one for each pair."""
        self._new.append(feature * self._vocab + token)
        self._n_new += len(feature)
        if self._n_new >= self._buffer:
            self._settle()

    def add_counts(self, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Adds counts of pairs, `keys` ascending and as `pairs` gives them."""
        every = np.concatenate([self._keys, keys])
        amounts = np.concatenate([self._counts, counts])
        order = np.argsort(every, kind="stable")  # two ascending runs, which a stable sort merges in one go
        every = every[order]
        starts = run_starts(every)
        self._keys = every[starts]
        self._counts = np.add.reduceat(amounts[order], starts) if len(starts) else amounts

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Keys (feature × vocabulary + token), ascending, and how often each occurred."""
        if self._new:
            self._settle()
        return self._keys, self._counts

    def most_frequent(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """For each feature its `n` most frequent tokens and their counts.

        Returns:
            int32 and int64 [F, n], most frequent first, ties by token id; padded with -1 and 0.
        """
        keys, counts = self.pairs()
        feature, token = np.divmod(keys, self._vocab)
        order = np.lexsort((token, -counts, feature))
        rank = rank_in_run(feature[order])
        order, rank = order[rank < n], rank[rank < n]
        ids = np.full((self._n_features, n), -1, np.int32)
        amounts = np.zeros((self._n_features, n), np.int64)
        ids[feature[order], rank] = token[order]
        amounts[feature[order], rank] = counts[order]
        return ids, amounts

    def _settle(self) -> None:
        keys = np.concatenate(self._new)
        self._new, self._n_new = [], 0
        keys = keys.take(stable_argsort(keys, self._bound))
        starts = run_starts(keys)
        self.add_counts(keys[starts], run_lengths(starts, len(keys)))
