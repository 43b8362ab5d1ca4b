"""How often, and how strongly, each feature fires on each token, without a table of features × vocabulary."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import best_of_each, run_lengths, run_starts, stable_argsort
from mfn_core.indexing.exact import fixed

HALVES = 2


class Pairs(NamedTuple):
    """P pairs of feature and token that occur.

    Attributes:
        keys: int64 [P], feature × vocabulary + token, ascending. In a tally's own state the half comes before the
            feature: (half × features + feature) × vocabulary + token.
        counts: int64 [P], firings.
        sums: int64 [P], Σ z in multiples of 1 / SUM_SCALE; None where there were too many pairs to keep them.
    """

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]
    sums: NDArray[np.int64] | None


class TokenTally:
    """Counts and sums over (half of the corpus, feature, token), exact, holding only what occurs.

    Firings gather in a buffer that is sorted and added in when full. Both are sums of whole numbers, so two tallies
    merge exactly. With more than `max_sums` pairs the sums are let go of: whether that happens depends on how many
    pairs there are in the end, not on the way there, since their number only grows.
    """

    def __init__(self, n_features: int, vocab_size: int, max_sums: int, buffer: int = 1 << 21) -> None:
        self._vocab = vocab_size
        self._n_features = n_features
        self._max_sums = max_sums
        self._kept = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._new: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        self._n_new = 0
        self._buffer = buffer

    def add(
        self,
        half: NDArray[np.int64],
        feature: NDArray[np.int64],
        token: NDArray[np.int64],
        strength: NDArray[np.float32],
    ) -> None:
        """Takes in firings, one an entry."""
        self._new.append(((half * self._n_features + feature) * self._vocab + token, strength))
        self._n_new += len(feature)
        if self._n_new >= self._buffer:
            self._settle()

    def add_pairs(self, pairs: Pairs) -> None:
        """Adds pairs as `pairs` gives them."""
        kept = _join(self._kept, pairs)
        self._kept = kept if len(kept.keys) <= self._max_sums else kept._replace(sums=None)

    def pairs(self) -> Pairs:
        """All pairs of both halves."""
        if self._new:
            self._settle()
        return self._kept

    def of_half(self, half: int) -> Pairs:
        """The pairs of one half."""
        keys, counts, sums = self.pairs()
        size = self._n_features * self._vocab
        begin, end = np.searchsorted(keys, [half * size, (half + 1) * size])
        part = slice(int(begin), int(end))
        return Pairs(keys[part] - half * size, counts[part], None if sums is None else sums[part])

    def firings(self) -> NDArray[np.int64]:
        """int64 [halves, F]: how often each feature fires in each half."""
        keys, counts, _ = self.pairs()
        found = np.zeros(HALVES * self._n_features, np.int64)
        np.add.at(found, keys // self._vocab, counts)
        return found.reshape(HALVES, self._n_features)

    def most_frequent(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """For each feature its `n` most frequent tokens and their counts.

        Returns:
            int32 and int64 [F, n], most frequent first, ties by token id; padded with -1 and 0.
        """
        keys, counts, _ = _join(self.of_half(0), self.of_half(1))
        feature, token = np.divmod(keys, self._vocab)
        order, rank = best_of_each(feature, token, counts, n)
        ids = np.full((self._n_features, n), -1, np.int32)
        amounts = np.zeros((self._n_features, n), np.int64)
        ids[feature[order], rank] = token[order]
        amounts[feature[order], rank] = counts[order]
        return ids, amounts

    def _settle(self) -> None:
        keys, strength = (np.concatenate(column) for column in zip(*self._new, strict=True))
        self._new, self._n_new = [], 0
        order = stable_argsort(keys, HALVES * self._n_features * self._vocab)
        keys = keys.take(order)
        starts = run_starts(keys)
        sums = None if self._kept.sums is None else _sums(fixed(strength.take(order)), starts)
        self.add_pairs(Pairs(keys[starts], run_lengths(starts, len(keys)), sums))


def _join(a: Pairs, b: Pairs) -> Pairs:
    """The pairs of both, those that are in both added up."""
    keys = np.concatenate([a.keys, b.keys])
    order = np.argsort(keys, kind="stable")  # two ascending runs, which a stable sort merges in one go
    keys = keys.take(order)
    starts = run_starts(keys)
    counts = _sums(np.concatenate([a.counts, b.counts]).take(order), starts)
    if a.sums is None or b.sums is None:
        return Pairs(keys[starts], counts, None)
    return Pairs(keys[starts], counts, _sums(np.concatenate([a.sums, b.sums]).take(order), starts))


def _sums(amounts: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum over each run."""
    return np.add.reduceat(amounts, starts) if len(starts) else amounts
