"""Batches of codes and of interventions for the property tests: few features, so that much meets on one of them.

Two layers: interventions are on the later one, conditions ask either.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from mfn_core import Condition, EditBuffers, Intervention, Ramp, Scope, SparseCodes
from mfn_core.interventions import LayerEdits, Mode

from .reference import Code

EARLIER, LAYER = 0, 1
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


conditions = st.one_of(
    st.none(),
    features,
    st.builds(Condition, features, st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 9), st.sampled_from([None, 0, 1])),
)


@st.composite
def interventions(draw: st.DrawFn, signed: bool) -> Intervention:
    """One intervention on the later layer; `set` and `scale` below 0 only where codes are signed."""
    modes: list[Mode] = ["set", "add", "scale", "ablate"]
    mode, scope = draw(st.sampled_from(modes)), draw(scopes)
    values = st.floats(-100, 100) | st.sampled_from([-1.0, 0.0, 1.0])
    if not signed and mode != "add":
        values = values.map(abs)
    ramp = None
    if mode != "ablate" and scope.kind != "prompt":
        ramp = draw(st.none() | st.builds(Ramp, values, st.integers(1, LONGEST)))
    return Intervention(LAYER, draw(features), mode, draw(values), scope, draw(conditions), ramp)


def code_of(codes: SparseCodes, row: int, token: int) -> Code:
    """The features that fire on one token; each must stand there once."""
    entries = zip(codes.indices[row, token].tolist(), codes.values[row, token].tolist(), strict=True)
    firing = [(feature, value) for feature, value in entries if value != 0]
    assert len(dict(firing)) == len(firing)
    return dict(firing)


@dataclass(frozen=True)
class Batch:
    """The codes of both layers with their positions, and what each row asks for."""

    earlier: SparseCodes
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
        earlier, codes = (
            SparseCodes(both.indices[here], both.values[here], N_FEATURES) for both in (self.earlier, self.codes)
        )
        positions = self.positions if self.positions.shape[0] == 1 else self.positions[here]
        return Batch(earlier, codes, positions, self.asked[here], self.prompt_lengths[here], self.signed)

    def untouched(self, row: int, token: int) -> dict[int, Code]:
        """One token's codes by layer."""
        return {EARLIER: code_of(self.earlier, row, token), LAYER: code_of(self.codes, row, token)}

    def allocate(self, rounds: int | None = None) -> EditBuffers:
        both = {EARLIER: N_FEATURES, LAYER: N_FEATURES}
        signed = list(both) if self.signed else []
        return EditBuffers.allocate(both, self.rows, SLOTS, dtype=torch.float64, signed=signed, rounds=rounds)

    def edits(self, buffers: EditBuffers | None = None) -> LayerEdits:
        """The later layer's edits with every row written, and the earlier layer computed."""
        buffers = buffers or self.allocate()
        for row, (asked, length) in enumerate(zip(self.asked, self.prompt_lengths, strict=True)):
            buffers.write(row, asked, length)
        passed = buffers.layers[EARLIER].apply(self.earlier, self.positions)
        assert torch.equal(passed.values[..., : self.earlier.width], self.earlier.values)  # asked, not touched
        return buffers.layers[LAYER]

    def steered(self, rounds: int | None = None) -> SparseCodes:
        return self.edits(self.allocate(rounds)).apply(self.codes, self.positions)


@st.composite
def batches(draw: st.DrawFn, asked: st.SearchStrategy[Sequence[Intervention]] | None = None) -> Batch:
    """Any batch. Padding carries any feature number, also that of one that fires."""
    signed = draw(st.booleans())
    rows, tokens, width = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, N_FEATURES))
    luck = random.Random(draw(st.integers(0, 2**32)))
    shared = draw(st.booleans())
    start = [draw(st.integers(0, LONGEST - tokens)) for _ in range(1 if shared else rows)]
    each = st.lists(interventions(signed), max_size=SLOTS) if asked is None else asked
    return Batch(
        _codes(luck, (rows, tokens, draw(st.integers(1, N_FEATURES))), signed),
        _codes(luck, (rows, tokens, width), signed),
        torch.tensor([[first + token for token in range(tokens)] for first in start]),
        tuple(tuple(draw(each)) for _ in range(rows)),
        tuple(draw(st.integers(0, LONGEST)) for _ in range(rows)),
        signed,
    )


def _codes(luck: random.Random, shape: tuple[int, int, int], signed: bool) -> SparseCodes:
    rows, tokens, width = shape
    indices, values = [], []
    for _ in range(rows * tokens):
        fires = luck.randint(0, width)
        order = luck.sample(range(N_FEATURES), width)
        indices += order[:fires] + [luck.randrange(N_FEATURES) for _ in range(width - fires)]
        values += [luck.choice([1.0, luck.uniform(1e-3, 9.0)]) for _ in range(fires)] + [0.0] * (width - fires)
    if signed:
        values = [luck.choice([-1.0, 1.0]) * value for value in values]
    return SparseCodes(
        torch.tensor(indices).view(shape), torch.tensor(values, dtype=torch.float64).view(shape), N_FEATURES
    )
