"""What blocks did is told as a pass without hooks has it; what is not touched has not moved."""

from __future__ import annotations

import pytest
import torch

from mfn_core.evaluation.inner_change import watched
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.steering.linear import edits_of


def test_patterns_and_outputs_at_the_last_token(tiny_model: MFNModel) -> None:
    ids = torch.tensor([[0, 20, 31, 42, 7]] * 2)
    was = tiny_model.base.config._attn_implementation
    edits = edits_of(tiny_model, [(), [Intervention(1, 3, "set", 4.0)]], 5)
    with watched(tiny_model) as inside:
        tiny_model(ids, edits=edits)
    assert tiny_model.base.config._attn_implementation == was
    for block in (0, 1):
        assert inside.patterns[block].shape == (2, tiny_model.base.config.num_attention_heads, 5)
        assert inside.patterns[block].sum(-1) == pytest.approx(torch.ones(2, 2), abs=1e-5)
    first, second = inside.changes(0, 1)
    assert (first.pattern, first.attention, first.mlp) == (0.0, 0.0, 0.0)  # before the layer that is changed
    assert (second.pattern, second.attention) == (0.0, 0.0)  # within its block attention comes first
    expected = (inside.mlp[1][1] - inside.mlp[1][0]).norm() / inside.mlp[1][0].norm()
    assert second.mlp == pytest.approx(float(expected))
    assert second.mlp > 0.01
    assert [change.block for change in inside.changes(0, 1, first=1)] == [1]


def test_total_variation(tiny_model: MFNModel) -> None:
    ids = torch.tensor([[0, 20, 31, 42, 7]] * 2)
    with watched(tiny_model) as inside:
        tiny_model(ids)
    inside.patterns[0] = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    assert inside.changes(0, 1)[0].pattern == 0.5
