"""Which tokens, after which others, a feature fires on: short patterns, learned from where it fires.

In the manner of Neuron to Graph: each firing is brought down to the few tokens before it that matter, the others may be
anything, and a feature is what all of its patterns say together. Which tokens matter is told there by masking them in
the model; here (ours) by counting: how often a pattern occurs in the corpus against how often it does where the feature
fires. It costs no forward pass, and knows what a pattern would fire on wrongly.

Source: Foote, Nanda, Kran, Konstas, Cohen, Barez 2023, *Neuron to Graph: Interpreting Language Model Neurons at Scale*
(arXiv 2305.19911).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import Conditions, NamedText


@dataclass(frozen=True)
class PatternSettings:
    """How patterns are looked for.

    Attributes:
        reach: how many tokens before the one that it fires on may be asked for.
        longest: how many conditions a pattern has at most.
        fewest: in how many different contexts a pattern has to occur.
        precision: of a pattern, at least: the share of its occurrences on which the feature fires.
        share: of the activation that a further pattern has to add.
        most: patterns of one feature.
        beam: how many beginnings are made longer.
    """

    reach: int = 3
    longest: int = 3
    fewest: int = 2
    precision: float = 0.5
    share: float = 0.04
    most: int = 8
    beam: int = 8


@dataclass(frozen=True)
class Firings:
    """Firings of one feature, n of them, as they are known.

    Attributes:
        before: int32 [n, reach + 1], first ids of the token that it fires on and of those before it; -1 where it is not
            known or there is none.
        weight: float64 [n], for how many firings of the feature each stands.
        strength: float64 [n], how strongly it fires.
        context: int64 [n], which context each is in.
    """

    before: NDArray[np.int32]
    weight: NDArray[np.float64]
    strength: NDArray[np.float64]
    context: NDArray[np.int64]

    def only(self, which: NDArray[np.bool_]) -> Firings:
        """Some of them."""
        return Firings(self.before[which], self.weight[which], self.strength[which], self.context[which])

    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of all that they stand for, the share of firings and of activation that each has, [n]; each adds up to 1."""
        mass = self.weight * self.strength
        return self.weight / max(self.weight.sum(), 1e-12), mass / max(mass.sum(), 1e-12)


@dataclass(frozen=True)
class Fit:
    """How well patterns tell where a feature fires.

    Attributes:
        precision: of their occurrences, on how many it fires; estimated, at most 1.
        recall: of its activation, summed over its firings, the share that they cover: weak firings, of which there are
            many, count for little.
    """

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 0 where both are."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def learn_patterns(firings: Firings, text: NamedText, rate: float, settings: PatternSettings) -> list[Conditions]:
    """Patterns that tell where a feature fires, the one that covers most first; none where none is precise enough.

    Args:
        firings: from which they are learned.
        text: of the corpus, in which occurrences are counted.
        rate: the share of its tokens on which the feature fires.
        settings: how.
    """
    lexicon, expected = text.lexicon, rate * len(text)
    keys = _candidates(firings, lexicon, settings)
    if not keys:
        return []
    fits = np.stack([lexicon.fits(firings.before[:, offset], key) for offset, key in keys], axis=1)  # [n, candidates]
    counts = text.counts()
    occurs = np.array([counts[key] for _, key in keys], np.float64)
    left = np.ones(len(firings.weight), np.bool_)
    found: list[Conditions] = []
    while len(found) < settings.most:
        best = _best(firings, left, fits, keys, occurs, expected, text, settings)
        if best is None:
            break
        columns, conditions = best
        found.append(conditions)
        left &= ~fits[:, columns].all(axis=1)
    return found


