"""Firings are counted as one would count them by hand, and the shares are of what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfn_core.evaluation.rates import LayerRates, RateCount
from mfn_core.model import MFNModel


def test_counts_are_those_of_each_text_alone(tiny_model: MFNModel) -> None:
    rows = np.random.default_rng(0).integers(1, tiny_model.vocab_size, (7, 12)).astype(np.uint16)
    rows[:, 0] = rows[3, 5] = 0
    count = RateCount(tiny_model, 0)
    seen: list[int] = []
    count.read(rows[:5], batch=2, progress=seen.append)
    count.read(rows[5:])
    assert seen == [22, 43, 54]
    assert count.tokens == 7 * 11 - 1
    for number, layer in tiny_model.mfn_layers.items():
        expected = np.zeros(layer.n_features, np.int64)
        for row in rows:
            with torch.no_grad():
                codes = tiny_model(torch.tensor(row[None].astype(np.int64)), record=True).traces[number].codes
            dense = codes.dense()[0].numpy()
            expected += (dense[row != 0] > 0).sum(0)
        assert np.array_equal(count.rates()[number].counts, expected)
        assert count.rates()[number].target == layer.k / layer.n_features


def test_shares() -> None:
    rates = LayerRates(np.array([0, 9, 10, 49_999, 50_000, 200_000, 200_001, 100_000]), 10_000_000, 0.01)
    assert rates.dead == 1 / 8
    assert rates.ultra_rare == 2 / 8
    assert rates.near_target == pytest.approx(3 / 7)
    data = rates.to_json()
    assert data["quantiles"]["1"] == pytest.approx(2.00001, abs=1e-4)
    assert (data["features"], data["tokens"]) == (8, 10_000_000)


def test_a_layer_that_never_fired_has_no_live_feature() -> None:
    rates = LayerRates(np.zeros(3, np.int64), 100, 0.1)
    assert (rates.dead, rates.ultra_rare, rates.near_target) == (1.0, 1.0, 0.0)
