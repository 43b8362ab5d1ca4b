"""What is searched for, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mfn_core.evaluation.steering import SteerEffect
from mfn_core.intervals import Share
from mfn_core.interventions import Intervention, Scope
from mfn_core.text_tests import TextTest

LEAST_SHARE = 0.5  # of steered texts that must pass, greedy and sampled
LEAST_LIFT = 5.0  # times the control's share
MOST_STRANGE = 2.0  # times the perplexity of plain texts
MOST_PLAIN = 0.05  # of plain texts that may pass: a test that more of them pass tells nothing

GENERATED = Scope("generation")
Turns = tuple[Intervention, ...]


@dataclass(frozen=True)
class Goal:
    """Something that a model may be made to write.

    Attributes:
        id: tells it from others, KIND/NAME.
        name, description: for people.
        test: of a continuation.
    """

    id: str
    name: str
    description: str
    test: TextTest


@dataclass(frozen=True)
class Finding:
    """The best that was found for a goal.

    Attributes:
        goal: what was searched for.
        plain: share of untouched texts that pass the test, greedy and sampled together.
        turns: what is turned; empty where nothing came near.
        chosen: how much of the texts over the choice prompts passed, the lesser of greedy and sampled.
        strange: their perplexity over that of plain ones, the greater of the two.
        prompt: a choice prompt that shows it.
        greedy, sampled: over the prompts for scoring; None where too little passed to be measured.
    """

    goal: Goal
    plain: Share
    turns: Turns = ()
    chosen: float = 0.0
    strange: float = float("nan")
    prompt: str = ""
    greedy: SteerEffect | None = None
    sampled: SteerEffect | None = None

    @property
    def loose(self) -> bool:
        """Whether the test is passed by plain text too often to tell anything."""
        return self.plain.value > MOST_PLAIN

    @property
    def passes(self) -> bool:
        """Whether it works, greedy and sampled."""
        effects = (self.greedy, self.sampled)
        return not self.loose and all(effect is not None and works(effect) for effect in effects)


def works(effect: SteerEffect) -> bool:
    """Whether at least half of the steered texts pass, five times as many as under other features, beyond chance, and
    they read at most twice as strange as plain ones."""
    share, control = effect.steered.value, effect.control.value
    return effect.shows and share >= LEAST_SHARE and share >= LEAST_LIFT * control


def turns_to_json(turns: Turns) -> list[list[Any]]:
    """[[layer, feature, value, new tokens for which it is turned or None], …]."""
    return [[turn.layer, turn.feature, turn.value, turn.scope.stop] for turn in turns]


def turns_from_json(rows: Sequence[Sequence[Any]]) -> Turns:
    """The opposite of `turns_to_json`."""
    return tuple(
        Intervention(int(layer), int(feature), "set", float(value), replace(GENERATED, stop=stop))
        for layer, feature, value, stop in rows
    )


def effect_to_json(effect: SteerEffect) -> dict[str, Any]:
    """Plain data that `effect_from_json` reads."""
    return {
        "name": effect.name,
        "steered": list(effect.steered),
        "plain": list(effect.plain),
        "control": list(effect.control),
        "perplexity": effect.perplexity,
        "plain_perplexity": effect.plain_perplexity,
    }


def effect_from_json(row: dict[str, Any]) -> SteerEffect:
    """The opposite of `effect_to_json`."""
    shares = {key: Share(*row[key]) for key in ("steered", "plain", "control")}
    return SteerEffect(row["name"], **shares, perplexity=row["perplexity"], plain_perplexity=row["plain_perplexity"])
