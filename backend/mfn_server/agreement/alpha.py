"""How far people agree: Krippendorff's alpha with its interval, the raw share, and how much is missing.

`α = 1 − D_o / D_e`: disagreement within units over what chance gives. The interval is a bootstrap over units, which are
what the next campaign would have others of; raters stay as they are. Only how often each value was said of a unit
counts, so a resample is how often each such pattern occurs, and all resamples are computed at once.

Source: Krippendorff, *Computing Krippendorff's Alpha-Reliability* (2011), and *Content Analysis* (2019), chapter 12.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mfn_server.agreement.words import alpha_of_names, similarity_within

Level = Literal["nominal", "ordinal", "words"]

RESAMPLES = 1000


@dataclass(frozen=True)
class Opinion:
    """What one person says of one unit, such as a feature."""

    unit: Hashable
    rater: Hashable
    value: Hashable


@dataclass(frozen=True)
class Agreement:
    """How far the opinions of one question agree.

    Attributes:
        alpha: 1 for perfect agreement, 0 for what chance gives, below 0 for less than that. None where it is not
            defined: no unit has two opinions, or all opinions are the same value.
        interval: of alpha, 95 %. None where alpha is, where there is one unit alone, or where fewer than nine in ten
            resamples define it.
        raw: the share of pairs of opinions on one unit that are equal, each unit weighing alike; of names the share of
            words that two have in common. None without a pair.
        units: those with two opinions or more; the others say nothing of agreement.
        raters: people with an opinion on one of these units.
        opinions: on these units.
        missing: the share of these units × these raters without an opinion, 0 to 1.
        single: units with one opinion, left out of all of the above.
    """

    alpha: float | None
    interval: tuple[float, float] | None
    raw: float | None
    units: int
    raters: int
    opinions: int
    missing: float
    single: int


def agreement(
    opinions: Iterable[Opinion],
    level: Level,
    values: Sequence[Hashable],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """How far these opinions agree.

    Args:
        opinions: at most one of each person on each unit.
        level: whether values are just different (nominal), have an order, or are names, apart by their words.
        values: all that may be said, in order; of names nothing.
        resamples: how many times the units are drawn anew for the interval.
        seed: of these draws.

    Raises:
        ValueError: where a person has two opinions on a unit, or a value is none of `values`.
    """
    asked = list(opinions)
    if len({(opinion.unit, opinion.rater) for opinion in asked}) < len(asked):
        raise ValueError("a person has two opinions on one unit")
    if level == "words":
        return _of_names(asked, resamples, seed)
    place = {value: column for column, value in enumerate(values)}
    if strange := [opinion.value for opinion in asked if opinion.value not in place]:
        raise ValueError(f"{strange[0]!r} is none of the values that may be said")
    rows = {unit: row for row, unit in enumerate(dict.fromkeys(opinion.unit for opinion in asked))}
    counts = np.zeros((len(rows), len(values)), dtype=np.int64)
    np.add.at(counts, ([rows[o.unit] for o in asked], [place[o.value] for o in asked]), 1)
    shared = counts.sum(axis=1) >= 2
    kept = [opinion for opinion in asked if shared[rows[opinion.unit]]]
    counts = counts[shared]
    raters = {opinion.rater for opinion in kept}
    alpha = alpha_of(counts, level)
    return Agreement(
        alpha=alpha,
        interval=None if alpha is None else _interval(counts, level, resamples, seed),
        raw=_raw(counts),
        units=len(counts),
        raters=len(raters),
        opinions=len(kept),
        missing=1 - len(kept) / (len(counts) * len(raters)) if kept else 0.0,
        single=int((~shared).sum()),
    )


def _of_names(asked: Sequence[Opinion], resamples: int, seed: int) -> Agreement:
    """`agreement` of names."""
    units: dict[Hashable, list[Opinion]] = {}
    for opinion in asked:
        units.setdefault(opinion.unit, []).append(opinion)
    shared = [said for said in units.values() if len(said) >= 2]
    names = [[str(opinion.value) for opinion in said] for said in shared]
    raters = {opinion.rater for said in shared for opinion in said}
    n = sum(map(len, shared))
    alpha, interval = alpha_of_names(names, resamples, seed)
    return Agreement(
        alpha=alpha,
        interval=interval,
        raw=similarity_within(names) if names else None,
        units=len(shared),
        raters=len(raters),
        opinions=n,
        missing=1 - n / (len(shared) * len(raters)) if shared else 0.0,
        single=len(units) - len(shared),
    )


def agreement_by_pair(
    opinions: Iterable[Opinion], level: Level, values: Sequence[Hashable], most: int | None = None
) -> dict[tuple[Hashable, Hashable], Agreement]:
    """The agreement of every two people who have an opinion on a unit in common, those with most such units first.

    Args:
        opinions, level, values: as `agreement` takes them.
        most: so many pairs.

    Raises:
        ValueError: as `agreement` does.
    """
    of: dict[Hashable, dict[Hashable, Opinion]] = {}
    for opinion in opinions:
        if of.setdefault(opinion.rater, {}).setdefault(opinion.unit, opinion) is not opinion:
            raise ValueError("a person has two opinions on one unit")
    common = {(first, second): of[first].keys() & of[second].keys() for first, second in combinations(of, 2)}
    found = {}
    for pair in sorted(filter(common.get, common), key=lambda pair: -len(common[pair]))[:most]:
        both = [said[unit] for unit in of[pair[0]] if unit in common[pair] for said in (of[pair[0]], of[pair[1]])]
        found[pair] = agreement(both, level, values)
    return found


def alpha_of(counts: NDArray[np.int64], level: Level) -> float | None:
    """Alpha of how often each value was said of each unit, [units, values], each unit with two opinions or more.

    None where fewer than two values were said: nothing could disagree, and alpha is 0 / 0.
    """
    alpha = float(_alphas(np.ones((1, len(counts))), counts, level)[0])
    return None if np.isnan(alpha) else alpha


def _interval(counts: NDArray[np.int64], level: Level, resamples: int, seed: int) -> tuple[float, float] | None:
    if resamples == 0 or len(counts) < 2:
        return None
    patterns, occurs = np.unique(counts, axis=0, return_counts=True)
    weights = np.random.default_rng(seed).multinomial(len(counts), occurs / len(counts), size=resamples)
    found = _alphas(weights.astype(np.float64), patterns, level)
    found = found[~np.isnan(found)]
    if len(found) < 0.9 * resamples:
        return None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _alphas(weights: NDArray[np.float64], counts: NDArray[np.int64], level: Level) -> NDArray[np.float64]:
    """Alpha [R] where unit u counts `weights[r, u]` times [R, U]; NaN where it is not defined. `counts` is [U, V]."""
    said = counts.astype(np.float64)
    n_values = said.shape[1]
    pairs = said[:, :, None] * said[:, None, :] - said[:, :, None] * np.eye(n_values)
    pairs /= np.maximum(said.sum(axis=1) - 1, 1)[:, None, None]
    coincidences = (weights @ pairs.reshape(len(said), n_values**2)).reshape(-1, n_values, n_values)
    totals = coincidences.sum(axis=2)  # [R, V], how often each value was said
    distance = _distances(totals, level)
    n = totals.sum(axis=1)
    observed = (coincidences * distance).sum(axis=(1, 2))
    expected = np.einsum("rc,rk,rck->r", totals, totals, distance)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * observed / expected, np.nan)


def _distances(totals: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    """δ² between values, [R, V, V]; of ordinal ones, by how often the values between them were said, [R, V]."""
    n_values = totals.shape[1]
    if level == "nominal":
        return np.broadcast_to(1 - np.eye(n_values), (len(totals), n_values, n_values))
    middles = totals.cumsum(axis=1) - totals / 2
    return np.square(middles[:, :, None] - middles[:, None, :])


def _raw(counts: NDArray[np.int64]) -> float | None:
    if not len(counts):
        return None
    opinions = counts.sum(axis=1)
    equal = (counts * (counts - 1)).sum(axis=1) / (opinions * (opinions - 1))
    return float(equal.mean())
