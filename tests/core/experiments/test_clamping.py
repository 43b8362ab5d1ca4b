"""Where the logits are linear in a code, first order tells all of them; where they are not, the sweep says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig
from mfn_core.evaluation.predictions.p4 import DOSES, FeatureSweep
from mfn_core.experiments.clamping import LONGEST, Place, places, sweep, usable
from mfn_core.experiments.stand_ins import neurons_of
from mfn_core.model import MFNModel


@pytest.fixture(scope="module")
def rows() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return usable([np.r_[0, rng.integers(1, 300, int(rng.integers(4, 90)))] for _ in range(30)])


@pytest.fixture(scope="module")
def linear(tiny_model: MFNModel) -> MFNModel:
    """A model whose last block has an MFN and nothing behind it: no MLP, no norm. One feature fires on a token."""
    torch.manual_seed(1)
    base = LlamaForCausalLM(tiny_model.base.config).eval()
    nn.init.zeros_(base.model.layers[1].mlp.down_proj.weight)
    base.model.norm = nn.Identity()
    return MFNModel.equip(base, MFNConfig({1: MFNLayerConfig(48, 1)})).eval()


def test_a_linear_model_is_told_exactly(linear: MFNModel, rows: list[np.ndarray]) -> None:
    assert max(map(len, rows)) == LONGEST
    drawn = places(linear, rows, per_layer=4)
    assert len({place.feature for place in drawn}) == len(drawn) == 4
    assert any(place.silent for place in drawn)
    for place in drawn:
        found = sweep(linear, rows, place)
        for way in (found.first_order, found.secant, found.lens, found.random):
            told = [rho for rho in way if rho is not None]  # None where the dose is the strength that it has
            assert len(told) >= len(DOSES) - 1
            assert told == pytest.approx([1.0] * len(told), abs=1e-4)
        assert found.measured == pytest.approx(found.predicted, rel=1e-3, abs=1e-4)
        assert found.monotone
        assert found.random_monotone
        assert found.kl[DOSES.index(1.0)] < found.kl[-1]  # further along one line
        if place.silent:
            assert (found.off, found.on is not None and found.on > 0) == (0.0, True)
        assert found.inside[0]["mlp"] == 0.0
        assert FeatureSweep.from_json(found.to_json()) == found


def test_the_greatest_strength_and_where_it_fires(linear: MFNModel, rows: list[np.ndarray]) -> None:
    drawn = places(linear, rows, per_layer=8, batch=7)
    assert [place.layer for place in drawn] == [1] * 8
    for place in drawn:
        values = []
        for row in rows:
            with torch.no_grad():
                trace = linear(torch.from_numpy(row)[None], record=True).traces[1]
            values.append(trace.codes.value_of(place.feature)[0, 1:])
        assert place.peak == pytest.approx(float(torch.cat(values).max()), abs=1e-4)
        assert float(values[place.row][place.position - 1]) > 0
        assert not any(values[n].any() for n in place.silent)


def test_a_curved_model_is_told_less_well_far_from_the_text(tiny_model: MFNModel, rows: list[np.ndarray]) -> None:
    found = [sweep(tiny_model, rows, place) for place in places(tiny_model, rows, per_layer=3)]
    assert min(np.mean(each.first_order) for each in found) < 0.999
    told = found[0]
    near = Place(0, told.feature, 0, 8, 0.0, ())
    assert sweep(tiny_model, rows, near).on is None


def test_neurons_are_clamped_below_zero_too(tiny_model: MFNModel, rows: list[np.ndarray]) -> None:
    torch.manual_seed(1)
    twin = MFNModel.equip(LlamaForCausalLM(tiny_model.base.config).eval(), MFNConfig({}))
    neurons = neurons_of(twin, 6)
    ids = torch.from_numpy(rows[0])[None]
    with torch.no_grad():
        assert torch.equal(neurons(ids).logits, twin(ids).logits)
    below = next(place for place in places(neurons, rows, per_layer=12) if place.peak < 0)
    found = sweep(neurons, rows, below)
    assert found.value > below.peak
    assert found.length > 0
    assert found.kl[DOSES.index(2.0)] > 0
    assert not twin.coders
