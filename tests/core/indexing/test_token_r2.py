"""Token R² against a look-up token by token, and on planted features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core.indexing.exact import SquareSums
from mfn_core.indexing.token_r2 import MIN_FIRINGS, half_of, summarize

from .reference import Corpus, expected_token_r2
from .test_accumulator import F, L, V, accumulate, corpora, finished, random_corpus, whole


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_equals_a_lookup_token_by_token(corpus: Corpus) -> None:
    corpus.values[corpus.values < 2**-4] = 0  # below, rounding of what is summed would show
    index = finished(accumulate(corpus, whole(corpus)), corpus)
    assert index.token_r2 is not None
    assert index.half_firings is not None
    for feature in range(F):
        truth = expected_token_r2(corpus, feature)
        assert index.token_r2[feature] == pytest.approx(truth, rel=1e-4, abs=1e-4, nan_ok=True)
        firings = [sum(z > 0 for _, z in half) for half in corpus.activations(feature)]
        assert index.half_firings[feature] == min(firings)


def planted(n_documents: int) -> Corpus:
    """Feature 0 fires on token 5; 1 on any token alike; 2 on every second 3; 3 everywhere alike; the others never."""
    rng = np.random.default_rng(0)
    shape = (n_documents, L)
    tokens = rng.integers(0, V, shape)
    z = np.zeros((*shape, 4), np.float32)
    z[..., 0] = 2.0 * (tokens == 5)
    z[..., 1] = rng.random(shape) < 0.2
    z[..., 2] = 3.0 * ((tokens == 3) & (rng.random(shape) < 0.5))
    z[..., 3] = 0.7
    indices = np.broadcast_to(np.arange(4), z.shape)
    start, counted = np.zeros(n_documents, np.int64), np.ones(shape, np.bool_)
    return Corpus(np.arange(n_documents), start, tokens, np.full(shape, -1), counted, indices, z)


def test_a_token_feature_has_1_and_a_context_feature_0() -> None:
    corpus = planted(4000)
    index = finished(accumulate(corpus, whole(corpus)), corpus)
    r2 = index.token_r2
    assert r2 is not None
    assert r2[0] == pytest.approx(1.0, abs=1e-6)
    assert r2[1] == pytest.approx(0.0, abs=0.01)
    assert r2[2] == pytest.approx(10 / 21, abs=0.02)  # Var E[z|token] / Var z, for a token in 11 and half of its places
    assert np.isnan(r2[3:]).all(), "what never varies, or never fires, leaves nothing to explain"
    assert index.half_firings is not None
    assert index.half_firings[0] > MIN_FIRINGS
    assert (index.half_firings[4:] == 0).all()


def test_a_corpus_of_one_document_has_no_other_half() -> None:
    corpus = planted(1)
    index = finished(accumulate(corpus, whole(corpus)), corpus)
    assert index.token_r2 is not None
    assert np.isnan(index.token_r2).all()


def test_documents_are_halved_once_and_for_all() -> None:
    halves = half_of(np.arange(20_000))
    assert set(halves.tolist()) == {0, 1}
    assert abs(halves.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(halves[1:], halves[:-1])[0, 1]) < 0.03
    assert "".join(map(str, half_of(np.arange(24)).tolist())) == "010111101110111110000111"


def test_windows_of_a_document_share_its_half() -> None:
    """A random corpus has documents of several windows; the halves then hold whole documents."""
    corpus = random_corpus(7, 60, coarse=True, silent=0.0)
    first = {d for d, half in zip(corpus.document.tolist(), half_of(corpus.document).tolist(), strict=True) if half}
    state = accumulate(corpus, whole(corpus))
    inside = np.isin(corpus.document, list(first))
    alone = accumulate(corpus, [np.flatnonzero(inside)])
    (mine_all,), (theirs_all,) = alone.tokens.rungs, state.tokens.rungs
    assert len(mine_all.of_half(0).keys) == 0
    for mine, theirs in zip(mine_all.of_half(1), theirs_all.of_half(1), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(2**-20, 2**20, width=32)), max_size=60), st.integers(0, 60))
def test_sums_of_squares_are_exact_in_any_order(added: list[tuple[int, float]], cut: int) -> None:
    group = np.array([g for g, _ in added], np.int64)
    values = np.array([v for _, v in added], np.float32)
    once, other = SquareSums(3), SquareSums(3)
    once.add(group, values)
    for i in range(len(added))[::-1][:cut]:
        other.add(group[i : i + 1], values[i : i + 1])
    rest = SquareSums(3)
    rest.add(group[: max(len(added) - cut, 0)], values[: max(len(added) - cut, 0)])
    both = rest.merge(other)
    np.testing.assert_array_equal(both.units, once.units)
    np.testing.assert_array_equal(both.rest, once.rest)
    exact = np.zeros(3)
    np.add.at(exact, group, values.astype(np.float64) ** 2)
    np.testing.assert_allclose(once.values(), exact, rtol=1e-12, atol=60 * 2.0**-33)


def test_a_summary_is_of_features_that_fire_often_enough() -> None:
    r2 = np.array([0.1, 0.2, 0.9, np.nan, -3.0], np.float32)
    firings = np.array([200, 500, 10_000, 900, 199])
    found = summarize(r2, firings)
    assert (found.n, found.median, found.context_share) == (3, pytest.approx(0.2), pytest.approx(2 / 3))
    assert found.quantiles[0.25] == pytest.approx(0.15)
    assert summarize(r2[3:], firings[3:]).median is None
