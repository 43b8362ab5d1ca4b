"""Measures against plain references in float64, and their intervals where all was told right."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mfn_core.naming.measures import auc, balanced_accuracy, correlation, kappa, share_right


def test_balanced_accuracy_is_the_mean_of_both_shares() -> None:
    found = balanced_accuracy([True, True, True, False], [1, 0, 0, 1])
    assert found.value == pytest.approx((1 / 3 + 1) / 2)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    unread = balanced_accuracy([True, True, False], [1, 0.5, 0.5])
    assert unread.value == pytest.approx((0.75 + 0.5) / 2)
    for one_sided in ([True, True], [False]):
        with pytest.raises(ValueError, match="must both occur"):
            balanced_accuracy(one_sided, [1] * len(one_sided))


def test_intervals_do_not_vanish_where_all_was_right() -> None:
    for found in (
        balanced_accuracy([True] * 5 + [False] * 5, [1] * 10),
        share_right([1.0] * 6),
        auc([True] * 5 + [False] * 5, [2.0] * 5 + [1.0] * 5),
    ):
        assert found.value == 1
        assert found.high == pytest.approx(1)
        assert found.low is not None
        assert 0.4 < found.low < 0.9


def test_auc_counts_pairs_and_its_interval_holds_what_is_true() -> None:
    rng = np.random.default_rng(0)
    true, scores = rng.random(30) < 0.4, np.round(rng.normal(size=30), 1)
    pairs = list(product(scores[true], scores[~true]))
    plain = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
    found = auc(true, scores)
    assert found.value == pytest.approx(plain, abs=1e-12)
    # a shift of 1 between normal distributions has the AUC Φ(1/√2)
    holds = 0
    for seed in range(200):
        each = np.random.default_rng([1, seed])
        of = auc([True] * 12 + [False] * 15, np.concatenate([each.normal(1, 1, 12), each.normal(0, 1, 15)]))
        assert of.low is not None
        assert of.high is not None
        holds += of.low <= 0.76025 <= of.high
    assert 180 <= holds <= 200


def test_correlation_is_that_of_all_tokens_and_0_for_a_constant() -> None:
    rng = np.random.default_rng(0)
    real = [rng.normal(size=n) for n in (5, 9, 7)]
    told = [each + rng.normal(size=len(each)) for each in real]
    found = correlation(real, told)
    assert found.value == pytest.approx(np.corrcoef(np.concatenate(real), np.concatenate(told))[0, 1], abs=1e-12)
    assert found == correlation(real, told)
    assert correlation(real, [3 * each - 1 for each in real]).value == pytest.approx(1)
    assert correlation(real, [np.full(len(each), 0.1) for each in real]).value == 0
    assert correlation(real[:2], told[:2])[1:] == (None, None)


def test_kappa_against_its_table() -> None:
    a = [1] * 20 + [1] * 5 + [0] * 10 + [0] * 15
    b = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    found = kappa(a, b)  # Cohen's usual example: 35 of 50 alike, chance 0.5
    assert found is not None
    assert found.value == pytest.approx((0.7 - 0.5) / 0.5)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high
    same = kappa([1, 0, 1], [1, 0, 1])
    assert same is not None
    assert same.value == 1
    one_says_all = kappa([1, 1, 1], [1, 0, 1])
    assert one_says_all is not None
    assert one_says_all.value == 0
    assert kappa([1, 1, 1], [1, 1, 1]) is None
