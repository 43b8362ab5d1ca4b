"""Shares of features by how often they fire."""

from __future__ import annotations

import numpy as np
import pytest

from mfn_core.metrics import firing

COUNTS = np.array([0, 9, 10, 49_999, 50_000, 200_000, 200_001, 1_000_001])
TOKENS = 10_000_000


def test_shares() -> None:
    assert firing.dead(COUNTS) == 1 / 8
    assert firing.ultra_rare(COUNTS, TOKENS) == 2 / 8
    assert firing.dense(COUNTS, TOKENS) == 1 / 8
    assert firing.near_target(COUNTS, TOKENS, 0.01) == pytest.approx(2 / 7)
    assert firing.near_target(COUNTS[:1], TOKENS, 0.01) == 0.0


def test_spread_is_gini() -> None:
    assert firing.spread(np.full(7, 3)) == pytest.approx(0.0)
    assert firing.spread(np.array([0, 0, 0, 5])) == pytest.approx(3 / 4)
    assert firing.spread(np.zeros(3, np.int64)) == 0.0
    counts = np.random.default_rng(0).integers(0, 100, 50)
    pairs = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert firing.spread(counts) == pytest.approx(pairs)
