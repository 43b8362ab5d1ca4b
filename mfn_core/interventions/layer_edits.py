"""The interventions on one layer, for every row of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.codes import SparseCodes
from mfn_core.interventions.arranging import N_MAPS, Action, Arranged, Extent

SILENT = -2  # stands for the number of an entry that does not fire; no feature, and not the −1 of an empty column


class LayerEdits:
    """The interventions on one layer for every row of a batch, as tensors that keep their place in memory.

    Attributes:
        signed: the code may be negative: no ReLU after the map.
        feature: int64 [rows, slots], what each column changes, every feature of a row once; −1 where nothing is.
        asked: int64 [rows, slots], the features that conditions of this and of later layers ask for; −1 where nothing
            is.
        above: float [rows, slots], what they must exceed.
        maps: float [4, rows, rounds, slots]: mul and add; the same before a ramp.
        when: int64 [5, rows, rounds, slots]: start and stop, the span of positions; the condition, 0 for none, else
            1 + a column of the answers; where the ramp begins, and its steps.
        used, used_asked, used_rounds: how many of them a step looks at.
        conditional, ramped: whether it looks at conditions, at ramps.
        answers: bool [rows, T, slots], which of `asked` held on the tokens of the latest forward pass; None before any.
    """

    def __init__(
        self,
        rows: int,
        slots: int,
        rounds: int | None,
        device: torch.device | str,
        dtype: torch.dtype,
        signed: bool,
        earlier: Sequence[LayerEdits] = (),
    ) -> None:
        """Room for `slots` interventions in each of `rows` rows, none there yet.

        Args:
            rows, slots, rounds, device, dtype: see `EditBuffers.allocate`.
            signed: the code may be negative.
            earlier: the edits of the layers before this one, in order, whose answers its conditions may need.
        """
        depth = slots if rounds is None else rounds
        self.signed = signed
        self.feature = torch.full((rows, slots), -1, dtype=torch.int64, device=device)
        self.asked = torch.full_like(self.feature, -1)
        self.above = torch.zeros(rows, slots, dtype=dtype, device=device)
        self.maps = torch.zeros(N_MAPS, rows, depth, slots, dtype=dtype, device=device)
        whole = len(Action._fields) - N_MAPS
        self.when = torch.zeros(whole, rows, depth, slots, dtype=torch.int64, device=device)
        self.answers: Tensor | None = None
        self._earlier = tuple(earlier)
        self._fixed = rounds is not None
        self._extents = [Extent()] * rows
        self.used, self.used_asked, self.used_rounds = (slots, slots, depth) if self._fixed else (0, 0, 0)
        self.conditional = self.ramped = self._fixed

    def put(self, row: int, arranged: Arranged) -> None:
        """Replaces what the row has. Where there was nothing and nothing comes, nothing is written."""
        extent = arranged.extent
        if extent == self._extents[row] == Extent():
            return
        self._extents[row] = extent
        if not self._fixed:
            self.used, self.used_asked, self.used_rounds = (max(e[n] for e in self._extents) for n in range(3))
            self.conditional = any(e.conditional for e in self._extents)
            self.ramped = any(e.ramped for e in self._extents)
        slots = self.feature.shape[1]
        features, asked = torch.full((2, slots), -1)
        features[: extent.columns] = torch.tensor(list(arranged.columns), dtype=torch.int64)
        asked[: extent.asked] = torch.tensor([feature for feature, _ in arranged.asked], dtype=torch.int64)
        above = torch.zeros(slots, dtype=torch.float64)
        above[: extent.asked] = torch.tensor([least for _, least in arranged.asked], dtype=torch.float64)
        self.feature[row], self.asked[row], self.above[row] = features, asked, above
        actions = torch.zeros(len(Action._fields), *self.maps.shape[2:], dtype=torch.float64)  # 0: an empty span
        if arranged.rounds:
            table = torch.tensor(arranged.rounds, dtype=torch.float64).permute(2, 0, 1)
            actions[:, : table.shape[1], : table.shape[2]] = table
        self.maps[:, row], self.when[:, row] = actions[:N_MAPS], actions[N_MAPS:]

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
        if used == 0 and self.used_asked == 0:
            return codes
        rows, tokens = codes.indices.shape[:2]
        if rows != self.feature.shape[0]:
            raise ValueError(f"edits for {self.feature.shape[0]} rows met a batch of {rows}")
        firing = torch.where(codes.fires, codes.indices, SILENT)[:, :, None]
        if self.used_asked:
            self.answers = self._answer(codes, firing)
        if used == 0:
            return codes
        feature = self.feature[:, None, :used]
        found, entry = (firing == feature[..., None]).max(-1)
        own = torch.arange(width, width + used, device=entry.device)
        place = torch.where(found, entry, own)  # [rows, T, used]: where each column's strength stands
        values = F.pad(codes.values, (0, used))
        z = values.gather(-1, place)
        met = self._met(rows, tokens) if self.conditional else None
        here = positions[..., None]
        for number in range(self.used_rounds):
            mul, add, mul_before, add_before = self.maps[:, :, None, number, :used].unbind(0)
            start, stop, condition, ramp_begins, ramp_steps = self.when[:, :, None, number, :used].unbind(0)
            if self.ramped:
                share = (here - ramp_begins).to(mul.dtype) / ramp_steps.clamp(min=1).to(mul.dtype)
                share = share.clamp(min=0)
                arrived = share >= 1
                mul = torch.where(arrived, mul, mul_before + share * (mul - mul_before))
                add = torch.where(arrived, add, add_before + share * (add - add_before))
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

    def _answer(self, codes: SparseCodes, firing: Tensor) -> Tensor:
        """bool [rows, T, slots]: which of the features asked for lie further from 0 than they must."""
        asked, above = self.asked[:, None, : self.used_asked], self.above[:, None, : self.used_asked]
        enough = codes.values.detach().abs()[:, :, None] > above[..., None]
        met = ((firing == asked[..., None]) & enough).any(-1)
        return F.pad(met, (0, self.asked.shape[1] - self.used_asked), value=False)

    def _met(self, rows: int, tokens: int) -> Tensor:
        """bool [rows, T, 1 + slots · layers so far]: the answers up to this layer, behind one that is always met."""
        answers = [edits.answers if edits.used_asked else None for edits in (*self._earlier, self)]
        nothing = self.asked.new_zeros((rows, tokens, self.asked.shape[1]), dtype=torch.bool)
        return F.pad(torch.cat([nothing if met is None else met for met in answers], -1), (1, 0), value=True)
