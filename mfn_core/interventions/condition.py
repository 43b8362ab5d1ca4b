"""What must hold on a token for an intervention to act there."""

from __future__ import annotations

from dataclasses import dataclass

from mfn_core.errors import InterventionError
from mfn_core.interventions.numbers import check_value, check_whole


@dataclass(frozen=True, slots=True)
class Condition:
    """A feature that must fire on the token, in the untouched code: as its layer computed it from its input.

    Attributes:
        feature: number of the feature in its layer.
        above: it must lie further from 0 than this, in units of z; with 0, firing is enough. Of raw neurons nearly
            all fire always: there it is what makes a condition one.
        layer: an equipped block at or before the intervention's own; None, its own.
    """

    feature: int
    above: float = 0.0
    layer: int | None = None

    def __post_init__(self) -> None:
        check_whole("condition", self.feature)
        check_value("what a condition must exceed", self.above)
        if self.above < 0:
            raise InterventionError(f"what a condition must exceed is at least 0, not {self.above}")
        if self.layer is not None:
            check_whole("the layer of a condition", self.layer)
