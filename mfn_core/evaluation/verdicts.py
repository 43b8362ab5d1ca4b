"""Verdicts on predictions, by a rule that is fixed before anything is measured.

A prediction is a list of conditions, each on one estimate. A condition holds where all of its 95 % interval does, fails
where none of it does, and is undecided otherwise. A prediction holds where all of its conditions hold, fails where one
fails, and is undecided otherwise. One whose data or baseline is missing is not measured, which is none of the three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mfn_core.metrics.bootstrap import Estimate

Status = Literal["holds", "fails", "undecided", "not measured"]
Sense = Literal["at least", "above", "at most", "below"]


@dataclass(frozen=True)
class Condition:
    """What must be true of one number.

    Attributes:
        claim: in words.
        sense, bound: of the number; "above" and "below" are strict.
        estimate: what was measured; None where it was not.
        unit: of the number, such as "share" or "nats".
        why_not: why it was not measured.
    """

    claim: str
    sense: Sense
    bound: float
    estimate: Estimate | None
    unit: str = ""
    why_not: str = ""

    @property
    def status(self) -> Status:
        """By the interval."""
        if self.estimate is None:
            return "not measured"
        low, high, bound = self.estimate.low, self.estimate.high, self.bound
        match self.sense:
            case "at least":
                holds, fails = low >= bound, high < bound
            case "above":
                holds, fails = low > bound, high <= bound
            case "at most":
                holds, fails = high <= bound, low > bound
            case "below":
                holds, fails = high < bound, low >= bound
        return "holds" if holds else "fails" if fails else "undecided"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "claim": self.claim,
            "sense": self.sense,
            "bound": self.bound,
            "unit": self.unit,
            "estimate": None if self.estimate is None else self.estimate.to_json(),
            "status": self.status,
            "why_not": self.why_not,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Condition:
        """What `to_json` gave."""
        named = {name: data[name] for name in ("claim", "sense", "bound", "unit", "why_not")}
        return cls(estimate=None if data["estimate"] is None else Estimate(**data["estimate"]), **named)


@dataclass(frozen=True)
class Verdict:
    """How one prediction stands.

    Attributes:
        name: P1 to P5.
        claim: what is predicted, in words.
        conditions: all of which must hold.
        tables: the numbers behind them, as plain data by name.
    """

    name: str
    claim: str
    conditions: Sequence[Condition]
    tables: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """One that fails decides, whatever else was or was not measured."""
        found = {condition.status for condition in self.conditions} or {"not measured"}
        order: tuple[Status, ...] = ("fails", "not measured", "undecided", "holds")
        return next(status for status in order if status in found)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        conditions = [condition.to_json() for condition in self.conditions]
        return {
            "name": self.name,
            "claim": self.claim,
            "status": self.status,
            "conditions": conditions,
            "tables": self.tables,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Verdict:
        """What `to_json` gave."""
        conditions = [Condition.from_json(condition) for condition in data["conditions"]]
        return cls(data["name"], data["claim"], conditions, data["tables"])
