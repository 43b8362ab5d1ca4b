"""Toy models of superposition: measures on arrangements that are known, and what training finds at a small size."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mfn_core.errors import ConfigError
from mfn_core.toy.superposition import (
    ABSENT,
    ALONE,
    SHARED,
    Superposition,
    angles,
    dimensionality,
    dimensions_per_feature,
    draw,
    ideal_losses,
    interference,
    reconstruct,
    state_of,
    train,
)

PLANE = Superposition(5, 2, (1.0, 0.05), tuple(0.85**i for i in range(5)), replicas=4, steps=1500, batch=256, lr=5e-3)


def polygon(corners: int) -> Tensor:
    """Unit vectors all around, [2, n]."""
    turn = torch.arange(corners) * 2 * math.pi / corners
    return torch.stack([turn.cos(), turn.sin()])


@pytest.mark.parametrize(("corners", "share"), [(4, 1 / 2), (3, 2 / 3), (5, 2 / 5), (6, 1 / 3)])
def test_dimensionality_of_polygons(corners: int, share: float) -> None:
    W = polygon(corners)
    assert dimensionality(W) == pytest.approx(torch.full((corners,), share))
    assert dimensions_per_feature(W[None]).item() == pytest.approx(2 / corners)
    assert angles(W) == pytest.approx(torch.full((corners,), 360 / corners), abs=1e-4)


def test_measures_are_their_formulas() -> None:
    W = torch.randn(2, 3, 4, 7, generator=torch.Generator().manual_seed(0))
    for place in np.ndindex(2, 3):
        columns = W[place].double().numpy().T
        for i, own in enumerate(columns):
            overlaps = [float(own / np.linalg.norm(own) @ other) ** 2 for other in columns]
            assert dimensionality(W)[place][i].item() == pytest.approx(float(own @ own) / sum(overlaps), rel=1e-4)
            expected = sum(overlap for j, overlap in enumerate(overlaps) if j != i)
            assert interference(W)[place][i].item() == pytest.approx(expected, rel=1e-4)
        assert dimensions_per_feature(W)[place].item() == pytest.approx(4 / (columns**2).sum(), rel=1e-5)


def test_a_feature_of_its_own_and_one_that_is_absent() -> None:
    W = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    assert dimensionality(W).tolist() == [1, 1, 0]
    assert interference(W).tolist() == [0, 0, 0]


def test_states_of_two_features_in_one_dimension() -> None:
    W = torch.tensor([[[1.0, 0.0]], [[0.1, -0.9]], [[-1.0, 1.0]]])
    assert state_of(W).tolist() == [ABSENT, ALONE, SHARED]


def test_a_feature_is_present_as_often_as_its_density_says_and_then_uniform() -> None:
    u = torch.rand(1, 20_000, 3, generator=torch.Generator().manual_seed(0))
    x = draw(u, torch.tensor([0.1, 1.0])[:, None, None])
    assert x.shape == (2, 20_000, 3)
    assert (x[0] > 0).float().mean().item() == pytest.approx(0.1, abs=0.005)
    assert (x[1] > 0).float().mean().item() > 0.999
    for one in x:
        shown = one[one > 0]
        assert torch.quantile(shown, torch.tensor([0.25, 0.5, 0.75])).tolist() == pytest.approx(
            [0.25, 0.5, 0.75], abs=0.03
        )


def test_reconstruction_is_its_formula() -> None:
    rng = torch.Generator().manual_seed(0)
    W, b, x = (torch.randn(shape, generator=rng) for shape in ((2, 3, 6), (2, 6), (2, 4, 6)))
    for i in range(2):
        for row in range(4):
            straight = W[i].T @ (W[i] @ x[i, row]) + b[i]
            torch.testing.assert_close(reconstruct(W, b, x)[i, row], torch.relu(straight))
            torch.testing.assert_close(reconstruct(W, b, x, relu=False)[i, row], straight)


@pytest.mark.parametrize("p", [0.2, 0.6, 1.0])
def test_ideal_losses_are_those_of_the_models_they_stand_for(p: float) -> None:
    importance = torch.tensor([1.0, 0.3])
    x = draw(torch.rand(400_000, 2, generator=torch.Generator().manual_seed(0)), torch.tensor(p))
    models = [([1.0, 0.0], [0.0, p / 2]), ([0.0, 1.0], [p / 2, 0.0]), ([1.0, -1.0], [0.0, 0.0])]
    for ideal, (W, b) in zip(ideal_losses(torch.tensor(p), importance[1]), models, strict=True):
        out = reconstruct(torch.tensor([W]), torch.tensor(b), x)
        assert (importance * (out - x).square()).sum(-1).mean().item() == pytest.approx(ideal.item(), rel=0.03)


def test_dense_features_stay_apart_and_sparse_ones_form_a_pentagon() -> None:
    found = train(PLANE).best()
    lengths = found.W.norm(dim=1)
    assert (lengths[0] > 0.5).tolist() == [True, True, False, False, False]  # as PCA would have it
    assert angles(found.W[1]) == pytest.approx(torch.full((5,), 72.0), abs=10)
    assert dimensionality(found.W)[1] == pytest.approx(torch.full((5,), 0.4), abs=0.05)


def test_training_is_repeatable_and_the_best_is_the_replica_of_least_loss() -> None:
    short = replace(PLANE, steps=30)
    first, second = train(short), train(short)
    assert torch.equal(first.W, second.W)
    best = first.best()
    for place in range(2):
        least = int(first.loss[:, place].argmin())
        assert torch.equal(best.W[place], first.W[least, place])
        assert best.loss[place] == first.loss[:, place].min()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden": 6}, "between 1 and the 5"),
        ({"density": (0.0,)}, "above 0"),
        ({"density": ()}, "above 0"),
        ({"importance": (1.0,) * 4}, "5 positive"),
        ({"importance": (1.0, 1.0, 1.0, 1.0, -1.0)}, "5 positive"),
        ({"replicas": 0}, "must be positive"),
    ],
)
def test_what_cannot_be_is_refused(change: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Superposition(**{"features": 5, "hidden": 2, "density": (1.0,), "importance": (1.0,) * 5, **change})
