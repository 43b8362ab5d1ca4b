"""How often, and how strongly, each feature fires on each token, without a table of features × vocabulary.

There is room for so many pairs of feature and token, half of the corpus by half. Where more occur, the features with
the most pairs lose theirs: with c_f the pairs of feature f, all those with c_f > c, where

    c = the greatest whole number with Σ_f min(c_f, c) ≤ room.

As text comes in, pairs only become more, so c only falls, and who has lost its pairs never gets them back. Hence who
keeps them depends on the text alone, not on its order or cuts; and what is kept of a feature is all there is. Of a
feature that has lost its pairs, c of the room stay reserved, which is what makes this work (the rule is ours).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import best_of_each, run_lengths, run_starts, stable_argsort
from mfn_core.indexing.dense_tally import DenseTally
from mfn_core.indexing.exact import fixed
from mfn_core.indexing.pairs import HALVES, Pairs

_PIECE = 1 << 17
"""Firings sorted at once: few enough for a processor's second cache."""


class TokenTally:
    """Counts and sums over (half of the corpus, feature, token), exact, holding only what occurs.

    Codes gather in a buffer that is sorted and added in when full; but those on the most frequent tokens are counted in
    a table at once. Both are sums of whole numbers, so two tallies merge exactly.

    Meanwhile pairs are kept by half, token and feature. Tokens are sorted first, and there are K times fewer of them
    than of firings; what is sorted by feature is then small enough to stay in a cache.

    Args:
        n_features: F.
        vocab_size: V.
        max_pairs: the room, in pairs.
        buffer: entries of codes that gather at least.
        table: whether the most frequent tokens have a table.

    Attributes:
        crowded: bool [F], which features have lost their pairs. Ask for `pairs` first.
    """

    def __init__(
        self, n_features: int, vocab_size: int, max_pairs: int, buffer: int = 1 << 22, table: bool = True
    ) -> None:
        self.crowded = np.zeros(n_features, np.bool_)
        self._vocab = vocab_size
        self._n_features = n_features
        self._max_pairs = max_pairs
        self._kept = Pairs.none()  # keys: (half × vocabulary + token) × features + feature
        self._by_feature: Pairs | None = None  # the same, as `pairs` gives them
        self._new: list[_Codes] = []
        self._n_new = 0
        self._buffer = buffer
        self._columns = DenseTally.room(n_features) if table else 0
        small = vocab_size <= self._columns
        self._dense = DenseTally(n_features, vocab_size, np.arange(vocab_size)) if small else None

    def add(
        self,
        half: NDArray[np.int64],
        token: NDArray[np.int64],
        features: NDArray[Any],
        strength: NDArray[np.float32],
    ) -> None:
        """Takes in the codes of T tokens.

        Args:
            half: [T], which half of the corpus each belongs to.
            token: [T], token ids.
            features: [T, K], which features fire on it; F where none does.
            strength: [T, K], how strongly.
        """
        if not len(token):
            return
        self._by_feature = None
        codes = _Codes(half * self._vocab + token, features, strength)
        if self._dense is not None:
            column = self._dense.column.take(token)
            rare = np.flatnonzero(column < 0)
            if len(rare):
                frequent = np.flatnonzero(column >= 0)
                half, column = half.take(frequent), column.take(frequent)
                features, strength = features.take(frequent, axis=0), strength.take(frequent, axis=0)
            self._dense.add(half, column, features, strength)
            if not len(rare):
                return
            codes = codes.take(rare)
        self._new.append(codes)
        self._n_new += codes.features.size
        # Every time, all pairs are gone through: the more there are, the more firings are to share the cost.
        if self._n_new >= max(self._buffer, len(self._kept.keys)):
            self._settle()

    @property
    def n_keys(self) -> int:
        """How many keys there are: no key is as great."""
        return HALVES * self._n_features * self._vocab

    def add_pairs(self, pairs: Pairs, crowded: NDArray[np.bool_] | None = None) -> None:
        """Adds pairs as `pairs` gives them, and says which features have lost theirs."""
        self._by_feature = None
        if crowded is not None:
            self.crowded |= crowded
        cells, token = np.divmod(pairs.keys, self._vocab)
        half, feature = np.divmod(cells, self._n_features)
        group = half * self._vocab + token
        order = stable_argsort(group, HALVES * self._vocab)
        self._add(pairs.sorted(group * self._n_features + feature, order))

    def pairs(self) -> Pairs:
        """All pairs of both halves, of features that are not crowded."""
        if self._by_feature is None:
            if self._new:
                self._settle()
            if self._dense is not None:
                self._add(self._dense.take_out())
            group, feature = np.divmod(self._kept.keys, self._n_features)
            half, token = np.divmod(group, self._vocab)
            cell = half * self._n_features + feature
            order = stable_argsort(cell, HALVES * self._n_features)
            self._by_feature = self._kept.sorted(cell * self._vocab + token, order)
        return self._by_feature

    def of_half(self, half: int) -> Pairs:
        """The pairs of one half."""
        keys, counts, sums = self.pairs()
        size = self._n_features * self._vocab
        begin, end = np.searchsorted(keys, [half * size, (half + 1) * size])
        part = slice(int(begin), int(end))
        return Pairs(keys[part] - half * size, counts[part], sums[part])

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
        keys, counts, _ = self.of_half(0).merge(self.of_half(1))
        feature, token = np.divmod(keys, self._vocab)
        order, rank = best_of_each(feature, token, counts, n)
        ids = np.full((self._n_features, n), -1, np.int32)
        amounts = np.zeros((self._n_features, n), np.int64)
        ids[feature[order], rank] = token[order]
        amounts[feature[order], rank] = counts[order]
        return ids, amounts

    def _add(self, pairs: Pairs) -> None:
        self._kept = self._without_crowded(self._kept).merge(self._without_crowded(pairs))
        if len(self._kept.keys) <= self._max_pairs and not self.crowded.any():
            return
        amounts = np.bincount(self._kept.keys % self._n_features, minlength=self._n_features)
        amounts[self.crowded] = self._max_pairs + 1
        self.crowded = amounts > fair_share(amounts, self._max_pairs)
        self._kept = self._without_crowded(self._kept)

    def _without_crowded(self, pairs: Pairs) -> Pairs:
        return pairs.where(~self.crowded[pairs.keys % self._n_features]) if self.crowded.any() else pairs

    def _settle(self) -> None:
        codes = _Codes.join(self._new, self._n_features)
        self._new, self._n_new = [], 0
        order = stable_argsort(codes.token, HALVES * self._vocab)
        if self._dense is None and self._columns:  # from now on, the tokens that were most frequent so far have a table
            counts = np.bincount(codes.token, minlength=HALVES * self._vocab).reshape(HALVES, -1).sum(0)
            frequent = np.argsort(-counts, kind="stable")[: self._columns]
            self._dense = DenseTally(self._n_features, self._vocab, frequent)
        parts = [self._pairs_of(codes.take(piece)) for piece in _pieces(codes, order)]
        keys, counts, sums = (np.concatenate(column) for column in zip(*parts, strict=True))
        self._add(Pairs(keys, counts, sums))

    def _pairs_of(self, codes: _Codes) -> Pairs:
        """The pairs of a few codes, whose tokens ascend."""
        groups = codes.token[run_starts(codes.token)]
        number = np.searchsorted(groups, codes.token)
        features = codes.features.reshape(-1)
        n = int(np.count_nonzero(features < self._n_features))
        order = stable_argsort(features, self._n_features + 1)[:n]  # stable: a feature's tokens stay in order
        feature = features.take(order)
        number = number.take(order // max(codes.features.shape[1], 1))
        starts = run_starts(feature, number)
        amounts = fixed(codes.strength.reshape(-1).take(order))
        sums = np.add.reduceat(amounts, starts) if n else amounts
        feature, number = feature.take(starts), number.take(starts)
        by_token = stable_argsort(number, len(groups))
        keys = groups.take(number) * self._n_features + feature
        return Pairs(keys, run_lengths(starts, n), sums).sorted(keys, by_token)


def fair_share(amounts: NDArray[np.int64], room: int) -> int:
    """The greatest whole number c with Σ min(amount, c) ≤ room; the greatest amount where all fit."""
    ordered = np.sort(np.minimum(amounts, room + 1))
    below = np.cumsum(ordered) - ordered
    others = np.arange(len(ordered), 0, -1)  # this one and all that are no smaller
    too_many = np.flatnonzero(below + ordered * others > room)
    if not len(too_many):
        return int(ordered.max(initial=0))
    first = too_many[0]
    return int((room - below[first]) // others[first])


class _Codes(NamedTuple):
    """What fires on T tokens.

    Attributes:
        token: int64 [T], half × vocabulary + token id.
        features, strength: [T, K], as `TokenTally.add` takes them.
    """

    token: NDArray[np.int64]
    features: NDArray[Any]
    strength: NDArray[np.float32]

    @classmethod
    def join(cls, parts: list[_Codes], n_features: int) -> _Codes:
        """The tokens of several, made as wide as the widest: some codes are wider from batch to batch."""
        token = np.concatenate([part.token for part in parts])
        shape = len(token), max(part.features.shape[1] for part in parts)
        both = cls(token, np.full(shape, n_features, parts[0].features.dtype), np.zeros(shape, np.float32))
        end = 0
        for part in parts:
            begin, end, width = end, end + len(part.token), part.features.shape[1]
            both.features[begin:end, :width] = part.features
            both.strength[begin:end, :width] = part.strength
        return both

    def take(self, which: NDArray[np.int64]) -> _Codes:
        """Some of the tokens."""
        token, features, strength = self
        return _Codes(token.take(which), features.take(which, axis=0), strength.take(which, axis=0))


def _pieces(codes: _Codes, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """`order`, which sorts the tokens, cut where the token changes, into pieces of about `_PIECE` firings."""
    token = codes.token.take(order)
    most = max(_PIECE // max(codes.features.shape[1], 1), 1)
    begin = 0
    while begin < len(order):
        last = min(begin + most, len(order)) - 1
        end = int(np.searchsorted(token, token[last], side="right"))  # where its last token ends
        yield order[begin:end]
        begin = end
