"""What firing says about a concept: known cases, and the definition over all four cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mfn_core.metrics.information import entropy, mutual_information, purity, weighted_purity


def bits(*counts: int) -> float:
    return float(mutual_information(*(torch.tensor(count) for count in counts)))


def test_a_perfect_detector_says_all_there_is() -> None:
    assert bits(25, 25, 25, 100) == pytest.approx(float(entropy(torch.tensor(25), 100)))
    assert bits(0, 75, 25, 100) == pytest.approx(float(entropy(torch.tensor(25), 100)))  # never on it: as good


def test_what_is_independent_says_nothing() -> None:
    assert bits(10, 40, 25, 100) == pytest.approx(0.0, abs=1e-12)
    assert bits(0, 0, 25, 100) == 0.0
    assert bits(25, 100, 25, 100) == 0.0


def test_the_definition() -> None:
    table = np.array([[30, 10], [5, 55]]) / 100
    expected = sum(p * math.log2(p / (table[i].sum() * table[:, j].sum())) for (i, j), p in np.ndenumerate(table))
    assert bits(30, 40, 35, 100) == pytest.approx(expected)
    found = mutual_information(torch.tensor([[30], [0]]), torch.tensor([[40], [40]]), torch.tensor([35, 0]), 100)
    assert found.shape == (2, 2)
    assert found[0, 0].item() == pytest.approx(expected)


def test_entropy() -> None:
    assert entropy(torch.tensor([0, 50, 100]), 100).tolist() == pytest.approx([0.0, 1.0, 0.0])


def test_purity() -> None:
    hits = torch.tensor([[5, 0, 0], [2, 2, 1], [0, 0, 0]])
    found = purity(hits, hits.sum(1))
    assert found[:2].tolist() == [1.0, 0.4]
    assert found[2].isnan()
    weights = weighted_purity(torch.tensor([[0.0, 3.0], [1.0, 3.0], [0.0, 0.0]]))
    assert weights[:2].tolist() == [1.0, 0.75]
    assert weights[2].isnan()
