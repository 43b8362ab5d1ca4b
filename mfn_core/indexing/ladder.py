"""What each feature fires on: exactly where there is room for it, else on a part of the tokens that is small enough.

A feature that fires on very many different tokens is not worth the room that all its pairs of feature and token would
take: their shares can be had from a sample of the tokens. So pairs are counted several times over, on all tokens and on
thinner and thinner samples of them, chosen by a hash of a token's place in the corpus:

    rung r:  the tokens whose hash begins with r · `BITS` zeros, that is one in 1, 16, 256 and 4,096.

Each rung has its room, and lets go of the features with the most pairs where it does not suffice: see `tallies`. What
is said of a feature comes from the lowest rung that still has its pairs: of most from the first, where it is exact.
A hash has nothing to do with what a token is, so every sample is a fair one, and all that a rung holds is a function of
the set of tokens seen: two ladders merge exactly. The rungs together take an eighth more of everything than the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import mix
from mfn_core.indexing.exact import SquareSums
from mfn_core.indexing.pairs import HALVES, Pairs
from mfn_core.indexing.tallies import TokenTally
from mfn_core.indexing.token_r2 import token_r2

RUNGS = 4
BITS = 4
SHARE = 4
"""The rungs above the first have this part of its room each: far fewer pairs occur there (ours)."""

_SALT = np.uint64(0xD1B54A32D192ED03)  # so that these samples have nothing to do with any other


def level_of(places: NDArray[np.uint64]) -> NDArray[np.int64]:
    """int64, the highest rung that each token belongs to, by its place."""
    hashed = mix(places + _SALT)
    level = np.zeros(len(places), np.int64)
    for rung in range(1, RUNGS):
        level += hashed < np.uint64(1 << (64 - rung * BITS))
    return level


@dataclass(frozen=True)
class TokenFacts:
    """What is said of the tokens that F features fire on.

    Attributes:
        ids, share: int32 and float32 [F, n], the tokens it fires on most often, and which share of its firings falls on
            each; most frequent first, ties by token id; padded with -1 and 0.
        r2: float32 [F], token R²; NaN where unknown.
        half_firings: int64 [F], on how many firings it rests in the half with fewer.
        counted_share: float32 [F], which share of all tokens was looked at for all this; 0 where no rung had room.
        n_pairs: pairs on the first rung.
    """

    ids: NDArray[np.int32]
    share: NDArray[np.float32]
    r2: NDArray[np.float32]
    half_firings: NDArray[np.int64]
    counted_share: NDArray[np.float32]
    n_pairs: int


class TokenLadder:
    """Tallies of all tokens and of samples of them.

    Args:
        n_features: F.
        vocab_size: V.
        max_pairs: room of the first rung. Where all pairs that could occur fit into it, there is no other rung.
    """

    def __init__(self, n_features: int, vocab_size: int, max_pairs: int) -> None:
        self.n_rungs = 1 if HALVES * n_features * vocab_size <= max_pairs else RUNGS
        self.rungs = [TokenTally(n_features, vocab_size, max_pairs)]
        for _ in range(1, self.n_rungs):
            self.rungs.append(TokenTally(n_features, vocab_size, max_pairs // SHARE, buffer=1 << 20, table=False))
        self._n_features = n_features

    def levels(self, places: NDArray[np.uint64]) -> NDArray[np.int64] | None:
        """The level of each token; None where there is one rung."""
        return level_of(places) if self.n_rungs > 1 else None

    def add(
        self,
        level: NDArray[np.int64] | None,
        half: NDArray[np.int64],
        token: NDArray[np.int64],
        features: NDArray[Any],
        strength: NDArray[np.float32],
    ) -> None:
        """Takes in the codes of T tokens: levels [T] as `levels` gives them, the others as `TokenTally.add`."""
        self.rungs[0].add(half, token, features, strength)
        if level is None:
            return
        which = np.flatnonzero(level)
        for number, rung in enumerate(self.rungs[1:], 1):
            which = which[level.take(which) >= number]
            rung.add(half.take(which), token.take(which), features.take(which, axis=0), strength.take(which, axis=0))

    def add_by_level(self, pairs: Pairs) -> None:
        """Adds pairs whose keys are level × (all keys there are) + the key, each counted on its level alone."""
        size = self.rungs[0].n_keys
        cuts = np.searchsorted(pairs.keys, np.arange(self.n_rungs + 1) * size)
        for level in range(self.n_rungs):
            part = slice(int(cuts[level]), int(cuts[level + 1]))
            of_level = Pairs(pairs.keys[part] - level * size, pairs.counts[part], pairs.sums[part])
            for rung in self.rungs[: level + 1]:
                rung.add_pairs(of_level)

    def add_ladder(self, other: TokenLadder) -> None:
        """Adds all of another ladder, of the same sizes."""
        for mine, theirs in zip(self.rungs, other.rungs, strict=True):
            mine.add_pairs(theirs.pairs(), theirs.crowded)

    def names(self) -> list[str]:
        """What `arrays` has."""
        columns = (*Pairs._fields, "crowded")
        return [f"{column}_{rung}" for rung in range(self.n_rungs) for column in columns]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The whole state in canonical form."""
        found = [array for rung in self.rungs for array in (*rung.pairs(), rung.crowded)]
        return dict(zip(self.names(), found, strict=True))

    def add_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Adds what `arrays` gave."""
        for number, rung in enumerate(self.rungs):
            pairs = Pairs(*(arrays[f"{column}_{number}"] for column in Pairs._fields))
            rung.add_pairs(pairs, arrays[f"crowded_{number}"])

    def facts(self, n: int, squares: SquareSums, token_counts: NDArray[np.int64]) -> TokenFacts:
        """What is said of each feature.

        Args:
            n: how many tokens to name.
            squares: Σ z², groups (level × halves + half) × F + feature.
            token_counts: int64 [levels, halves, V], how often each token counts, each on its level alone.
        """
        size = self._n_features
        found = TokenFacts(
            np.full((size, n), -1, np.int32),
            np.zeros((size, n), np.float32),
            np.full(size, np.nan, np.float32),
            np.zeros(size, np.int64),
            np.zeros(size, np.float32),
            len(self.rungs[0].pairs().keys),
        )
        missing = np.ones(size, np.bool_)
        for number, rung in enumerate(self.rungs):
            if not missing.any():
                break
            halves = rung.of_half(0), rung.of_half(1)
            firings = rung.firings()
            here = missing & ~rung.crowded
            counts = token_counts[number:].sum(0)
            ids, amounts = rung.most_frequent(n)
            found.ids[here] = ids[here]
            found.share[here] = (amounts / np.maximum(firings.sum(0), 1)[:, None])[here]
            z_squared = squares.folded(self.n_rungs, number).values().reshape(HALVES, size)
            found.r2[here] = token_r2(halves, z_squared, counts)[here]
            found.half_firings[here] = firings.min(0)[here]
            found.counted_share[here] = counts.sum() / max(token_counts.sum(), 1)
            missing &= rung.crowded
        return found
