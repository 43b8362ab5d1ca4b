"""Settings that are tried for a goal: single features, and features of several layers together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from mfn_core.evaluation.steer_search.goals import GENERATED, Turns
from mfn_core.interventions import Intervention

ALONE = (2.0, 4.0, 7.0)  # times a feature's high strength; a single one has to outweigh the rest of the stream
TOGETHER = (1.0, 2.0, 4.0)
STARTS = (4, 8, 16)  # new tokens for which a text is started off, and then left to the model
MOST_TURNS, MOST_ADDED = 8, 6
LAYERS = 6  # at most so many are taken together


@dataclass(frozen=True)
class Suspect:
    """A feature that may do it.

    Attributes:
        layer, feature: which.
        high: its high strength; see `Habits`.
        score: how much text says so.
        degree: how much what it writes says so.
    """

    layer: int
    feature: int
    high: float
    score: float
    degree: float

    def turn(self, times: float) -> Intervention:
        """It, set to so many times its high strength."""
        return Intervention(self.layer, self.feature, "set", round(times * self.high, 1), GENERATED)


def first(pool: Sequence[Suspect]) -> list[Turns]:
    """What to begin with."""
    writers = sorted((s for s in pool if s.degree > 0), key=lambda s: -s.degree)
    tellers = sorted((s for s in pool if s.score > 0), key=lambda s: -s.score)
    best = _best_of_layers(tellers)
    out: list[Turns] = [(s.turn(times),) for s in writers[:6] for times in ALONE]
    out += [(s.turn(ALONE[1]),) for s in best]
    later = sorted(best, key=lambda s: s.layer)
    groups = [
        best,
        later[len(later) // 2 :],
        later[: (len(later) + 1) // 2],
        tellers[:MOST_TURNS],
        writers[:2],
        writers[:3],
    ]
    out += [tuple(s.turn(times) for s in group) for group in groups if len(group) > 1 for times in TOGETHER]
    return _unlike(out)


def _best_of_layers(tellers: Iterable[Suspect]) -> list[Suspect]:
    best: dict[int, Suspect] = {}
    for suspect in tellers:
        best.setdefault(suspect.layer, suspect)
    return list(best.values())[:LAYERS]


def near(turns: Turns, pool: Sequence[Suspect]) -> list[Turns]:
    """What differs by a step: all weaker or stronger, for a shorter or a longer start, one feature fewer, one more."""
    high = {(s.layer, s.feature): s.high for s in pool}
    times = median(turn.value / high[turn.layer, turn.feature] for turn in turns)
    out: list[Turns] = [scaled(turns, factor) for factor in (0.7, 1.4)]
    spans = (*STARTS, None)
    at = spans.index(turns[0].scope.stop)
    out += [lasting(turns, stop) for stop in spans[max(at - 1, 0) : at + 2] if stop != spans[at]]
    if len(turns) > 1:
        out += [turns[:n] + turns[n + 1 :] for n in range(len(turns))]
    if len(turns) < MOST_TURNS:
        own = {(turn.layer, turn.feature) for turn in turns}
        ranked = sorted(pool, key=lambda s: (-s.degree, -s.score))
        added = [s.turn(times) for s in ranked if (s.layer, s.feature) not in own][:MOST_ADDED]
        out += [(*turns, replace(turn, scope=turns[0].scope)) for turn in added]
    return _unlike(out)


def scaled(turns: Turns, factor: float) -> Turns:
    """The same features, all turned so many times as far."""
    return tuple(replace(turn, value=round(turn.value * factor, 1)) for turn in turns)


def lasting(turns: Turns, stop: int | None) -> Turns:
    """The same features, turned while so many new tokens are written; None: all of them."""
    return tuple(replace(turn, scope=replace(GENERATED, stop=stop)) for turn in turns)


def _unlike(candidates: Iterable[Turns]) -> list[Turns]:
    """Each once, whatever the order of its turns."""
    first_of: dict[frozenset[Intervention], Turns] = {}
    for turns in candidates:
        first_of.setdefault(frozenset(turns), turns)
    return list(first_of.values())
