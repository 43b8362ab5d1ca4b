"""A value that moves while a text is written."""

from __future__ import annotations

from dataclasses import dataclass

from mfn_core.errors import InterventionError
from mfn_core.interventions.numbers import check_value, check_whole
from mfn_core.interventions.scope import END


@dataclass(frozen=True, slots=True)
class Ramp:
    """Brings an intervention's value from `start` to the intervention's own value, linearly, over `steps` tokens.

    It begins at the first position of the scope; with the scope `both`, at the last token of the prompt, which writes
    the first new one. That position and all before it have `start`, the n-th after it has
    `start + n / steps · (value − start)`, and from the `steps`-th on the value holds. It counts positions of the text,
    whenever it was asked for: given again, or in the middle of a text, it is where it would be anyway (ours).

    Attributes:
        start: the value to begin with, in the units of the intervention's value.
        steps: from the first token, which has `start`, to the one that has the whole value; at least 1.
    """

    start: float
    steps: int

    def __post_init__(self) -> None:
        check_value("the value that a ramp starts with", self.start)
        check_whole("the steps of a ramp", self.steps)
        if not 1 <= self.steps < END:
            raise InterventionError(f"a ramp takes at least 1 step and fewer than {END}, not {self.steps}")
