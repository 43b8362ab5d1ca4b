"""Interventions of one row, sorted so that a step can take them side by side.

Order can only matter between interventions on one feature, since none reads what another wrote elsewhere. So what is
written for a row is sorted into columns, one a feature, and rounds, one for each further intervention on the same
feature: a step finds all features at once and then takes as many rounds as the busiest feature of any row has
interventions, mostly one (ours). Maps of one feature are not multiplied out beforehand: with scopes and conditions of
their own they do not all act together, and taken one by one they round as they would alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from mfn_core.errors import InterventionError
from mfn_core.interventions.intervention import Intervention

N_MAPS = 4  # the first fields of an `Action`, kept as floating point; the others are whole numbers


class Action(NamedTuple):
    """One intervention as numbers. The defaults act nowhere.

    Attributes:
        mul, add: the map, after its ramp if it has one.
        mul_before, add_before: the map before its ramp.
        start, stop: the span of positions.
        condition: 0 for none, else 1 + the column of the answer to it, `slots` columns a layer.
        ramp_begins, ramp_steps: where the ramp begins and how many positions it takes; 0 steps where there is none.
    """

    mul: float = 0.0
    add: float = 0.0
    mul_before: float = 0.0
    add_before: float = 0.0
    start: int = 0
    stop: int = 0
    condition: int = 0
    ramp_begins: int = 0
    ramp_steps: int = 0


class Extent(NamedTuple):
    """How much of a layer's tensors one row fills; the last two say whether any action has a condition, a ramp."""

    columns: int = 0
    asked: int = 0
    rounds: int = 0
    conditional: bool = False
    ramped: bool = False


@dataclass(slots=True)
class Arranged:
    """One row's share in one layer, sorted into columns and rounds.

    Attributes:
        columns: what is done to each feature, in list order; features in order of first mention.
        asked: the (feature, above) that conditions of this layer and of later ones ask for, each once.
    """

    columns: dict[int, list[Action]] = field(default_factory=dict)
    asked: dict[tuple[int, float], int] = field(default_factory=dict)

    @property
    def rounds(self) -> list[tuple[Action, ...]]:
        """What acts in each round, by column."""
        return list(zip_longest(*self.columns.values(), fillvalue=Action()))

    @property
    def extent(self) -> Extent:
        """How much room it takes."""
        actions = [action for column in self.columns.values() for action in column]
        return Extent(
            len(self.columns),
            len(self.asked),
            max(map(len, self.columns.values()), default=0),
            any(action.condition for action in actions),
            any(action.ramp_steps for action in actions),
        )


def arrange(
    interventions: Sequence[Intervention], prompt_length: int, layers: Sequence[int], slots: int
) -> dict[int, Arranged]:
    """Sorts one row's interventions.

    Args:
        interventions: valid ones, in list order.
        prompt_length: P, from which scopes and ramps become positions.
        layers: the equipped blocks in order.
        slots: columns a layer has for features, and as many for what it is asked.

    Raises:
        InterventionError: more interventions on one layer than there are slots, or more different conditions on it.
    """
    rank = {layer: number for number, layer in enumerate(layers)}
    arranged = {layer: Arranged() for layer in layers}
    for one in interventions:
        begins, steps = (0, 0) if one.ramp is None else (one.scope.ramp_begins(prompt_length), one.ramp.steps)
        condition = 0
        if (asks := one.asks) is not None:
            assert asks.layer is not None, "named by `asks`"
            asked = arranged[asks.layer].asked
            column = asked.setdefault((asks.feature, asks.above), len(asked))
            condition = 1 + rank[asks.layer] * slots + column
        span = one.scope.positions(prompt_length)
        action = Action(*one.affine, *one.affine_before, *span, condition, begins, steps)
        arranged[one.layer].columns.setdefault(one.feature, []).append(action)
    for layer, here in arranged.items():
        number = sum(map(len, here.columns.values()))
        if number > slots:
            raise InterventionError(
                f"{number} interventions on layer {layer}: at most {slots} can act on one layer at once"
            )
        if len(here.asked) > slots:
            raise InterventionError(
                f"{len(here.asked)} different conditions on layer {layer}: at most {slots} can be asked of one layer"
            )
    return arranged
