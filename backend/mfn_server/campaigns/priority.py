"""Which feature of a campaign comes next: a pure function of what is known of each.

Four figures from 0 to 1 say how much an opinion of a feature is worth now: how *uncertain* those who judged it were,
how far they *disagree*, how *important* it is among the campaign's features, and how much of the asked number of
opinions is still missing (*coverage*). The next feature is the one with the greatest weighted mean.

In a blind campaign importance and coverage alone count: an order that followed what others said would tell of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

_UNSURE = {"high": 0.0, "medium": 0.5, "low": 1.0, None: 0.5}


@dataclass(frozen=True)
class Signals:
    """What is known of a feature, each from 0 to 1; 1 asks for another opinion."""

    uncertainty: float = 0.0
    disagreement: float = 0.0
    importance: float = 0.0
    coverage: float = 0.0


WEIGHTS = Signals(uncertainty=1.0, disagreement=2.0, importance=1.0, coverage=3.0)
"""How much each counts (ours): first all features get an opinion, then those get another that need it."""


def priority(signals: Signals, *, blind: bool, weights: Signals = WEIGHTS) -> float:
    """The weighted mean of the signals, from 0 to 1. In a blind campaign what others said does not count."""
    worth = weights.importance * signals.importance + weights.coverage * signals.coverage
    total = weights.importance + weights.coverage
    if not blind:
        worth += weights.uncertainty * signals.uncertainty + weights.disagreement * signals.disagreement
        total += weights.uncertainty + weights.disagreement
    return worth / total


def uncertainty(confidences: Sequence[str | None]) -> float:
    """How unsure people, or a program, were: the mean of 0 (high), 1/2 (medium, not said) and 1 (low); 1 of nobody."""
    if not confidences:
        return 1.0
    return sum(_UNSURE[confidence] for confidence in confidences) / len(confidences)


def disagreement(names: Sequence[str | None]) -> float:
    """How far labels are apart: the mean over all pairs of 1 - shared words / all words; None is no label.

    0 with fewer than two. Case and the order of words do not count. Whether different words mean the same is not
    known here: it says what to look at first, and measures no agreement.
    """
    words = [frozenset(name.casefold().split()) if name else frozenset() for name in names]
    pairs = list(combinations(words, 2))
    if not pairs:
        return 0.0
    return sum(1 - len(a & b) / len(a | b) if a | b else 0.0 for a, b in pairs) / len(pairs)


def coverage(given: int, wanted: int) -> float:
    """Which share of the opinions that are asked for is missing."""
    return max(0.0, 1 - given / wanted)


def shuffled(person: str, campaign: str, place: tuple[int, int]) -> bytes:
    """Puts what is of equal worth in an order of each person's own, so that not all begin with the same feature."""
    return hashlib.sha256(repr((person, campaign, place)).encode()).digest()[:8]
