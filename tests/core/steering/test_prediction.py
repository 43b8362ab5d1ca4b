"""Predicted beside measured, and what becomes of other features."""

from __future__ import annotations

import pytest
import torch

from mfn_core import Intervention, MFNModel, Scope, SparseCodes
from mfn_core.errors import ConfigError, InterventionError
from mfn_core.steering import predict, side_effects
from mfn_core.steering.linear import edits_of, first_order

TEXT = "The ship left the harbour at dawn"
TURNS = (Intervention(0, 3, "set", 2.0), Intervention(1, 7, "add", 1.5, Scope("generation")))


@pytest.fixture(scope="module")
def ids(tiny_model: MFNModel) -> list[int]:
    return tiny_model.encode_text(TEXT)


def test_measured_is_the_difference_of_two_real_passes(tiny_model: MFNModel, ids: list[int]) -> None:
    found = predict(tiny_model, ids, TURNS)
    with torch.no_grad():
        plain = tiny_model(torch.tensor([ids])).logits[0, -1]
        steered = tiny_model(torch.tensor([ids]), edits=edits_of(tiny_model, [TURNS], len(ids))).logits[0, -1]
    change = steered - plain
    assert torch.allclose(found.measured, change - change.mean(), atol=1e-4)
    p, q = torch.log_softmax(steered, -1), torch.log_softmax(plain, -1)
    assert found.kl == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-3)
    assert torch.allclose(found.steered_logprobs, p, atol=1e-4)
    rose = found.gained(1)[0]
    assert rose.steered_logprob - rose.logprob == pytest.approx(float((p - q)[rose.token]), abs=1e-3)
    assert rose.token == int((p.exp() - q.exp()).argmax())


def test_each_share_is_its_own_and_all_add_up(tiny_model: MFNModel, ids: list[int]) -> None:
    found = predict(tiny_model, ids, TURNS)
    alone = first_order(tiny_model, ids, [[turn] for turn in TURNS]).through
    assert torch.allclose(found.each, alone - alone.mean(-1, keepdim=True), atol=1e-4)
    assert torch.allclose(found.each.sum(0), found.predicted, atol=1e-4)
    raised = found.raised(5)
    assert [t.predicted for t in raised] == sorted((t.predicted for t in raised), reverse=True)
    assert raised[0].predicted == pytest.approx(float(found.predicted.max()))
    assert found.lowered(1)[0].predicted == pytest.approx(float(found.predicted.min()))


def test_without_interventions_nothing_is_predicted_and_nothing_comes(tiny_model: MFNModel, ids: list[int]) -> None:
    found = predict(tiny_model, ids, ())
    assert not found.predicted.any()
    assert not found.measured.any()
    assert found.kl == 0.0
    assert found.side_effects.begins is None
    assert found.each.shape == (0, 300)


def test_side_effects_are_those_of_the_dense_codes(tiny_model: MFNModel, ids: list[int]) -> None:
    turns = (Intervention(0, 3, "set", 2.0, Scope("range", 4, None)),)
    with torch.no_grad():
        output = tiny_model(torch.tensor([ids] * 2), edits=edits_of(tiny_model, [(), turns], len(ids)), record=True)
    found = side_effects(output.traces, output.traces, {(0, 3)}, 1, most=5)
    assert found.begins == 4
    rows = []
    for layer, trace in output.traces.items():
        plain, steered = trace.codes.dense()[:, 4:]
        for feature in range(48):
            if (layer, feature) != (0, 3):
                a, b = plain[:, feature], steered[:, feature]
                moved = torch.where((b - a).abs() > 1e-4 * a.clamp(min=1.0), (b - a).abs(), 0.0)
                rows.append((float(moved.mean()), layer, feature, int((a > 0).sum()), int((b > 0).sum())))
    rows.sort(key=lambda row: -row[0])
    assert found.changed == sum(row[0] > 0 for row in rows) > 0
    for effect, (change, layer, feature, before, after) in zip(found.strongest, rows[:5], strict=True):
        assert (effect.layer, effect.feature, effect.fired_before, effect.fired_after) == (
            layer,
            feature,
            before,
            after,
        )
        assert effect.change == pytest.approx(change, rel=1e-5)
        assert effect.positions == len(ids) - 4
    assert [t.layer for t in found.turnover] == [0, 1]
    assert found.turnover[0].replaced == 0.0, "nothing else of the layer that was turned can change"
    codes = output.traces[1].codes.dense() > 0
    once, ever = (codes[0] ^ codes[1])[4:].sum(-1), (codes[0] | codes[1])[4:].sum(-1)
    assert found.turnover[1].replaced == pytest.approx(float((once / ever).mean()), rel=1e-5)
    assert found.turnover[1].replaced > 0


def test_rounding_is_no_side_effect(tiny_model: MFNModel, ids: list[int]) -> None:
    with torch.no_grad():
        traces = tiny_model(torch.tensor([ids]), record=True).traces
    nudged = {
        n: t._replace(codes=SparseCodes(t.codes.indices, t.codes.values * (1 + 1e-6), t.codes.n_features))
        for n, t in traces.items()
    }
    found = side_effects(traces, nudged, set(), 0)
    assert (found.begins, found.changed, found.strongest) == (None, 0, ())


def test_what_is_not_there_is_refused(tiny_model: MFNModel, ids: list[int]) -> None:
    with pytest.raises(InterventionError, match="feature 48 does not exist"):
        predict(tiny_model, ids, [Intervention(0, 48, "set", 1.0)])
    with pytest.raises(ConfigError, match="no position 40"):
        predict(tiny_model, ids, TURNS, position=40)
