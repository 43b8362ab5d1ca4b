"""Areas under the ROC curve: their variance by simulation, and p values that are never too small."""

from __future__ import annotations

import numpy as np
import pytest

from mfn_core.metrics.auc import auc_variance, p_above


def areas(shift: float, times: int, m: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    so, other = rng.exponential(1.0 + shift, (times, m, 1)), rng.exponential(1.0, (times, 1, n))
    return (so > other).mean((1, 2))


def test_variance_is_that_of_exponential_scores() -> None:
    found = areas(2.0, 4000, 20, 30)
    assert found.mean() == pytest.approx(3 / 4, abs=0.01)
    assert found.var() == pytest.approx(auc_variance(3 / 4, 20, 30), rel=0.1)


def test_p_values() -> None:
    assert p_above(0.7, 0.7, 30, 30) == 0.5
    assert p_above(0.9, 0.6, 50, 50) < 0.001
    assert p_above(0.6, 0.9, 50, 50) > 0.999
    assert [p_above(1.0, 1.0, 5, 5), p_above(1.0, 0.0, 5, 5), p_above(0.0, 1.0, 5, 5)] == [0.5, 0.0, 1.0]
    null = areas(1.0, 2000, 25, 25).reshape(-1, 2)  # independent, and truly the same
    assert np.mean([p_above(a, b, 25, 25) < 0.05 for a, b in null]) == pytest.approx(0.05, abs=0.02)
