"""Costs, divergences and spreads with known answers."""

from __future__ import annotations

import math

import pytest
import torch

from mfn_core.metrics.outputs import cross_entropy, downstream_sparsity, kl, recovered


def test_cross_entropy_is_of_the_next_token() -> None:
    logits = torch.zeros(1, 3, 4)
    logits[0, 0, 2] = math.log(3.0)  # 3 of 6 parts for token 2
    costs = cross_entropy(logits, torch.tensor([[0, 2, 1]]))
    assert costs.tolist() == [pytest.approx([math.log(2.0), math.log(4.0)])]


def test_kl_of_known_distributions() -> None:
    p, q = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.5, 0.25])
    assert kl(p.log(), q.log() + 7.0).item() == pytest.approx(0.25 * math.log(2.0))
    assert kl(p.log(), p.log() - 3.0).item() == 0.0


def test_recovered() -> None:
    assert recovered(3.0, 3.0, 10.0) == 1.0
    assert recovered(10.0, 3.0, 10.0) == 0.0
    assert recovered(3.7, 3.0, 10.0) == pytest.approx(0.9)
    with pytest.raises(ValueError, match="costs nothing"):
        recovered(3.0, 3.0, 3.0)


def test_downstream_sparsity_of_one_all_and_no_change() -> None:
    change = torch.zeros(3, 4, 5)
    change[0, 2, 1] = -1e-30
    change[1] = 2.0
    assert downstream_sparsity(change).tolist() == pytest.approx([1 / 20, 1.0, 0.0])
    half = torch.zeros(4, 5)
    half[:2] = torch.tensor([1.0, -1.0])[:, None]
    assert downstream_sparsity(half).item() == pytest.approx(0.5)
