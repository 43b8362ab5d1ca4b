"""Pairs of features that fire together, against counting by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from mfn_core.codes import SparseCodes
from mfn_core.metrics.overlap import CoFiring


def codes_of(dense: torch.Tensor) -> SparseCodes:
    values, indices = dense.sort(dim=-1, descending=True)
    return SparseCodes(indices, values, dense.shape[-1])


def random_codes(tokens: int, features: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(tokens, features, generator=rng) * (torch.rand(tokens, features, generator=rng) < 0.2)


def test_jaccard_of_all_pairs() -> None:
    dense = random_codes(300, 6)
    found = CoFiring(6)
    found.add(codes_of(dense[:100]))
    found.add(codes_of(dense[100:]))
    fired = dense > 0
    expected = [
        float((fired[:, i] & fired[:, j]).sum() / (fired[:, i] | fired[:, j]).sum())
        for i, j in combinations(range(6), 2)
    ]
    assert found.jaccard().tolist() == pytest.approx(expected)
    assert found.tokens == 300
    assert found.percentile(100.0) == pytest.approx(max(expected))
    assert found.percentile(0.0) == pytest.approx(min(expected))


def test_chosen_features_alone_and_in_their_order() -> None:
    dense = random_codes(200, 8)
    found = CoFiring(8, torch.tensor([5, 2]))
    found.add(codes_of(dense))
    fired = (dense[:, [5, 2]] > 0).long()
    assert torch.equal(found.both, fired.T @ fired)


def test_resampled_is_the_percentile_of_drawn_features() -> None:
    found = CoFiring(12)
    found.add(codes_of(random_codes(400, 12)))
    every = np.zeros((12, 12))
    every[np.triu_indices(12, 1)] = found.jaccard().numpy()
    every += every.T
    rng = np.random.default_rng(0)
    for got in found.resampled(20, np.random.default_rng(0), 80.0):
        times = rng.multinomial(12, np.full(12, 1 / 12))
        drawn = np.repeat(np.arange(12), times)
        pairs = sorted(every[i, j] for i, j in combinations(drawn, 2) if i != j)
        assert got == pairs[min(len(pairs) - 1, int(0.8 * len(pairs)))]
    assert CoFiring(4).resampled(3, rng).tolist() == [0.0] * 3


def test_a_padded_zero_is_no_firing_and_twins_overlap_wholly() -> None:
    codes = SparseCodes(torch.tensor([[0, 1, 2], [0, 1, 2]]), torch.tensor([[1.0, 2.0, 0.0], [3.0, 1.0, 0.0]]), 4)
    found = CoFiring(4)
    found.add(codes)
    assert found.jaccard().tolist() == [1.0]
    assert CoFiring(4).percentile() == 0.0
