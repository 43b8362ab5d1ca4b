"""Which features fire together, and what comes after the tokens they fire on: counted on a sample of tokens.

Over n tokens, with n_i and n_j those on which either of two features fires and n_ij those on which both do,

    lift = n_ij · n / (n_i · n_j),

the number of joint firings over the number that chance would give. Lift alone would rank first what fires together
once and never else; how often alone, whatever fires nearly everywhere. So partners are ranked by the log-likelihood
ratio of the 2 × 2 table (Dunning 1993; that it ranks, is ours),

    G² = 2 Σ observed · ln(observed / expected),

which is roughly twice the joint firings times the logarithm of the lift. Listed is what fires together on at least
`MIN_JOINT` tokens, more often than by chance, and with a G² that chance would reach among all F partners about once
in `1 / CHANCE` features (ours).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import best_of_each, ragged, run_lengths, run_starts, stable_argsort
from mfn_core.indexing.token_sample import NO_TOKEN, SampledTokens

MIN_JOINT = 3
"""On fewer tokens G² says little, and one passage that is quoted twice would make a partner."""

CHANCE = 0.01
"""About so many partners a feature would be listed if none fired together but by chance."""

_PAIRS = 1 << 19  # ordered pairs of firings gone through at once


class Cofiring(NamedTuple):
    """For each of F features its c partners, best first; where there are no more, -1 and zeros.

    Attributes:
        ids: int32 [F, c].
        lift: float32 [F, c].
        joint: int64 [F, c], tokens of the sample on which both fire.
    """

    ids: NDArray[np.int32]
    lift: NDArray[np.float32]
    joint: NDArray[np.int64]


def firings_of(sample: SampledTokens, n_features: int) -> NDArray[np.int64]:
    """int64 [F]: on how many tokens of the sample each feature fires."""
    return np.bincount(sample.features, minlength=n_features)


def cofiring(sample: SampledTokens, n_features: int, n: int) -> Cofiring:
    """The `n` features that each feature fires together with most remarkably, by G², ties by number."""
    found = Cofiring(
        np.full((n_features, n), -1, np.int32),
        np.zeros((n_features, n), np.float32),
        np.zeros((n_features, n), np.int64),
    )
    if not n:
        return found
    firings = firings_of(sample, n_features)
    least = 2 * np.log(n_features / CHANCE)
    for i, j, joint in _joint_counts(sample, firings):
        lift = joint * len(sample) / (firings[i] * firings[j])
        which = np.flatnonzero((i != j) & (joint >= MIN_JOINT) & (lift > 1))
        g2 = log_likelihood_ratio(joint[which], firings[i[which]], firings[j[which]], len(sample))
        which, g2 = which[g2 >= least], g2[g2 >= least]
        best, rank = best_of_each(i[which], j[which], g2, n)
        best = which[best]
        found.ids[i[best], rank] = j[best]
        found.lift[i[best], rank] = lift[best]
        found.joint[i[best], rank] = joint[best]
    return found


def next_tokens(
    sample: SampledTokens, n_features: int, vocab_size: int, n: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """For each feature the `n` tokens that most often follow one it fires on, and how often they do in the sample.

    Returns:
        int32 and int64 [F, n], most frequent first, ties by token id; padded with -1 and 0.
    """
    following = np.repeat(sample.following, sample.lengths)
    inside = np.flatnonzero(following != NO_TOKEN)
    keys = np.sort(sample.features[inside].astype(np.int64) * vocab_size + following[inside])
    starts = run_starts(keys)
    feature, token = np.divmod(keys[starts], vocab_size)
    counts = run_lengths(starts, len(keys))
    best, rank = best_of_each(feature, token, counts, n)
    ids = np.full((n_features, n), -1, np.int32)
    amounts = np.zeros((n_features, n), np.int64)
    ids[feature[best], rank] = token[best]
    amounts[feature[best], rank] = counts[best]
    return ids, amounts


def log_likelihood_ratio(
    joint: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64], total: int
) -> NDArray[np.float64]:
    """G² of 2 × 2 tables.

    Args:
        joint: [P], on how many tokens both fire.
        one, other: [P], on how many each fires.
        total: how many tokens there are.

    Returns:
        float64 [P], 0 or above.
    """
    g2 = np.zeros(len(joint))
    for observed, a, b in (
        (joint, one, other),
        (one - joint, one, total - other),
        (other - joint, total - one, other),
        (total - one - other + joint, total - one, total - other),
    ):
        expected = a * (b / total)
        some = observed > 0  # an empty cell adds nothing
        g2[some] += observed[some] * np.log(observed[some] / expected[some])
    return np.maximum(2 * g2, 0.0)


def _joint_counts(
    sample: SampledTokens, firings: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (i, j) that fire together, and on how many tokens, ascending; all pairs of one i in one piece.

    A piece goes through the tokens on which its features i fire, and takes each with all that fires there: every pair
    comes twice, once from either side, and memory is that of a piece, not of all pairs.
    """
    n_features = len(firings)
    by_feature = stable_argsort(sample.features, n_features)
    tokens = np.repeat(np.arange(len(sample)), sample.lengths)[by_feature]
    ends = np.cumsum(firings)
    starts_of, lengths_of = sample.starts(), sample.lengths.astype(np.int64)
    n_pairs = np.append(0, np.cumsum(lengths_of[tokens]))[np.append(0, ends)]  # up to each feature, the last included
    first = 0
    while first < n_features:
        last = max(first + 1, int(np.searchsorted(n_pairs, n_pairs[first] + _PAIRS, side="right")) - 1)
        part = tokens[ends[first] - firings[first] : ends[last - 1]]
        lengths = lengths_of[part]
        base = np.repeat(np.arange(last - first) * n_features, firings[first:last])
        keys = np.repeat(base, lengths) + sample.features[ragged(starts_of[part], lengths)]
        found, joint = _counts(keys, (last - first) * n_features)
        i, j = np.divmod(found, n_features)
        yield i + first, j, joint
        first = last


def _counts(keys: NDArray[np.int64], bound: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which whole numbers in [0, bound) occur, ascending, and how often."""
    if bound <= len(keys):  # a table costs less than to sort
        table = np.bincount(keys, minlength=bound)
        found = np.flatnonzero(table)
        return found, table[found]
    keys.sort()
    starts = run_starts(keys)
    return keys[starts], run_lengths(starts, len(keys))
