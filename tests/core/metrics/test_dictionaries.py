"""Dictionaries that are the same, planted, mixed or split."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mfn_core.metrics.dictionaries import (
    children,
    cosines,
    encoder_decoder_agreement,
    hedging,
    match,
    mean_max_cosine,
)

RNG = torch.Generator().manual_seed(0)
D = torch.randn(12, 20, generator=RNG)
ORTHONORMAL = torch.linalg.qr(torch.randn(20, 20, generator=RNG)).Q[:5]


def test_the_same_in_another_order_aligns_at_one() -> None:
    order = torch.randperm(12, generator=RNG)
    found = match(cosines(D, 3.0 * D[order]))
    assert found.mean == pytest.approx(1.0)
    assert torch.equal(order[found.second], found.first)


def test_matching_is_one_to_one_and_best_in_sum() -> None:
    similarity = torch.tensor([[0.9, 0.8], [0.85, 0.1], [0.0, 0.0]])  # greedy would take 0.9 and 0.1
    found = match(similarity)
    assert sorted(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert found.mean == pytest.approx((0.8 + 0.85) / 2)


def test_a_planted_dictionary_is_recovered() -> None:
    found = torch.cat([torch.randn(7, 20, generator=RNG), D + 1e-4])
    assert mean_max_cosine(D, found) == pytest.approx(1.0, abs=1e-4)
    assert mean_max_cosine(D, -D) < 0.7


def test_encoder_and_decoder() -> None:
    turned = torch.stack([D[0], -D[1], torch.zeros(20).index_fill(0, torch.tensor([0]), 1.0)])
    base = torch.stack([2 * D[0], D[1], torch.zeros(20).index_fill(0, torch.tensor([1]), 1.0)])
    assert encoder_decoder_agreement(turned, base).tolist() == pytest.approx([1.0, -1.0, 0.0])


def test_hedging_is_what_of_others_is_mixed_in() -> None:
    assert hedging(ORTHONORMAL * 2, ORTHONORMAL) == pytest.approx(0.0, abs=1e-6)
    mixed = ORTHONORMAL[0] + 0.5 * ORTHONORMAL[1]
    assert hedging(mixed[None], ORTHONORMAL) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="orthonormal"):
        hedging(mixed[None], D)


def test_a_feature_that_splits_has_children() -> None:
    coarse = F.normalize(D[:3], dim=-1)
    fine = torch.cat([coarse[:1] + 0.01, coarse[:1] - 0.01, coarse[1:2], torch.randn(4, 20, generator=RNG) * 0.1])
    assert children(cosines(coarse, fine), 0.9).tolist() == [2, 1, 0]
