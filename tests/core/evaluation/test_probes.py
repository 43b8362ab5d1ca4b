"""Probes find what was planted, guess at noise, and treat dense and sparse alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from mfn_core.evaluation.probes import Split, auc, candidates, full, held_back, k_sparse, single


def planted(seed: int = 0, noise: float = 0.3) -> Split:
    """A concept that is the sum of dimensions 3 and 7 of 40, either of which alone tells it in part; sparse."""
    rng = np.random.default_rng(seed)
    x = (rng.random((900, 40)) * (rng.random((900, 40)) < 0.3)).astype(np.float32)
    y = x[:, 3] + x[:, 7] + noise * 0.1 * rng.normal(size=900) > 0.35
    return Split(x[:600], y[:600], x[600:], y[600:], np.arange(600) // 4)


def thinned(split: Split) -> Split:
    return split._replace(fit_x=sparse.csr_array(split.fit_x), score_x=sparse.csr_array(split.score_x))


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([0.0, 1.0, 1.0, 2.0]), np.array([False, False, True, True])) == pytest.approx(3.5 / 4)
    with pytest.raises(ValueError, match="one label"):
        auc(np.zeros(2), np.array([True, True]))


def test_the_best_single_dimension_is_best_by_auc() -> None:
    split = planted(noise=3.0)
    found = [auc(column, split.fit_y) for column in split.fit_x.T]
    assert single(split).dimensions[0] == np.abs(np.array(found) - 0.5).argmax()


def test_two_dimensions_are_found_and_beat_one() -> None:
    split = planted()
    assert set(candidates(split.fit_x, split.fit_y, 2)) == {3, 7}
    one, two = single(split), k_sparse(split, 2)
    assert one.dimensions[0] in (3, 7)
    assert set(two.dimensions) == {3, 7}
    assert one.auc < 0.9 < two.auc
    assert full(split).auc > one.auc


def test_sparse_and_dense_are_the_same() -> None:
    split = planted()
    for probe in (single, full, lambda given: k_sparse(given, 5)):
        assert probe(thinned(split)).auc == pytest.approx(probe(split).auc, abs=1e-3)


def test_noise_is_guessed_at() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1200, 30)).astype(np.float32), rng.random(1200) < 0.3
    split = Split(x[:600], y[:600], x[600:], y[600:], np.arange(600))
    for probe in (single, full, lambda given: k_sparse(given, 5)):
        assert probe(split).auc == pytest.approx(0.5, abs=0.08)


def test_a_dimension_that_falls_with_the_concept_is_read_with_its_sign() -> None:
    split = planted()
    turned = split._replace(fit_x=-split.fit_x, score_x=-split.score_x)
    assert single(turned).auc == pytest.approx(single(split).auc)


def test_the_scored_part_decides_nothing() -> None:
    split = planted()
    other = split._replace(score_x=split.score_x[::-1].copy(), score_y=~split.score_y[::-1])
    assert np.array_equal(k_sparse(split, 5).dimensions, k_sparse(other, 5).dimensions)
    assert k_sparse(other, 5).auc == pytest.approx(1 - k_sparse(split, 5).auc)


def test_few_instances_are_enough_to_try() -> None:
    split = planted()
    few = np.zeros(600, np.bool_)
    few[:2] = True
    assert 0.0 <= full(split._replace(fit_y=few)).auc <= 1.0


def test_whole_texts_are_held_back() -> None:
    split = planted()
    held = held_back(split, 0)
    assert held is not None
    assert not set(split.fit_text[held]) & set(split.fit_text[~held])
    assert held.mean() == pytest.approx(0.25, abs=0.05)
    assert held_back(split._replace(fit_text=np.zeros(600, np.int64)), 0) is None
