"""Intervals cover as often as they say, and corrections are those of the book."""

from __future__ import annotations

import numpy as np
import pytest

from mfn_core.metrics.bootstrap import bootstrap, holm, mean_of, median_of


def test_an_interval_covers_in_nineteen_of_twenty() -> None:
    rng = np.random.default_rng(0)
    intervals = [mean_of(rng.exponential(size=60), resamples=300, seed=n) for n in range(200)]
    assert 0.88 <= np.mean([e.low <= 1.0 <= e.high for e in intervals]) <= 0.985


def test_the_same_seed_gives_the_same() -> None:
    values = np.random.default_rng(1).normal(size=30)
    assert median_of(values) == median_of(values)
    assert median_of(values).value == np.median(values)
    assert mean_of(values, seed=1) != mean_of(values)


def test_one_unit_and_none() -> None:
    assert mean_of([3.0]) == (3.0, 3.0, 3.0, 1)
    with pytest.raises(ValueError, match="nothing"):
        mean_of([])


def test_resamples_without_an_answer_are_left_out() -> None:
    values = np.array([1.0, np.nan, 2.0])
    found = bootstrap(values, lambda drawn: float(values[drawn].mean()))
    assert 1.0 <= found.low <= found.high <= 2.0


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
