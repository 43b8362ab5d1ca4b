"""Any batch of rows with any interventions: each row as the definition says, and as if it were alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core import Condition, Intervention, Scope, SparseCodes
from mfn_core.errors import InterventionError

from .reference import acts, steer, value_at
from .strategies import LAYER, N_FEATURES, SLOTS, Batch, batches, code_of, conditions, features, interventions, scopes

DIRECTIONS = torch.randn(N_FEATURES, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal to the bit, the sign of a 0 included."""
    return torch.equal(a.contiguous().view(torch.int64), b.contiguous().view(torch.int64))


@settings(max_examples=150, deadline=None)
@given(batch=batches(), rounds=st.sampled_from([None, SLOTS]))
def test_each_token_is_steered_as_the_definition_says(batch: Batch, rounds: int | None) -> None:
    got = batch.steered(rounds)
    positions = batch.positions.expand(batch.codes.indices.shape[:2])
    for row, asked in enumerate(batch.asked):
        for token, position in enumerate(positions[row].tolist()):
            codes, length = batch.untouched(row, token), batch.prompt_lengths[row]
            expected = steer(codes, LAYER, asked, position, length, batch.signed)
            assert code_of(got, row, token) == expected
    if not batch.signed:
        assert (got.values >= 0).all()
    assert ((got.indices >= 0) & (got.indices < N_FEATURES)).all()


@settings(max_examples=80, deadline=None)
@given(batch=batches(), rounds=st.sampled_from([None, SLOTS]))
def test_each_row_gets_what_it_would_get_alone(batch: Batch, rounds: int | None) -> None:
    together = batch.steered(rounds)
    for row in range(batch.rows):
        alone = batch.row(row).steered()
        width = alone.width
        assert torch.equal(together.indices[row, :, :width], alone.indices[0])
        assert same_bits(together.values[row, :, :width], alone.values[0])
        assert same_bits(together.values[row, :, width:], torch.zeros_like(together.values[row, :, width:]))
        assert same_bits(together.decode(DIRECTIONS)[row], alone.decode(DIRECTIONS)[0])


@settings(max_examples=80, deadline=None)
@given(batch=batches(), data=st.data())
def test_what_was_written_before_leaves_no_trace(batch: Batch, data: st.DataObject) -> None:
    rounds = data.draw(st.sampled_from([None, SLOTS]))
    buffers = batch.allocate(rounds)
    before = st.lists(interventions(batch.signed), max_size=SLOTS)
    kept = [tensor for edits in buffers.layers.values() for tensor in vars(edits).values() if torch.is_tensor(tensor)]
    places = [tensor.data_ptr() for tensor in kept]
    for row in data.draw(st.lists(st.integers(0, batch.rows - 1), max_size=6)):
        buffers.write(row, data.draw(before), data.draw(st.integers(0, 9)))
    edits = batch.edits(buffers)
    fresh, used = batch.steered(rounds), edits.apply(batch.codes, batch.positions)
    assert torch.equal(used.indices, fresh.indices)
    assert same_bits(used.values, fresh.values)
    assert [tensor.data_ptr() for tensor in kept] == places
    for row in range(batch.rows):
        buffers.clear(row)
    cleared = edits.apply(batch.codes, batch.positions)
    assert same_bits(cleared.values[..., : batch.codes.width], batch.codes.values)
    assert cleared.width == batch.codes.width + (0 if rounds is None else SLOTS)


idle = st.one_of(
    st.builds(Intervention, st.just(LAYER), features, st.just("scale"), st.just(1.0), scopes, conditions),
    st.builds(Intervention, st.just(LAYER), features, st.just("add"), st.just(0.0), scopes, conditions),
)


@settings(max_examples=80, deadline=None)
@given(batch=batches(st.lists(idle, max_size=SLOTS)))
def test_scale_1_and_add_0_leave_every_bit(batch: Batch) -> None:
    got = batch.steered()
    assert torch.equal(got.indices[..., : batch.codes.width], batch.codes.indices)
    assert same_bits(got.values[..., : batch.codes.width], batch.codes.values)
    assert same_bits(got.decode(DIRECTIONS), batch.codes.decode(DIRECTIONS))


@settings(max_examples=80, deadline=None)
@given(batch=batches(), feature=features, scope=scopes, condition=conditions)
def test_ablating_what_does_not_fire_leaves_every_bit(
    batch: Batch, feature: int, scope: Scope, condition: int | Condition | None
) -> None:
    silent = torch.where(batch.codes.indices == feature, 0.0, batch.codes.values)
    codes = SparseCodes(batch.codes.indices, silent, N_FEATURES)
    ablation = Intervention(LAYER, feature, "ablate", scope=scope, condition=condition)
    got = replace(batch, codes=codes, asked=((ablation,),) * batch.rows).steered()
    assert same_bits(got.values[..., : codes.width], codes.values)
    assert same_bits(got.decode(DIRECTIONS), codes.decode(DIRECTIONS))


@settings(max_examples=60, deadline=None)
@given(batch=batches())
def test_the_gradient_is_that_of_the_definition(batch: Batch) -> None:
    """Every strength passes its gradient on as many times as its feature's maps multiply it, and only to itself."""
    values = batch.codes.values.clone().requires_grad_()
    got = batch.edits().apply(SparseCodes(batch.codes.indices, values, N_FEATURES), batch.positions)
    if not got.values.requires_grad:
        return
    (grad,) = torch.autograd.grad(got.values.sum(), values)
    positions = batch.positions.expand(batch.codes.indices.shape[:2])
    for row, asked in enumerate(batch.asked):
        for token, position in enumerate(positions[row].tolist()):
            untouched = batch.untouched(row, token)
            for entry, feature in enumerate(batch.codes.indices[row, token].tolist()):
                if values[row, token, entry] == 0:
                    continue
                slope, length = 1.0, batch.prompt_lengths[row]
                for number, one in enumerate(asked):
                    if one.feature == feature and acts(one, untouched, position, length):
                        factor = value_at(one, position, length)
                        slope *= {"set": 0.0, "add": 1.0, "scale": factor, "ablate": 0.0}[one.mode]
                        after = steer(untouched, LAYER, asked[: number + 1], position, length, batch.signed)
                        slope *= 1.0 if batch.signed or after.get(feature, 0.0) > 0 else 0.0
                assert grad[row, token, entry] == pytest.approx(slope, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(batch=batches(), rounds=st.integers(1, 3))
def test_with_fixed_rounds_more_on_one_feature_is_refused(batch: Batch, rounds: int) -> None:
    buffers = batch.allocate(rounds)
    for row, asked in enumerate(batch.asked):
        busiest = max((sum(one.feature == feature for one in asked) for feature in range(N_FEATURES)), default=0)
        if busiest > rounds:
            with pytest.raises(InterventionError, match=f"{busiest} interventions on one feature"):
                buffers.write(row, asked, 1)
        else:
            buffers.write(row, asked, 1)
    assert buffers.layers[LAYER].apply(batch.codes, batch.positions).width == batch.codes.width + SLOTS
