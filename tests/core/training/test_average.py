"""The running mean of the weights: its definition, and that it is what is measured and shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mfn_core.training.average import WeightAverage
from mfn_core.training.building import new_model
from mfn_core.training.evaluate import evaluate
from mfn_core.training.export import load_run
from mfn_core.training.pressures import Pressures
from mfn_core.training.run import train

from .conftest import lines, small


def test_the_mean_is_its_definition() -> None:
    config = small()
    model = new_model(config, range(50)).double()
    average = WeightAverage(model, Pressures(model, config), decay=0.5)
    weight = model.mfn_layers[0].W_dec
    expected = weight.detach().clone()
    for step in range(1, 9):
        with torch.no_grad():
            weight.add_(step)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(average.mean["model.layers.0.mfn.W_dec"], expected)
    own = weight.detach().clone()
    with average.used():
        torch.testing.assert_close(weight.detach(), torch.nn.functional.normalize(expected, dim=-1))
    assert torch.equal(weight.detach(), own)
    torch.testing.assert_close(average.mean["model.layers.0.mfn.W_dec"], expected)


def test_the_mean_is_what_is_measured_and_shipped(run_folder: Callable[[str], Path], corpus: Path) -> None:
    folder = run_folder("run")
    trainer = train(small(ema=0.8), folder, corpus)
    saved = load_run(folder)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert trainer.average is not None
    assert torch.equal(saved.model.base.state_dict()[name], trainer.average.mean[name])
    assert not torch.equal(saved.model.base.state_dict()[name], trainer.model.base.state_dict()[name])
    measured = lines(folder)[-1]["valid"]["loss"]
    np.testing.assert_allclose(evaluate(saved.model, saved.valid, saved.start).loss, measured, rtol=1e-6)
