"""How far names agree by the words they share: Krippendorff's alpha with a distance between sets of words.

Whether different words mean the same is not known here, and nothing here says so: "boats" and "ships" are as far apart
as "boats" and "snow". Case, accents, order and repetition do not count.

Source: Krippendorff, *Content Analysis* (2019), chapter 12, alpha for any distance; the distance between sets by the
share of members in common (Jaccard) after Passonneau, *Measuring Agreement on Set-valued Items* (2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfn_server.db.search import search_words

MOST_UNITS = 600
"""So many units, drawn at random, stand for more of them in alpha: chance is every two of their names."""


def word_distances(names: Sequence[str]) -> NDArray[np.float64]:
    """1 − shared words / all words of every two names, [N, N]. Two names without a word are the same."""
    sets = [frozenset(search_words(name)) for name in names]
    columns = {word: column for column, word in enumerate(sorted(frozenset().union(*sets)))}
    has = np.zeros((len(sets), len(columns)))
    for row, words in enumerate(sets):
        has[row, [columns[word] for word in words]] = 1.0
    shared = has @ has.T
    sizes = has.sum(axis=1)
    union = sizes[:, None] + sizes[None, :] - shared
    return np.where(union > 0, 1 - shared / np.maximum(union, 1), 0.0)


def similarity_within(units: Sequence[Sequence[str]]) -> float:
    """The share of words that two names of one unit have in common, each unit weighing alike. Each has two or more."""
    return float(np.mean([_similarity(word_distances(names)) for names in units]))


def alpha_of_names(
    units: Sequence[Sequence[str]], resamples: int, seed: int = 0
) -> tuple[float | None, tuple[float, float] | None]:
    """Alpha of the names of units, and its 95 % interval by drawing units anew.

    Args:
        units: the names that were given to each, two or more.
        resamples: how many times the units are drawn anew.
        seed: of the draws.

    Returns:
        Both None where all names are the same, or there is none; the interval also with one unit, or where fewer than
        nine in ten resamples define alpha.
    """
    rng = np.random.default_rng(seed)
    if len(units) > MOST_UNITS:
        units = [units[i] for i in sorted(rng.choice(len(units), MOST_UNITS, replace=False))]
    if not units:
        return None, None
    sizes = np.array([len(names) for names in units], np.float64)
    distances = word_distances([name for names in units for name in names])
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    between = np.add.reduceat(np.add.reduceat(distances, begins, axis=0), begins, axis=1)  # [U, U]
    within = np.diagonal(between) / (sizes - 1)
    alpha = _alphas(np.ones((1, len(units))), sizes, within, between)[0]
    if np.isnan(alpha):
        return None, None
    if resamples == 0 or len(units) < 2:
        return float(alpha), None
    drawn = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), size=resamples).astype(np.float64)
    found = _alphas(drawn, sizes, within, between)
    found = found[~np.isnan(found)]
    if len(found) < 0.9 * resamples:
        return float(alpha), None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(alpha), (float(low), float(high))


def _alphas(
    weights: NDArray[np.float64],
    sizes: NDArray[np.float64],
    within: NDArray[np.float64],
    between: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Alpha [R] where unit u counts `weights[r, u]` times, [R, U]; NaN where nothing differs.

    `sizes` [U] are the numbers of names, `within` [U] the sums of their distances over one less, `between` [U, U] the
    sums of distances of the names of every two units.
    """
    n = weights @ sizes
    observed = weights @ within / n
    expected = np.einsum("ru,ru->r", weights @ between, weights) / (n * np.maximum(n - 1, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - observed / expected, np.nan)


def _similarity(distances: NDArray[np.float64]) -> float:
    n = len(distances)
    return 1 - float(distances.sum()) / (n * (n - 1))
