"""Monosemanticity by training: the measure on known neurons, the model's formula, and what a negative bias does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mfn_core.errors import ConfigError
from mfn_core.toy import engineering
from mfn_core.toy.engineering import Engineered, ToyModel, neurons_of, purity_of, relative_error, train

SMALL = Engineered(features=128, inputs=32, neurons=192, density=1 / 64, lr=1e-2, batch=96, steps=600)


def test_purity_of_known_neurons() -> None:
    activations = torch.tensor([[1.0, 1.0, 0.0, 3.0], [0.0, 1.0, 0.0, 1.0], [0.0, 2.0, 0.0, 0.0]])
    found = purity_of(activations)
    assert found.purity[:2].tolist() == [1.0, 0.5]
    assert math.isnan(found.purity[2])
    assert found.purity[3] == 0.75
    assert found.feature.tolist() == [0, 2, -1, 0]
    assert (found.monosemantic, found.silent, found.covered) == (1, 1, 1)


def test_purity_is_its_formula() -> None:
    activations = torch.rand(30, 20, generator=torch.Generator().manual_seed(0)).relu()
    for neuron, values in enumerate(activations.double().numpy().T):
        assert purity_of(activations).purity[neuron].item() == pytest.approx(values.max() / values.sum(), rel=1e-5)


def test_two_neurons_for_one_feature_cover_one() -> None:
    found = purity_of(torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
    assert (found.monosemantic, found.covered) == (2, 1)


@pytest.mark.parametrize("task", ["decoder", "reprojector", "absolute"])
def test_the_model_is_its_formula(task) -> None:
    model = ToyModel(replace(SMALL, task=task, bias=-0.1)).double()
    f = model.features(7, torch.Generator().manual_seed(0)).double()
    P, W_in, b, W_out, P_out = (
        getattr(model, name).detach().numpy() for name in ("P", "W_in", "bias", "W_out", "P_out")
    )
    for row, answer in zip(f.numpy(), model(f), strict=True):
        pre = W_in @ (P @ row) + b
        np.testing.assert_allclose(answer.detach().numpy(), W_out @ np.maximum(pre, 0), atol=1e-12)
    target = {"decoder": f, "reprojector": torch.from_numpy(f.numpy() @ P_out.T), "absolute": f.abs()}[task]
    torch.testing.assert_close(model.target(f), target)
    assert relative_error(torch.zeros_like(target), target).item() == pytest.approx(1.0)


def test_large_models_train_in_bfloat16_where_there_are_units_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ToyModel(Engineered())
    f = model.features(32, torch.Generator().manual_seed(0))

    def answer_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
        answer = model(f)
        (gradient,) = torch.autograd.grad(answer.square().sum(), model.W_in)
        return answer.detach(), gradient

    monkeypatch.setattr(engineering, "has_bf16_units", lambda: False)
    exact = answer_and_gradient()
    monkeypatch.setattr(engineering, "has_bf16_units", lambda: True)
    rounded = answer_and_gradient()
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == torch.float32
        assert 1e-4 < (one - other).norm() / one.norm() < 1e-2
    model.eval()  # what is measured is not rounded
    assert torch.equal(answer_and_gradient()[0], exact[0])
    small = ToyModel(SMALL)
    trained = small(small.features(8, torch.Generator().manual_seed(0)))
    assert torch.equal(trained, small.eval()(small.features(8, torch.Generator().manual_seed(0))))


def test_features_are_as_sparse_as_asked_and_signed_where_the_task_is() -> None:
    rng = torch.Generator().manual_seed(0)
    drawn = ToyModel(SMALL).features(4000, rng)
    assert (drawn > 0).float().mean().item() == pytest.approx(1 / 64, abs=0.002)
    assert drawn.min() == 0
    assert drawn[drawn > 0].mean().item() == pytest.approx(0.5, abs=0.02)
    signed = ToyModel(replace(SMALL, task="absolute")).features(4000, rng)
    assert (signed < 0).float().mean().item() == pytest.approx(1 / 128, abs=0.002)
    assert signed[signed < 0].mean().item() == pytest.approx(-0.5, abs=0.03)


def test_a_neuron_for_one_sign_of_a_feature_is_seen() -> None:
    model = ToyModel(Engineered(task="absolute", features=2, inputs=2, neurons=2, density=0.5))
    with torch.no_grad():
        model.P.copy_(torch.eye(2))
        model.W_in.copy_(torch.tensor([[-1.0, 0.0], [1.0, 1.0]]))
        model.bias.zero_()
    found = neurons_of(model)
    assert found.purity.tolist() == [1.0, 0.5]


def test_the_learning_rate_is_constant_and_then_falls_to_nothing() -> None:
    rates = [SMALL.rate(step) for step in range(SMALL.steps)]
    assert rates[: SMALL.steps // 2] == [SMALL.lr] * (SMALL.steps // 2)
    assert rates[-1] == pytest.approx(2 * SMALL.lr / SMALL.steps)


def test_a_negative_bias_makes_neurons_monosemantic_at_no_higher_loss() -> None:
    _, plain = train(SMALL)
    _, negative = train(replace(SMALL, bias=-1.0, bias_decay=2.0))
    assert negative.neurons.monosemantic >= 1.5 * plain.neurons.monosemantic
    assert negative.neurons.purity.nanmean() > plain.neurons.purity.nanmean() + 0.1
    assert negative.loss < plain.loss < 0.5


def test_training_is_repeatable_and_decay_pulls_biases_to_zero() -> None:
    case = replace(SMALL, steps=60, bias=-1.0)
    first, second = (train(case)[1] for _ in range(2))
    assert torch.equal(first.bias, second.bias)
    assert first.curve == second.curve
    decayed = train(replace(case, bias_decay=2.0))[1]
    assert decayed.bias.mean() > first.bias.mean() + 0.1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": "sum"}, "task"),
        ({"inputs": 513}, "inputs"),
        ({"density": 0.0}, "density"),
        ({"steps": 0}, "must be positive"),
    ],
)
def test_what_cannot_be_is_refused(change: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Engineered(**change)