def fit_of(patterns: Sequence[Conditions], firings: Firings, text: NamedText, rate: float) -> Fit:
    """How well patterns tell where a feature fires, by firings that they were not learned from.

    Args:
        patterns: one of them is enough.
        firings, text, rate: as of `learn_patterns`.
    """
    if not patterns:
        return Fit(0.0, 0.0)
    covered = np.zeros(len(firings.weight), np.bool_)
    for pattern in patterns:
        covered |= holds(pattern, firings.before, text.lexicon)
    share, mass = firings.shares()
    occurs = len(np.unique(np.concatenate([text.positions(pattern) for pattern in patterns])))
    precision = min(1.0, float(share[covered].sum()) * rate * len(text) / occurs) if occurs else 0.0
    return Fit(precision, float(mass[covered].sum()))


def holds(pattern: Conditions, before: NDArray[np.int32], lexicon: Lexicon) -> NDArray[np.bool_]:
    """Which rows of `Firings.before` a pattern fits, [n]."""
    found = np.ones(len(before), np.bool_)
    for offset, key in pattern:
        found &= lexicon.fits(before[:, offset], key)
    return found


def _candidates(firings: Firings, lexicon: Lexicon, settings: PatternSettings) -> list[tuple[int, int]]:
    """Single conditions that hold in enough different contexts."""
    found = []
    for offset in range(settings.reach + 1):
        ids = firings.before[:, offset]
        met: dict[int, set[int]] = {}
        for number, context in zip(ids.tolist(), firings.context.tolist(), strict=True):
            if number >= 0:
                met.setdefault(number, set()).add(context)
        found += [(offset, number) for number, contexts in met.items() if len(contexts) >= settings.fewest]
        for place in range(len(lexicon.names)):
            key = lexicon.size + place
            if len(set(firings.context[lexicon.fits(ids, key)].tolist())) >= settings.fewest:
                found.append((offset, key))
    return found


def _best(
    firings: Firings,
    left: NDArray[np.bool_],
    fits: NDArray[np.bool_],
    keys: Sequence[tuple[int, int]],
    occurs: NDArray[np.float64],
    expected: float,
    text: NamedText,
    settings: PatternSettings,
) -> tuple[list[int], Conditions] | None:
    """The pattern that is precise and adds most, by the F1 of both: its columns in `fits`, and its conditions."""
    context = firings.context
    share, mass = firings.shares()

    def judge(columns: list[int], number: float) -> tuple[float, float, float]:
        """F1 of precision and what is added, precision, and what is added."""
        where = fits[:, columns].all(axis=1)
        precision = min(1.0, expected * float(share[where].sum()) / number) if number else 0.0
        added = float(mass[where & left].sum())
        return (2 * precision * added / (precision + added) if added else 0.0, precision, added)

    judged = {(column,): judge([column], occurs[column]) for column in range(len(keys))}
    level = list(judged)
    for _ in range(settings.longest - 1):
        beginnings = sorted(level, key=lambda columns: -judged[columns][0])[: settings.beam]
        # a beginning that covers much, however often it is wrong, may be made precise by what stands before it
        beginnings += sorted(level, key=lambda columns: -judged[columns][2])[: settings.beam]
        level = []
        for columns in dict.fromkeys(beginnings):
            where = fits[:, columns].all(axis=1) & left
            gain = (mass * where) @ fits
            used = {keys[column][0] for column in columns}
            for column in np.argsort(-gain, kind="stable")[: 2 * settings.beam].tolist():
                longer = tuple(sorted((*columns, column)))
                if keys[column][0] in used or longer in judged or gain[column] < settings.share:
                    continue
                if len(set(context[where & fits[:, column]].tolist())) < settings.fewest:
                    continue
                number = len(text.positions(tuple(keys[each] for each in longer)))
                judged[longer] = judge(list(longer), number)
                level.append(longer)
    good = [
        columns
        for columns, (_, precision, added) in judged.items()
        if precision >= settings.precision and added >= settings.share
    ]
    if not good:
        return None
    # of two that are as good the shorter one, which asks for less
    best = max(good, key=lambda columns: (round(judged[columns][0], 3), -len(columns)))
    return list(best), tuple(sorted(keys[column] for column in best))
