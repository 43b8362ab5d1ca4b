"""Errors of means are the spread that repeated drawing shows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mfn_core.intervals import Mean, ratio, stratified

Group = tuple[NDArray[np.float64], NDArray[np.float64]]


def some(rng: np.random.Generator, n: int, level: float) -> Group:
    """Sums and counts of texts whose tokens share a level."""
    counts = rng.integers(1, 9, n).astype(np.float64)
    return rng.normal(level, 1.0, n) * counts, counts


def test_the_error_of_a_mean_is_that_of_independent_texts() -> None:
    rng = np.random.default_rng(0)
    values, errors = np.array([ratio(*some(rng, 40, 0.5)) for _ in range(600)]).T
    assert values.mean() == pytest.approx(0.5, abs=0.03)
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)


def test_groups_weigh_with_all_their_tokens_however_many_were_drawn() -> None:
    rng = np.random.default_rng(1)
    tokens = [4000, 1000]
    drawn = [stratified([some(rng, 12, 0.0), some(rng, 40, 1.0)], tokens) for _ in range(600)]
    values, errors = np.array(drawn).T
    assert values.mean() == pytest.approx(0.2, abs=0.03)
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)


def test_all_texts_drawn_give_the_mean_over_all_tokens() -> None:
    rng = np.random.default_rng(2)
    groups = [some(rng, 5, 0.0), some(rng, 9, 2.0)]
    found = stratified(groups, [int(counts.sum()) for _, counts in groups])
    sums, counts = (np.concatenate(part) for part in zip(*groups, strict=True))
    assert found.value == pytest.approx(sums.sum() / counts.sum())


def test_too_few_texts_tell_no_error() -> None:
    one, none = np.array([3.0]), np.empty(0)
    assert ratio(one, np.array([2.0])) == Mean(1.5, float("inf"))
    assert ratio(none, none) == ratio(np.zeros(3), np.zeros(3)) == Mean(0.0, float("inf"))
    assert stratified([(none, none)], [0]) == Mean(0.0, float("inf"))
    several = (np.array([1.0, 3.0, 2.0]), np.ones(3))
    assert stratified([several, (none, none)], [3, 0]) == ratio(*several)


def test_plain_data_says_what_is_not_known() -> None:
    assert Mean(1.0, 0.5).to_json() == {
        "value": 1.0,
        "error": 0.5,
        "interval": [pytest.approx(0.02), pytest.approx(1.98)],
    }
    assert Mean(1.0, float("inf")).to_json() == {"value": 1.0, "error": None, "interval": None}
    for mean in (Mean(1.0, 0.5), Mean(-2.0, float("inf"))):
        assert Mean.from_json(mean.to_json()) == mean
    assert Mean(0.99, 0.5).positive
    assert not Mean(0.97, 0.5).positive
    assert Mean(3.0, 3.0).less(Mean(1.0, 4.0)) == Mean(2.0, 5.0)
