"""Schedules at their corners."""

from __future__ import annotations

import pytest

from mfn_core.training.schedules import anneal_k, ramp, two_falls, warmup_cosine


def test_ramp() -> None:
    assert [ramp(p, 0.2, 0.6) for p in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert ramp(0.0, 0.0, 0.0) == 1.0  # from the first step on
    assert ramp(0.3, 0.5, 0.5) == 0.0


def test_k_comes_down_and_stays() -> None:
    assert [anneal_k(p, 64, 32, 0.5) for p in (0.0, 0.25, 0.5, 1.0)] == [64, 48, 32, 32]


def test_learning_rate() -> None:
    assert warmup_cosine(0.0, 0.1, 0.05) == 0.0
    assert warmup_cosine(0.1, 0.1, 0.05) == pytest.approx(1.0)
    assert warmup_cosine(0.55, 0.1, 0.05) == pytest.approx(0.525)
    assert warmup_cosine(1.0, 0.1, 0.05) == pytest.approx(0.05)


def test_rates_may_hold_their_peak_and_fall_twice() -> None:
    def at(progress: float) -> float:
        return two_falls(progress, 0.1, 0.5, 0.7, 0.2, 0.04)

    assert at(0.05) == pytest.approx(0.5)
    assert at(0.1) == at(0.5) == 1.0
    assert at(0.6) == pytest.approx(0.6)
    assert at(0.7) == pytest.approx(0.2)
    assert at(0.85) == pytest.approx(0.12)
    assert at(1.0) == pytest.approx(0.04)
    assert two_falls(0.5, 0.1, 0.5, 0.5, 0.2, 0.04) == pytest.approx(0.2)  # at once
