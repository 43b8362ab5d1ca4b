"""One change to one feature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from mfn_core.errors import InterventionError
from mfn_core.interventions.condition import Condition
from mfn_core.interventions.numbers import check_value, check_whole
from mfn_core.interventions.ramp import Ramp
from mfn_core.interventions.scope import Scope

Mode = Literal["set", "add", "scale", "ablate"]


@dataclass(frozen=True, slots=True)
class Intervention:
    """One change to one feature of one layer.

    Attributes:
        layer: number of the equipped block.
        feature: number of the feature in that layer.
        mode: `set` to value, `add` value, `scale` by value, or `ablate` (set to 0; value is ignored).
        value: in units of z; for `scale` a factor. Its effect on the stream is α · s_t · Δz · D_j. Below 0 it goes
            with `add` everywhere, with `set` and `scale` on signed codes alone, which `validate` knows.
        scope: where it acts.
        condition: a feature that must fire, in the untouched code, for this one to act: the number of one of the same
            layer, or a `Condition`.
        ramp: how the value is reached; None, it is there from the start. Not with `ablate`, nor with the scope
            `prompt`, where no text is written.
    """

    layer: int
    feature: int
    mode: Mode
    value: float = 0.0
    scope: Scope = field(default_factory=Scope)
    condition: int | Condition | None = None
    ramp: Ramp | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise InterventionError(f"mode must be one of {', '.join(get_args(Mode))}, not {self.mode!r}")
        check_value("the value of an intervention", self.value)
        check_whole("layer", self.layer)
        check_whole("feature", self.feature)
        if self.condition is not None and not isinstance(self.condition, Condition):
            check_whole("condition", self.condition)
        if self.ramp is not None:
            self._check_ramp(self.ramp)

    def _check_ramp(self, ramp: Ramp) -> None:
        if self.mode == "ablate":
            raise InterventionError("ablate has no value to ramp: scale from 1 to 0 instead")
        if self.scope.kind == "prompt":
            raise InterventionError("a ramp goes over new tokens: it does not go with the scope prompt")
        check_value("what a ramp goes through", self.value - ramp.start)

    @property
    def asks(self) -> Condition | None:
        """The condition in full, its layer named; None where there is none."""
        match self.condition:
            case None:
                return None
            case Condition(feature, above, layer):
                return Condition(feature, above, self.layer if layer is None else layer)
            case feature:
                return Condition(feature, layer=self.layer)

    @property
    def values(self) -> tuple[float, ...]:
        """All values that it names: what a ramp starts with, and its own. `ablate` names none."""
        if self.mode == "ablate":
            return ()
        return (self.value,) if self.ramp is None else (self.ramp.start, self.value)

    @property
    def affine(self) -> tuple[float, float]:
        """(mul, add) of z' = max(mul · z + add, 0); of z' = mul · z + add where the code is signed. After a ramp."""
        return self._affine(self.value)

    @property
    def affine_before(self) -> tuple[float, float]:
        """The same before a ramp. In between both numbers go from these to those linearly, whatever the mode."""
        return self._affine(self.value if self.ramp is None else self.ramp.start)

    def _affine(self, value: float) -> tuple[float, float]:
        match self.mode:
            case "set":
                return 0.0, value
            case "add":
                return 1.0, value
            case "scale":
                return value, 0.0
            case "ablate":
                return 0.0, 0.0
