"""The filters, the distribution, and the shared noise of sampling."""

from __future__ import annotations

import pytest
import torch

from mfn_core.errors import ConfigError
from mfn_core.generation import Sampling
from mfn_core.generation.sampling import choose

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def draws(sampling: Sampling, count: int = 4000) -> torch.Tensor:
    generator = sampling.generator()
    return torch.stack([choose(LOGITS[None], sampling, generator)[0] for _ in range(count)])


def test_temperature_zero_is_the_likeliest() -> None:
    rows = torch.stack([LOGITS, LOGITS.flip(0)])
    assert choose(rows, Sampling(seed=9), Sampling().generator()).tolist() == [0, 5]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_probabilities(temperature: float) -> None:
    frequencies = draws(Sampling(temperature, seed=1)).bincount(minlength=6) / 4000
    expected = torch.softmax(LOGITS / temperature, -1)
    assert torch.allclose(frequencies, expected, atol=0.03)  # four standard errors


def test_top_k_and_top_p_keep_the_likeliest() -> None:
    assert set(draws(Sampling(5.0, top_k=2, seed=2), 300).tolist()) == {0, 1}
    # At temperature 1 the probabilities begin .56 .21 .13: the third is what first reaches .8.
    assert set(draws(Sampling(1.0, top_p=0.8, seed=3), 600).tolist()) == {0, 1, 2}
    assert set(draws(Sampling(1.0, top_p=1e-6, seed=3), 50).tolist()) == {0}
    # Filters in turn: among the two that top_k leaves, the first holds .73.
    assert set(draws(Sampling(1.0, top_k=2, top_p=0.7, seed=3), 100).tolist()) == {0}


def test_equal_rows_choose_alike_and_close_rows_mostly() -> None:
    sampling = Sampling(1.0, seed=6)
    generator = sampling.generator()
    near = LOGITS + torch.tensor([0.1, 0.0, 0.0, -0.1, 0.0, 0.0])
    triples = torch.stack([choose(torch.stack([LOGITS, LOGITS, near]), sampling, generator) for _ in range(1000)])
    assert torch.equal(triples[:, 0], triples[:, 1])
    assert 0.9 < (triples[:, 0] == triples[:, 2]).float().mean() < 1.0  # independent draws: about .38


def test_step_n_meets_the_same_noise_whatever_the_filters() -> None:
    wide, narrow = Sampling(1.0, seed=8), Sampling(1.0, top_k=5, seed=8)
    generators = wide.generator(), narrow.generator()
    for _ in range(100):
        a = choose(LOGITS[None], wide, generators[0])
        b = choose(LOGITS[None], narrow, generators[1])
        assert a == b or a == 5


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_refuses_impossible_temperatures(temperature: float) -> None:
    with pytest.raises(ConfigError):
        Sampling(temperature)


@pytest.mark.parametrize("wrong", [{"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"seed": -1}, {"seed": 2**63}])
def test_refuses_impossible_filters_and_seeds(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Sampling(**wrong)
