"""A fair sample of a corpus' tokens, each with the features that fire on it: what is too dear to count over all tokens.

Tokens are taken in the order of a hash of their place for as long as their firings fit. That makes the sample a
function of the set of tokens seen, so that two states merge exactly; and since a hash has nothing to do with what a
token is, the sample is a fair one: uniform, without replacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import mix, ragged

NO_TOKEN = -1
"""What follows the last token of a document."""

_SALT = np.uint64(0x8EBC6AF09C88C6E3)  # so that the sample has nothing to do with which contexts are drawn


@dataclass(frozen=True)
class SampledTokens:
    """n tokens and what fires on them, nnz firings in all, in CSR form.

    Attributes:
        order: uint64 [n], the hash of each token's place. No two are equal: the hash is one to one.
        following: int32 [n], the token id after it in its document, or `NO_TOKEN`.
        lengths: int32 [n], how many features fire on it.
        features: int32 [nnz], which; ascending within a token.
    """

    order: NDArray[np.uint64]
    following: NDArray[np.int32]
    lengths: NDArray[np.int32]
    features: NDArray[np.int32]

    @classmethod
    def none(cls) -> SampledTokens:
        """No tokens."""
        return cls(np.zeros(0, np.uint64), *(np.zeros(0, np.int32) for _ in range(3)))

    @classmethod
    def join(cls, parts: list[SampledTokens]) -> SampledTokens:
        """All tokens of several."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    def __len__(self) -> int:
        return len(self.order)

    def starts(self) -> NDArray[np.int64]:
        """int64 [n]: where each token's firings begin."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def take(self, which: NDArray[np.int64]) -> SampledTokens:
        """The tokens numbered `which`, in that order."""
        lengths = self.lengths[which]
        firings = ragged(self.starts()[which], lengths.astype(np.int64))
        return SampledTokens(self.order[which], self.following[which], lengths, self.features[firings])


class TokenSample:
    """The tokens with the smallest hashes, as many as fit: each takes one place and one more for every firing on it.

    The first token that does not fit sets `bound`, and from then on no token enters whose hash is not below it, though
    it might take less room. That is what makes merging exact. Of any part of the corpus, the tokens below the final
    bound fit, so none of them is ever turned away; and the token that sets the final bound is met by some part, as one
    that does not fit, at the latest when all parts have come together.

    Attributes:
        bound: only tokens with a hash below it are in the sample.
    """

    def __init__(self, max_places: int) -> None:
        self.bound = np.uint64(np.iinfo(np.uint64).max)
        self._max_places = max_places
        self._kept = SampledTokens.none()
        self._new: list[SampledTokens] = []
        self._n_new = 0

    def add(
        self,
        places: NDArray[np.uint64],
        following: NDArray[np.int64],
        counted: NDArray[np.bool_],
        features: NDArray[np.integer[Any]],
        n_features: int,
    ) -> None:
        """Offers tokens, none of which was offered before.

        Args:
            places: [T], where each lies in the corpus: no two alike, see `place_of`.
            following: [T], token ids.
            counted: [T], False for tokens that do not count.
            features: [T, K], which features fire on it, each once; `n_features` where none does.
            n_features: F.
        """
        which, order = self.wanted(places, counted)
        if not len(which):
            return
        rows = features.take(which, axis=0)
        rows.sort(axis=1)
        fires = rows < n_features
        firing = rows[fires].astype(np.int32)
        self.add_tokens(SampledTokens(order, following[which].astype(np.int32), fires.sum(1, dtype=np.int32), firing))

    def wanted(
        self, places: NDArray[np.uint64], counted: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Which tokens may enter, and the hash of each: int64 and uint64, as many as may. Arguments as of `add`."""
        order = mix(places + _SALT)
        which = np.flatnonzero(counted & (order < self.bound))
        return which, order[which]

    def add_tokens(self, tokens: SampledTokens) -> None:
        """Offers tokens as `tokens` gives them."""
        self._new.append(tokens)
        self._n_new += _places(tokens)
        if self._n_new > self._max_places:
            self._settle()

    def merge(self, other: TokenSample) -> TokenSample:
        """The sample of both parts. Associative and commutative, exactly."""
        both = TokenSample(self._max_places)
        parts = [self.tokens(), other.tokens()]  # before the bounds, which what is still to be settled may lower
        both.bound = min(self.bound, other.bound)
        for tokens in parts:
            both.add_tokens(tokens)
        return both

    def tokens(self) -> SampledTokens:
        """The sample, in order of the hash."""
        if self._new:
            self._settle()
        return self._kept

    def _settle(self) -> None:
        every = SampledTokens.join([self._kept, *self._new])
        by_order = np.argsort(every.order)
        by_order = by_order[every.order[by_order] < self.bound]
        n_fit = int((np.cumsum(every.lengths[by_order] + 1, dtype=np.int64) <= self._max_places).sum())
        if n_fit < len(by_order):
            self.bound = every.order[by_order[n_fit]]
        self._kept = every.take(by_order[:n_fit])
        self._new, self._n_new = [], 0


def _places(tokens: SampledTokens) -> int:
    return len(tokens) + len(tokens.features)
