"""Rows of one batch steered differently through a whole model."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mfn_core import Condition, EditBuffers, Intervention, MFNModel, Ramp, Scope
from mfn_core.errors import InterventionError

from .strategies import scopes

ROWS, TOKENS, PROMPT, SHOWN = 3, 7, 4, 6

features = st.integers(0, SHOWN - 1)
plain = st.builds(
    Intervention,
    layer=st.integers(0, 1),
    feature=features,
    mode=st.sampled_from(["set", "add", "scale", "ablate"]),
    value=st.floats(0, 20),
    scope=scopes,
    condition=st.none() | features,
)
moving = st.builds(
    Intervention,
    layer=st.just(1),
    feature=features,
    mode=st.sampled_from(["set", "add", "scale"]),
    value=st.floats(0, 20),
    scope=st.sampled_from([Scope(), Scope("generation", 1)]),
    condition=st.builds(Condition, features, st.floats(0, 1), st.sampled_from([None, 0])),
    ramp=st.builds(Ramp, st.floats(0, 20), st.integers(1, 4)),
)
asked = plain | moving
rows = st.lists(st.lists(asked, max_size=5), min_size=ROWS, max_size=ROWS)


@pytest.fixture(scope="module")
def model(tiny_model: MFNModel) -> MFNModel:
    return copy.deepcopy(tiny_model).double()


def logits(model: MFNModel, ids: Tensor, by_row: Sequence[Sequence[Intervention]], dtype: torch.dtype) -> Tensor:
    edits = EditBuffers.allocate(model.n_features, rows=len(by_row), dtype=dtype, signed=model.signed)
    for row, interventions in enumerate(by_row):
        edits.write(row, interventions, PROMPT)
    with torch.inference_mode():
        return model(ids, edits=edits).logits


def tokens(seed: int) -> Tensor:
    return torch.randint(1, 300, (ROWS, TOKENS), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(by_row=rows, seed=st.integers(0, 99))
def test_a_row_is_the_same_whatever_is_done_to_the_others(
    model: MFNModel, by_row: list[list[Intervention]], seed: int
) -> None:
    ids = tokens(seed)
    together = logits(model, ids, by_row, torch.float64)
    for row in range(ROWS):
        only = [by_row[number] if number == row else [] for number in range(ROWS)]
        assert torch.equal(logits(model, ids, only, torch.float64)[row], together[row])
        alone = logits(model, ids[row : row + 1], [by_row[row]], torch.float64)[0]
        torch.testing.assert_close(alone, together[row], rtol=1e-9, atol=1e-9)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), seed=st.integers(0, 99), precise=st.booleans())
def test_what_changes_nothing_leaves_every_bit_of_the_logits(
    model: MFNModel, tiny_model: MFNModel, data: st.DataObject, seed: int, precise: bool
) -> None:
    chosen, dtype = (model, torch.float64) if precise else (tiny_model, torch.float32)
    ids = tokens(seed)
    with torch.inference_mode():
        plain = chosen(ids, record=True)
    by_row = []
    for row in range(ROWS):
        interventions = []
        for layer, trace in plain.traces.items():
            fired = set(trace.codes.indices[row][trace.codes.fires[row]].tolist())
            silent = sorted(set(range(48)) - fired)
            assert silent, "the example is too small"
            ablated = data.draw(st.lists(st.sampled_from(silent), max_size=3))
            interventions += [Intervention(layer, feature, "ablate") for feature in ablated]
            same = data.draw(st.lists(st.sampled_from(sorted(fired)), max_size=3))
            interventions += [Intervention(layer, feature, "scale", 1.0) for feature in same]
            interventions += [Intervention(layer, feature, "add", 0.0) for feature in same + ablated]
        by_row.append(interventions)
    assert torch.equal(logits(chosen, ids, by_row, dtype), plain.logits)


def test_a_layer_that_is_not_signed_refuses_values_below_0(tiny_model: MFNModel) -> None:
    assert tiny_model.signed == frozenset()
    with pytest.raises(InterventionError, match="intervention 2: scale takes a value of at least 0"):
        tiny_model.generate("The", [Intervention(0, 1, "add", -1.0), Intervention(1, 1, "scale", -0.5)])
