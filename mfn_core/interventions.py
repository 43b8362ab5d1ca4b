"""What may be done to a code while a model runs, and how a batch of requests does it side by side.

Every mode is the same affine map on one entry of z, followed by ReLU, so that the map, not the mode, is what the
model's graph sees: `z' = max(mul · z + add, 0)`; where a code is signed, without the ReLU. Interventions act after
TopK, in list order. Slots that are freed are not refilled; a feature that did not fire counts as 0 and joins on `set`
and `add`, so that K may be exceeded; a condition reads the untouched code (design: "Interventions").

Order can only matter between interventions on one feature, since none reads what another wrote elsewhere. So what is
written for a row is sorted into columns, one a feature, and rounds, one for each further intervention on the same
feature: a step finds all features at once and then takes as many rounds as the busiest feature of any row has
interventions, mostly one (ours). Maps of one feature are not multiplied out beforehand: with scopes and conditions of
their own they do not all act together, and taken one by one they round as they would alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from numbers import Integral
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.codes import SparseCodes
from mfn_core.errors import InterventionError

Mode = Literal["set", "add", "scale", "ablate"]
ScopeKind = Literal["both", "prompt", "generation", "range"]

LARGEST = torch.finfo(torch.float32).max
END = 2**31 - 1  # a position past every context
SILENT = -2  # stands for the number of an entry that does not fire; no feature, and not the −1 of an empty column


@dataclass(frozen=True, slots=True)
class Scope:
    """Where in the text an intervention acts.

    Attributes:
        kind: `both`, every position; `prompt`, the prompt's positions [0, P); `generation`, from position P − 1 on:
            the last token of the prompt is the first whose output is generated text; `range`, [start, stop).
        start, stop: with `range`, token positions, the first token of the text being 0. With `generation`, new tokens:
            it acts while those numbered start to stop − 1 are written, the first being 0. No stop: to the end.
    """

    kind: ScopeKind = "both"
    start: int | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScopeKind):
            raise InterventionError(f"scope must be one of {', '.join(get_args(ScopeKind))}, not {self.kind!r}")
        if self.kind in ("both", "prompt") and (self.start is not None or self.stop is not None):
            raise InterventionError(f"start and stop go with the scopes generation and range, not with {self.kind}")
        start, stop = self._span
        if not 0 <= start < stop:
            raise InterventionError(f"a scope runs from start to a later stop, both at least 0; not {start} to {stop}")

    @property
    def _span(self) -> tuple[int, int]:
        return self.start or 0, END if self.stop is None else self.stop

    def positions(self, prompt_length: int) -> tuple[int, int]:
        """The half-open span of token positions, for a prompt of that many tokens."""
        match self.kind:
            case "both":
                return 0, END
            case "prompt":
                return 0, prompt_length
            case "generation":
                first = max(prompt_length - 1, 0)
                start, stop = self._span
                return min(first + start, END), min(first + stop, END)
            case "range":
                return self._span


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
        if abs(self.value) > LARGEST:
            raise InterventionError(f"the value of an intervention must fit single precision, not {self.value}")
        for name, number in (("layer", self.layer), ("feature", self.feature), ("condition", self.condition)):
            if number is not None and not isinstance(number, Integral):
                raise InterventionError(f"{name} must be a whole number, not {number!r}")

    @property
    def affine(self) -> tuple[float, float]:
        """(mul, add) of z' = max(mul · z + add, 0); of z' = mul · z + add where the code is signed."""
        match self.mode:
            case "set":
                return 0.0, self.value
            case "add":
                return 1.0, self.value
            case "scale":
                return self.value, 0.0
            case "ablate":
                return 0.0, 0.0


def validate(
    interventions: Sequence[Intervention], n_features: Mapping[int, int], signed: Collection[int] = ()
) -> None:
    """Checks that what the interventions name exists and can take their values.

    Args:
        interventions: in the order in which they act.
        n_features: number of features by equipped block.
        signed: the blocks whose codes may be negative.

    Raises:
        InterventionError: on an unknown layer, feature or condition, and on a value below 0 for `set` or `scale`
            where features cannot fire below 0.
    """
    for number, intervention in enumerate(interventions, start=1):
        layer, mode = intervention.layer, intervention.mode
        if layer not in n_features:
            known = ", ".join(map(str, sorted(n_features))) or "none"
            raise InterventionError(f"intervention {number}: block {layer} has no features; equipped blocks: {known}")
        limit = n_features[layer]
        for name, feature in (("feature", intervention.feature), ("condition", intervention.condition)):
            if feature is not None and not 0 <= feature < limit:
                raise InterventionError(
                    f"intervention {number}: {name} {feature} does not exist; "
                    f"layer {layer} has features 0 to {limit - 1}"
                )
        if mode in ("set", "scale") and intervention.value < 0 and layer not in signed:
            raise InterventionError(
                f"intervention {number}: {mode} takes a value of at least 0, since a feature of layer {layer} cannot "
                f"fire below 0; not {intervention.value}"
            )


class _Action(NamedTuple):
    """One intervention as numbers. The defaults act nowhere."""

    mul: float = 0.0
    add: float = 0.0
    start: int = 0
    stop: int = 0
    condition: int = 0  # 0 for none, else 1 + the column of what is asked for


@dataclass(frozen=True, slots=True)
class _Arranged:
    """One row's interventions on one layer, sorted into columns and rounds.

    Attributes:
        features: what each column changes, in order of first mention.
        asked: the features that conditions ask for, each once.
        rounds: what acts in each round, by column.
    """

    features: list[int]
    asked: list[int]
    rounds: list[list[_Action]]

    @classmethod
    def of(cls, interventions: Sequence[Intervention], prompt_length: int) -> _Arranged:
        """Sorts interventions on one layer, given in list order."""
        columns: dict[int, list[_Action]] = {}
        asked: dict[int, int] = {}
        for one in interventions:
            condition = 0 if one.condition is None else asked.setdefault(one.condition, len(asked) + 1)
            action = _Action(*one.affine, *one.scope.positions(prompt_length), condition)
            columns.setdefault(one.feature, []).append(action)
        rounds = [list(actions) for actions in zip_longest(*columns.values(), fillvalue=_Action())]
        return cls(list(columns), list(asked), rounds)

    @property
    def extent(self) -> tuple[int, int, int]:
        """How many columns, columns asked for, and rounds."""
        return len(self.features), len(self.asked), len(self.rounds)


class LayerEdits:
    """The interventions on one layer for every row of a batch, as tensors that keep their place in memory.

    Attributes:
        signed: the code may be negative: no ReLU after the map.
        feature: int64 [rows, slots], what each column changes, every feature of a row once; −1 where nothing is.
        asked: int64 [rows, slots], the features that conditions ask for; −1 where nothing is.
        maps: float [2, rows, rounds, slots], mul and add.
        when: int64 [3, rows, rounds, slots]: start and stop, the span of positions, and the condition, 0 for none,
            else 1 + a column of `asked`.
        used, used_asked, used_rounds: how many of them a step looks at.
    """

    def __init__(
        self, rows: int, slots: int, rounds: int | None, device: torch.device | str, dtype: torch.dtype, signed: bool
    ) -> None:
        """Room for `slots` interventions in each of `rows` rows, none there yet. For `rounds` see `EditBuffers`."""
        depth = slots if rounds is None else rounds
        self.signed = signed
        self.feature = torch.full((rows, slots), -1, dtype=torch.int64, device=device)
        self.asked = torch.full_like(self.feature, -1)
        self.maps = torch.zeros(2, rows, depth, slots, dtype=dtype, device=device)
        self.when = torch.zeros(3, rows, depth, slots, dtype=torch.int64, device=device)
        self._fixed = rounds is not None
        self._extents = [(0, 0, 0)] * rows
        self.used, self.used_asked, self.used_rounds = (slots, slots, depth) if self._fixed else (0, 0, 0)

    def put(self, row: int, arranged: _Arranged) -> None:
        """Replaces what the row has. Where there was nothing and nothing comes, nothing is written."""
        if arranged.extent == self._extents[row] == (0, 0, 0):
            return
        self._extents[row] = arranged.extent
        if not self._fixed:
            self.used, self.used_asked, self.used_rounds = map(max, zip(*self._extents, strict=True))
        columns = torch.full((2, self.feature.shape[1]), -1)
        for part, features in zip(columns, (arranged.features, arranged.asked), strict=True):
            part[: len(features)] = torch.tensor(features, dtype=torch.int64)
        self.feature[row], self.asked[row] = columns
        actions = torch.zeros(5, *self.maps.shape[2:], dtype=torch.float64)  # 0 throughout is an empty span
        if arranged.rounds:
            table = torch.tensor(arranged.rounds, dtype=torch.float64).permute(2, 0, 1)
            actions[:, : table.shape[1], : table.shape[2]] = table
        self.maps[:, row], self.when[:, row] = actions[:2], actions[2:]

    def apply(self, codes: SparseCodes, positions: Tensor) -> SparseCodes:
        """The code as each row's interventions leave it.

        Args:
            codes: [rows, T, K]; non-negative unless `signed`.
            positions: int64 [rows or 1, T], the position of each token in its own text.

        Returns:
            [rows, T, K + used]. An entry that fires is changed where it stands and a feature that joins takes a
            column of its own, so that an intervention that changes nothing leaves every bit of the decoded sum alone.
            The largest tensor on the way is bool [rows, T, used, K]. Differentiable in the values.

        Raises:
            ValueError: the batch has another number of rows.
        """
        used, width = self.used, codes.width
        if used == 0:
            return codes
        rows, tokens = codes.indices.shape[:2]
        if rows != self.feature.shape[0]:
            raise ValueError(f"edits for {self.feature.shape[0]} rows met a batch of {rows}")
        feature = self.feature[:, None, :used]
        firing = torch.where(codes.fires, codes.indices, SILENT)[:, :, None]
        found, entry = (firing == feature[..., None]).max(-1)
        own = torch.arange(width, width + used, device=entry.device)
        place = torch.where(found, entry, own)  # [rows, T, used]: where each column's strength stands
        values = F.pad(codes.values, (0, used))
        z = values.gather(-1, place)
        met: Tensor | None = None
        if self.used_asked:
            met = (firing == self.asked[:, None, : self.used_asked, None]).any(-1)
            met = F.pad(met, (1, 0), value=True)  # [rows, T, 1 + used_asked]: no condition is always met
        here = positions[..., None]
        for number in range(self.used_rounds):
            mul, add = self.maps[:, :, None, number, :used].unbind(0)
            start, stop, condition = self.when[:, :, None, number, :used].unbind(0)
            acts = (here >= start) & (here < stop)
            if met is not None:
                acts = acts & met.gather(-1, condition.expand(rows, tokens, used))
            changed = mul * z + add
            if not self.signed:
                changed = F.relu(changed)
            z = torch.where(acts, changed.to(z.dtype), z)
        joined = feature.clamp(min=0).expand(rows, tokens, used)
        indices = torch.cat([codes.indices, joined], dim=-1)
        return SparseCodes(indices, values.scatter(-1, place, z), codes.n_features)


class EditBuffers:
    """Preallocated interventions of a batch: one row a request, written when it starts or changes.

    The layers read these tensors, so that a step is the same graph whoever steers.

    Attributes:
        layers: by equipped block.
        slots: how many interventions on one layer a row can have.
        rounds: how many of them on one feature.
    """

    def __init__(
        self,
        layers: Mapping[int, LayerEdits],
        n_features: Mapping[int, int],
        slots: int,
        rounds: int,
    ) -> None:
        self.layers = dict(layers)
        self.slots = slots
        self.rounds = rounds
        self._n_features = dict(n_features)

    @classmethod
    def allocate(
        cls,
        n_features: Mapping[int, int],
        rows: int,
        slots: int = 16,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        signed: Collection[int] = (),
        rounds: int | None = None,
    ) -> EditBuffers:
        """Room for `slots` interventions a layer in each of `rows` requests.

        Args:
            n_features: number of features by equipped block, as `MFNModel.n_features` gives it.
            dtype: in which values are kept and maps are taken.
            signed: the blocks whose codes may be negative, as `MFNModel.signed` gives them.
            rounds: None: a step looks at as much as is written and no more, and a code is as wide as that asks.
                A number: a step looks at all slots and at so many interventions on one feature, whatever is written,
                so that compiled or captured as a CUDA graph it serves every request.
        """
        layers = {layer: LayerEdits(rows, slots, rounds, device, dtype, layer in signed) for layer in n_features}
        return cls(layers, n_features, slots, slots if rounds is None else rounds)

    def write(self, row: int, interventions: Sequence[Intervention], prompt_length: int) -> None:
        """Replaces what the row has. Nothing is written unless everything is valid.

        Raises:
            InterventionError: see `validate`; also more interventions on one layer than there are slots, or more
                on one feature than there are rounds.
        """
        validate(interventions, self._n_features, [layer for layer, edits in self.layers.items() if edits.signed])
        by_layer: dict[int, list[Intervention]] = {layer: [] for layer in self.layers}
        for intervention in interventions:
            by_layer[intervention.layer].append(intervention)
        arranged = {layer: _Arranged.of(chosen, prompt_length) for layer, chosen in by_layer.items()}
        for layer, chosen in by_layer.items():
            if len(chosen) > self.slots:
                raise InterventionError(
                    f"{len(chosen)} interventions on layer {layer}: at most {self.slots} can act on one layer at once"
                )
            if len(arranged[layer].rounds) > self.rounds:
                raise InterventionError(
                    f"{len(arranged[layer].rounds)} interventions on one feature of layer {layer}: at most "
                    f"{self.rounds} can follow one another"
                )
        for layer, edits in self.layers.items():
            edits.put(row, arranged[layer])

    def clear(self, row: int) -> None:
        """Takes every intervention off the row."""
        self.write(row, (), 0)
