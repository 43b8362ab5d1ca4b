"""Planted features: the measures on units that are known, and that all kinds of units are trained and compared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mfn_core.errors import ConfigError
from mfn_core.toy import recovery
from mfn_core.toy.engineering import Engineered
from mfn_core.toy.recovery import UNITS, Recovery, correlations, recover

WORLD = Engineered(features=12, inputs=12, neurons=24, density=1 / 8, bias_decay=2.0, lr=1e-2, batch=64, steps=250)


def test_correlations_are_pearsons() -> None:
    f, units = torch.randn(50, 3), torch.randn(50, 4)
    units[:, 3] = 2.0
    found = correlations(f, units)
    expected = np.corrcoef(f.double().numpy().T, units[:, :3].double().numpy().T)[:3, 3:]
    np.testing.assert_allclose(found[:, :3].numpy(), expected, atol=1e-9)
    assert found[:, 3].abs().max() < 1e-6


def test_units_that_are_what_was_planted_find_all_of_it() -> None:
    planted = torch.eye(4)
    f = torch.rand(200, 4)
    all_of = recovery._found(planted, torch.cat([planted, -planted]), f, torch.cat([f, torch.zeros_like(f)], 1), 0.0)
    assert all_of[:3] == (1.0, 1.0, 1.0)
    twice = torch.stack([planted[0], planted[0], planted[1], planted[1]])  # one to one, each is matched once
    half = recovery._found(planted, twice, f, f[:, [0, 0, 1, 1]], 0.0)
    assert half.identified == half.read == 0.5


def test_one_unit_identifies_one_feature_and_near_is_not_there() -> None:
    f = torch.rand(200, 2)
    near_each_other = torch.tensor([[1.0, 0.0], [0.95, 0.3122]])
    one = recovery._found(near_each_other, torch.tensor([[1.0, 0.0], [0.0, -1.0]]), f, f, 0.0)
    assert one.cosine > 0.97
    assert one.identified == 0.5
    beside = recovery._found(torch.eye(2), torch.tensor([[0.8, 0.6], [-0.6, 0.8]]), f, f, 0.0)
    assert beside.identified == 0.0


@pytest.fixture(scope="module")
def found() -> dict[str, recovery.Found]:
    return recover(Recovery(WORLD, k=3))


def test_trained_units_find_more_than_random_directions(found: dict[str, recovery.Found]) -> None:
    assert tuple(found) == UNITS
    for name in ("MFN", "SAE", "neurons"):
        assert found[name].cosine > found["random directions"].cosine + 0.05, name
    assert found["SAE"].identified > 0.5  # as many dimensions as features: easy
    assert math.isnan(found["random directions"].loss)
    assert found["MFN"].loss < 0.5
    assert found["SAE"].loss == found["neurons"].loss


def test_the_same_world_gives_the_same_numbers() -> None:
    short = Recovery(replace(WORLD, steps=5), k=3)
    first, second = recover(short), recover(short)
    assert [one[:3] for one in first.values()] == [one[:3] for one in second.values()]


def test_a_k_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="k must lie between 1 and the 24 units"):
        Recovery(WORLD, k=25)
