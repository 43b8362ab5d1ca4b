"""Batches of codes and of interventions for the property tests: few features, so that much meets on one of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from mfn_core import EditBuffers, Intervention, Scope, SparseCodes
from mfn_core.interventions import LayerEdits, Mode

N_FEATURES = 6
SLOTS = 6
LONGEST = 8  # positions run from 0 to here

features = st.integers(0, N_FEATURES - 1)
scopes = st.one_of(
    st.sampled_from([Scope("both"), Scope("prompt"), Scope("generation"), Scope("range"), Scope("range", 3)]),
    st.builds(
        lambda kind, start, length: Scope(kind, start, start + length),
        st.sampled_from(["range", "generation"]),
        st.integers(0, LONGEST),
        st.integers(1, LONGEST),
    ),
)


def interventions(signed: bool) -> st.SearchStrategy[Intervention]:
    """One intervention on layer 0; `set` and `scale` below 0 only where codes are signed."""

    def build(mode: Mode, value: float, feature: int, scope: Scope, condition: int | None) -> Intervention:
        return Intervention(0, feature, mode, value if signed or mode == "add" else abs(value), scope, condition)

    modes: list[Mode] = ["set", "add", "scale", "ablate"]
    values = st.floats(-100, 100) | st.sampled_from([-1.0, 0.0, 1.0])
    return st.builds(build, st.sampled_from(modes), values, features, scopes, st.none() | features)


@dataclass(frozen=True)
class Batch:
    """Codes with their positions, and what each row asks for."""

    codes: SparseCodes
    positions: Tensor
    asked: tuple[tuple[Intervention, ...], ...]
    prompt_lengths: tuple[int, ...]
    signed: bool

    @property
    def rows(self) -> int:
        return len(self.asked)

    def row(self, number: int) -> Batch:
        """One row on its own."""
        here = slice(number, number + 1)
        codes = SparseCodes(self.codes.indices[here], self.codes.values[here], N_FEATURES)
        positions = self.positions if self.positions.shape[0] == 1 else self.positions[here]
        return Batch(codes, positions, self.asked[here], self.prompt_lengths[here], self.signed)

    def allocate(self, rounds: int | None = None) -> EditBuffers:
        signed = [0] if self.signed else []
        return EditBuffers.allocate(
            {0: N_FEATURES}, self.rows, SLOTS, dtype=torch.float64, signed=signed, rounds=rounds
        )

    def edits(self, buffers: EditBuffers | None = None) -> LayerEdits:
        """The layer's edits with every row written."""
        buffers = buffers or self.allocate()
        for row, (asked, length) in enumerate(zip(self.asked, self.prompt_lengths, strict=True)):
            buffers.write(row, asked, length)
        return buffers.layers[0]

    def steered(self, rounds: int | None = None) -> SparseCodes:
        return self.edits(self.allocate(rounds)).apply(self.codes, self.positions)


@st.composite
def batches(draw: st.DrawFn, asked: st.SearchStrategy[Sequence[Intervention]] | None = None) -> Batch:
    """Any batch. Padding carries any feature number, also that of one that fires."""
    signed = draw(st.booleans())
    rows, tokens, width = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, N_FEATURES))
    luck = random.Random(draw(st.integers(0, 2**32)))
    indices, values = [], []
    for _ in range(rows * tokens):
        fires = luck.randint(0, width)
        order = luck.sample(range(N_FEATURES), width)
        indices += order[:fires] + [luck.randrange(N_FEATURES) for _ in range(width - fires)]
        values += [luck.choice([1.0, luck.uniform(1e-3, 9.0)]) for _ in range(fires)] + [0.0] * (width - fires)
    if signed:
        values = [luck.choice([-1.0, 1.0]) * value for value in values]
    shape = (rows, tokens, width)
    kept = torch.tensor(values, dtype=torch.float64).view(shape)
    shared = draw(st.booleans())
    start = [draw(st.integers(0, LONGEST - tokens)) for _ in range(1 if shared else rows)]
    each = st.lists(interventions(signed), max_size=SLOTS) if asked is None else asked
    return Batch(
        SparseCodes(torch.tensor(indices).view(shape), kept, N_FEATURES),
        torch.tensor([[first + token for token in range(tokens)] for first in start]),
        tuple(tuple(draw(each)) for _ in range(rows)),
        tuple(draw(st.integers(0, LONGEST)) for _ in range(rows)),
        signed,
    )
