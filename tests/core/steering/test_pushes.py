"""Vectors added to what a layer passes on: their slope is the limit of what comes of them, and a feature is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from mfn_core.baselines import NeuronConfig
from mfn_core.config import MFNConfig
from mfn_core.interventions import Intervention, Scope
from mfn_core.model import MFNModel
from mfn_core.steering import first_order
from mfn_core.steering.pushes import in_stream, pushed, random_direction, slope_along, written

IDS = [0, 20, 31, 42, 7]
LAST = Scope("generation")


def test_the_slope_is_the_limit_of_differences(tiny_bundle: Path) -> None:
    model, layer, step = MFNModel.from_pretrained(tiny_bundle, dtype=torch.float64), 1, 3e-3
    direction = random_direction(model, layer, seed=1)
    assert float(direction.norm()) == pytest.approx(1.0)

    def push(output: torch.Tensor) -> torch.Tensor:
        moved = output.clone()
        moved[:, -1] += torch.tensor([[-step], [step]], dtype=output.dtype) * direction
        return moved

    with torch.no_grad(), pushed(model, layer, push):
        logits = model(torch.tensor([IDS, IDS])).logits[:, -1]
    expected = (logits[1] - logits[0]) / (2 * step)
    # transformers' norm rounds to single precision, which forbids a shorter step
    assert float((slope_along(model, IDS, layer, direction) - expected).norm() / expected.norm()) < 0.01


def test_pushing_what_a_feature_writes_is_turning_it(tiny_model: MFNModel) -> None:
    turn = Intervention(0, 3, "add", 2.0, LAST)
    added = written(tiny_model, torch.tensor(IDS), 0, [[turn]])
    assert added.shape == (1, len(IDS), tiny_model.d_model)
    assert not added[0, :-1].any()
    slope = slope_along(tiny_model, IDS, 0, added[0, -1])
    told = first_order(tiny_model, IDS, [[turn]]).through[0]
    assert slope.numpy() == pytest.approx(told.numpy(), abs=1e-4)


@torch.no_grad()
def test_neurons_write_along_the_down_projection(tiny_model: MFNModel) -> None:
    torch.manual_seed(0)
    base = LlamaForCausalLM(tiny_model.base.config).eval()
    neurons = MFNModel.equip(base, MFNConfig({1: NeuronConfig(48)})).eval()
    added = written(neurons, torch.tensor(IDS), 1, [[Intervention(1, 5, "add", 2.0, LAST)]])
    down = base.model.layers[1].mlp.down_proj.weight
    assert in_stream(neurons, 1, added)[0, -1].tolist() == pytest.approx((2.0 * down[:, 5]).tolist(), abs=1e-6)
    assert float(in_stream(neurons, 1, random_direction(neurons, 1, 0)).norm()) == pytest.approx(1.0, abs=1e-5)
