"""Agreement is what scipy says of the same numbers."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from mfn_core.steering.agreeing import agreement, ranks


def test_it_is_what_scipy_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(300, generator=generator).round(decimals=1)  # with ties
    measured = 0.5 * predicted + 0.3 * torch.randn(300, generator=generator) + 7.0
    found = agreement(predicted, measured, top=20)
    assert found.spearman == pytest.approx(stats.spearmanr(predicted, measured).statistic)
    assert found.pearson == pytest.approx(stats.pearsonr(predicted, measured).statistic)
    assert found.slope == pytest.approx(stats.linregress(predicted.numpy(), measured.numpy()).slope)
    assert torch.equal(ranks(predicted), torch.from_numpy(stats.rankdata(predicted) - 1))
    assert found.agrees is (found.spearman >= 0.8)


def test_overlap_counts_the_same_tokens_at_both_ends() -> None:
    predicted = torch.arange(10.0)
    measured = torch.tensor([0.0, 1, 9, 3, 4, 5, 6, 7, 2, 8])
    found = agreement(predicted, measured, top=2)
    assert (found.overlap_raised, found.overlap_lowered) == (0.5, 1.0)


def test_what_does_not_change_agrees_with_nothing() -> None:
    found = agreement(torch.zeros(5), torch.arange(5.0))
    assert (found.spearman, found.pearson, found.slope) == (None, None, None)
    assert not found.agrees
    assert agreement(torch.arange(5.0), torch.ones(5)).slope == 0.0
