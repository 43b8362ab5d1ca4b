"""What fires together and what comes next, against counts by hand, and on planted features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core.indexing import cofiring as module
from mfn_core.indexing.cofiring import cofiring, firings_of, log_likelihood_ratio, next_tokens
from mfn_core.indexing.token_sample import NO_TOKEN, SampledTokens

from .reference import Corpus, expected_next, expected_partners, expected_sample
from .test_accumulator import SETTINGS, F, accumulate, corpora, finished, whole


def sample_of(z: np.ndarray, following: np.ndarray | None = None) -> SampledTokens:
    """From which features fire on each token: bool [n, F]."""
    after = np.full(len(z), NO_TOKEN) if following is None else following
    features = np.nonzero(z)[1].astype(np.int32)
    return SampledTokens(
        np.arange(len(z), dtype=np.uint64), after.astype(np.int32), z.sum(1).astype(np.int32), features
    )


@settings(max_examples=60, deadline=None)
@given(corpora, st.sampled_from([100, 400, 1 << 20]), st.integers(0, 4))
def test_equals_counts_by_hand(corpus: Corpus, most: int, kept: int) -> None:
    options = replace(SETTINGS, max_sample_firings=most, n_cofiring=kept)
    index = finished(accumulate(corpus, whole(corpus), options), corpus)
    sample = expected_sample(corpus, most)
    assert index.sampled_tokens == len(sample)
    assert index.sampled_firings is not None
    assert index.next_token_ids is not None
    assert index.next_token_share is not None
    assert index.cofiring_ids is not None
    assert index.cofiring_ids.shape == (F, kept)
    for feature in range(F):
        assert index.sampled_firings[feature] == sum(feature in fires for _, fires, _ in sample)
        rows = zip(index.next_token_ids[feature].tolist(), index.next_token_share[feature].tolist(), strict=True)
        after = [(token, np.float32(share)) for token, share in expected_next(sample, feature)]
        padded = after[: options.n_tokens] + [(-1, 0.0)] * options.n_tokens
        assert list(rows) == padded[: options.n_tokens]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 300),
    st.integers(1, 40),
    st.integers(1, 5),
    st.sampled_from([1, 50, 1 << 19]),
)
def test_partners_are_those_of_tables_written_out(seed: int, n: int, n_features: int, kept: int, piece: int) -> None:
    """Features of all rates that follow one another or not; in pieces of any size, by table or by sorting."""
    rng = np.random.default_rng(seed)
    causes = rng.random((n, 5)) < 0.2
    z = rng.random((n, n_features)) < rng.beta(0.3, 2, n_features)
    z |= causes[:, rng.integers(0, 5, n_features)] & (rng.random((n, n_features)) < rng.random(n_features))
    sample = sample_of(z)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PAIRS", piece)
        found = cofiring(sample, n_features, kept)
    tokens = [(0, set(np.flatnonzero(row).tolist()), -1) for row in z]
    for feature in range(n_features):
        expected = expected_partners(tokens, feature, n_features)[:kept]
        k = len(expected)
        assert found.ids[feature, :k].tolist() == [other for other, _, _ in expected]
        assert found.lift[feature, :k].tolist() == pytest.approx([lift for _, lift, _ in expected], rel=1e-6)
        assert found.joint[feature, :k].tolist() == [joint for _, _, joint in expected]
        assert (found.ids[feature, k:] == -1).all()
        assert not found.joint[feature, k:].any()
        assert not found.lift[feature, k:].any()


def test_independent_features_have_no_partners() -> None:
    """Whatever their rates: of 300 features about 3 may get one, by the bound."""
    rng = np.random.default_rng(0)
    z = rng.random((20_000, 300)) < np.geomspace(1e-4, 0.5, 300)
    assert (cofiring(sample_of(z), 300, 1).ids >= 0).sum() <= 3


def test_the_best_partner_is_neither_the_rarest_nor_the_most_frequent() -> None:
    rng = np.random.default_rng(0)
    n = 30_000
    z = np.zeros((n, 5), np.bool_)
    z[:, 0] = rng.random(n) < 0.02
    z[:, 1] = z[:, 0] & (rng.random(n) < 0.7)  # its real partner
    z[:, 2] = (rng.random(n) < 0.5) | (z[:, 0] & (rng.random(n) < 0.5))  # on everywhere, somewhat more beside it
    z[np.flatnonzero(z[:, 0])[:4], 3] = True  # seldom, but never without it
    z[:, 4] = rng.random(n) < np.where(z[:, 0], 0.1, 0.5)  # less often beside it than elsewhere
    found = cofiring(sample_of(z), 5, 4)
    assert found.ids[0].tolist() == [1, 2, 3, -1]
    assert found.lift[0, 0] == pytest.approx(1 / z[:, 0].mean(), rel=1e-5)
    assert found.lift[0, 1] == pytest.approx(1.5, abs=0.1)
    assert found.joint[0].tolist() == [z[:, 1].sum(), (z[:, 0] & z[:, 2]).sum(), 4, 0]
    assert found.ids[3, 0] in (0, 1)


def test_g2_where_it_is_known_in_closed_form() -> None:
    """0 for independent features; 2 n times the entropy for two that are the same; the same from either side."""
    n = 120
    independent, same = log_likelihood_ratio(np.array([10, 30]), np.array([30, 30]), np.array([40, 30]), n)
    assert independent == pytest.approx(0, abs=1e-12)
    assert same == pytest.approx(-2 * (30 * np.log(0.25) + 90 * np.log(0.75)))
    both = log_likelihood_ratio(np.array([5, 5]), np.array([5, 9]), np.array([9, 5]), 20)
    assert both[0] == pytest.approx(both[1])


def test_the_last_token_of_a_document_is_followed_by_none() -> None:
    z = np.array([[1, 0], [1, 0], [1, 1], [0, 1]], np.bool_)
    sample = sample_of(z, np.array([4, 2, NO_TOKEN, NO_TOKEN]))
    ids, counts = next_tokens(sample, 2, 5, 3)
    assert ids.tolist() == [[2, 4, -1], [-1, -1, -1]]
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert firings_of(sample, 2).tolist() == [3, 2]


def test_an_empty_sample_knows_nothing() -> None:
    found = cofiring(SampledTokens.none(), 3, 2)
    assert (found.ids == -1).all()
    assert (next_tokens(SampledTokens.none(), 3, 5, 2)[0] == -1).all()
