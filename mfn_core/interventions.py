"""What may be done to a code while a model runs, and how a batch of requests does it side by side.

Every mode is the same affine map on one entry of z, followed by ReLU, so that the map, not the mode, is what the
model's graph sees: `z' = max(mul · z + add, 0)`. Interventions act after TopK, in list order. Slots that are freed are
not refilled; a feature that did not fire counts as 0 and joins on `set` and `add`, so that K may be exceeded; a
condition reads the untouched code (design: "Interventions").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.codes import SparseCodes
from mfn_core.errors import InterventionError

Mode = Literal["set", "add", "scale", "ablate"]
ScopeKind = Literal["both", "prompt", "generation", "range"]

END = 2**31 - 1  # a position past every context


@dataclass(frozen=True, slots=True)
class Scope:
    """Where in the text an intervention acts.

    Attributes:
        kind: `both`, every position; `prompt`, the prompt's positions [0, P); `generation`, from position P − 1 on:
            the last token of the prompt is the first whose output is generated text; `range`, [start, stop).
        start, stop: token positions, the first token of the text being 0; only with `range`. No stop: to the end.
    """

    kind: ScopeKind = "both"
    start: int | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScopeKind):
            raise InterventionError(f"scope must be one of {', '.join(get_args(ScopeKind))}, not {self.kind!r}")
        if self.kind != "range":
            if self.start is not None or self.stop is not None:
                raise InterventionError(f"start and stop go with scope range, not with {self.kind}")
            return
        start, stop = self.start or 0, END if self.stop is None else self.stop
        if not 0 <= start < stop:
            raise InterventionError(f"a range runs from start to a later stop, both at least 0; not {start} to {stop}")

    def positions(self, prompt_length: int) -> tuple[int, int]:
        """The half-open span of token positions, for a prompt of that many tokens."""
        match self.kind:
            case "both":
                return 0, END
            case "prompt":
                return 0, prompt_length
            case "generation":
                return max(prompt_length - 1, 0), END
            case "range":
                return self.start or 0, END if self.stop is None else self.stop


@dataclass(frozen=True, slots=True)
class Intervention:
    """One change to one feature of one layer.

    Attributes:
        layer: number of the equipped block.
        feature: number of the feature in that layer.
        mode: `set` to value, `add` value, `scale` by value, or `ablate` (set to 0; value is ignored).
        value: in units of z; for `scale` a factor. Its effect on the stream is α · s_t · Δz · D_j.
        scope: where it acts.
        condition: a feature of the same layer that must fire, in the untouched code, for this one to act.
    """

    layer: int
    feature: int
    mode: Mode
    value: float = 0.0
    scope: Scope = field(default_factory=Scope)
    condition: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise InterventionError(f"mode must be one of {', '.join(get_args(Mode))}, not {self.mode!r}")
        if not math.isfinite(self.value):
            raise InterventionError(f"the value of an intervention must be a finite number, not {self.value}")
        if self.mode in ("set", "scale") and self.value < 0:
            raise InterventionError(f"{self.mode} takes a value of at least 0, since a feature cannot fire below 0")

    @property
    def affine(self) -> tuple[float, float]:
        """(mul, add) of z' = max(mul · z + add, 0)."""
        match self.mode:
            case "set":
                return 0.0, self.value
            case "add":
                return 1.0, self.value
            case "scale":
                return self.value, 0.0
            case "ablate":
                return 0.0, 0.0


def validate(interventions: Sequence[Intervention], n_features: Mapping[int, int]) -> None:
    """Checks that what the interventions name exists.

    Args:
        interventions: in the order in which they act.
        n_features: number of features by equipped block.

    Raises:
        InterventionError: on an unknown layer, feature or condition.
    """
    for number, intervention in enumerate(interventions, start=1):
        if intervention.layer not in n_features:
            known = ", ".join(map(str, sorted(n_features))) or "none"
            raise InterventionError(
                f"intervention {number}: block {intervention.layer} has no features; equipped blocks: {known}"
            )
        limit = n_features[intervention.layer]
        for name, feature in (("feature", intervention.feature), ("condition", intervention.condition)):
            if feature is not None and not 0 <= feature < limit:
                raise InterventionError(
                    f"intervention {number}: {name} {feature} does not exist; "
                    f"layer {intervention.layer} has features 0 to {limit - 1}"
                )


@dataclass(slots=True)
class LayerEdits:
    """The interventions on one layer for every row of a batch, as tensors that keep their place in memory.

    Attributes:
        feature, start, stop, condition: int64 [rows, slots]; condition −1 means none.
        mul, add: float [rows, slots].
        used: how many slots any row uses; the rest is not looked at.
    """

    feature: Tensor
    mul: Tensor
    add: Tensor
    start: Tensor
    stop: Tensor
    condition: Tensor
    used: int = 0

    @classmethod
    def allocate(cls, rows: int, slots: int, device: torch.device | str, dtype: torch.dtype) -> LayerEdits:
        """Room for `slots` interventions in each of `rows` rows, none of them active."""

        def whole(fill: int) -> Tensor:
            return torch.full((rows, slots), fill, dtype=torch.int64, device=device)

        return cls(
            feature=whole(0),
            mul=torch.ones(rows, slots, dtype=dtype, device=device),
            add=torch.zeros(rows, slots, dtype=dtype, device=device),
            start=whole(0),
            stop=whole(0),
            condition=whole(-1),
        )

    def apply(self, codes: SparseCodes, positions: Tensor) -> SparseCodes:
        """The code as each row's interventions leave it.

        Args:
            codes: [rows, T, K], non-negative.
            positions: int64 [rows or 1, T], the position of each token in its own text.

        Returns:
            [rows, T, K + used]. An entry that fires is changed where it stands and a feature that joins takes a
            column of its own, so that an intervention that changes nothing leaves every bit of the decoded sum alone.
        """
        if self.used == 0:
            return codes
        rows, tokens, width = codes.indices.shape
        if rows != self.feature.shape[0]:
            raise ValueError(f"edits for {self.feature.shape[0]} rows met a batch of {rows}")
        joined = self.feature[:, None, : self.used].expand(rows, tokens, self.used)
        indices = torch.cat([codes.indices, joined], dim=-1)
        values = F.pad(codes.values, (0, self.used))
        for slot in range(self.used):
            active = (positions >= self.start[:, slot, None]) & (positions < self.stop[:, slot, None])
            condition = self.condition[:, slot, None]
            met = ((codes.indices == condition[..., None]) & (codes.values > 0)).any(-1)
            active = active & (met | (condition < 0))
            here = (indices == self.feature[:, slot, None, None]) & (values != 0)
            current = torch.where(here, values, 0.0).sum(-1)
            changed = F.relu(self.mul[:, slot, None] * current + self.add[:, slot, None]).to(values.dtype)
            values = torch.where(here & active[..., None], changed[..., None], values)
            values[..., width + slot] = torch.where(active & ~here.any(-1), changed, values[..., width + slot])
        return SparseCodes(indices, values, codes.n_features)


class EditBuffers:
    """Preallocated interventions of a batch: one row a request, written when it starts or changes.

    The layers read these tensors, so that a step is the same graph whoever steers.
    """

    def __init__(self, layers: dict[int, LayerEdits], n_features: Mapping[int, int], slots: int) -> None:
        self.layers = layers
        self.slots = slots
        self._n_features = dict(n_features)
        rows = next(iter(layers.values())).feature.shape[0] if layers else 0
        self._written: list[tuple[Intervention, ...]] = [()] * rows

    @classmethod
    def allocate(
        cls,
        n_features: Mapping[int, int],
        rows: int,
        slots: int = 16,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> EditBuffers:
        """Room for `slots` interventions a layer in each of `rows` requests.

        Args:
            n_features: number of features by equipped block, as `MFNModel.n_features` gives it.
        """
        layers = {layer: LayerEdits.allocate(rows, slots, device, dtype) for layer in n_features}
        return cls(layers, n_features, slots)

    def write(self, row: int, interventions: Sequence[Intervention], prompt_length: int) -> None:
        """Replaces what the row has. Nothing is written unless everything is valid.

        Raises:
            InterventionError: on an unknown layer or feature, or more interventions on one layer than there are slots.
        """
        validate(interventions, self._n_features)
        by_layer: dict[int, list[Intervention]] = {}
        for intervention in interventions:
            by_layer.setdefault(intervention.layer, []).append(intervention)
        for layer, chosen in by_layer.items():
            if len(chosen) > self.slots:
                raise InterventionError(
                    f"{len(chosen)} interventions on layer {layer}: at most {self.slots} can act on one layer at once"
                )
        self._written[row] = tuple(interventions)
        for layer, edits in self.layers.items():
            chosen = by_layer.get(layer, [])
            edits.stop[row] = 0  # an empty span: a slot that is not written acts nowhere
            for slot, intervention in enumerate(chosen):
                mul, add = intervention.affine
                start, stop = intervention.scope.positions(prompt_length)
                edits.feature[row, slot] = intervention.feature
                edits.mul[row, slot] = mul
                edits.add[row, slot] = add
                edits.condition[row, slot] = -1 if intervention.condition is None else intervention.condition
                edits.start[row, slot] = start
                edits.stop[row, slot] = stop
            edits.used = max((sum(i.layer == layer for i in row_) for row_ in self._written), default=0)

    def clear(self, row: int) -> None:
        """Takes every intervention off the row."""
        self.write(row, (), 0)
