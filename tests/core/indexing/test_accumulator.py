"""The state of a layer against brute force, and against itself in other orders and shards."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfn_core.errors import ConfigError, MFNError
from mfn_core.indexing import rows
from mfn_core.indexing.accumulator import LayerAccumulator, WindowBatch
from mfn_core.indexing.exact import SquareSums
from mfn_core.indexing.finish import finish_layer
from mfn_core.indexing.from_weights import WeightFacts
from mfn_core.indexing.grid import LogGrid
from mfn_core.indexing.ladder import RUNGS
from mfn_core.indexing.types import IndexSettings, LayerIndex

from .reference import Corpus, expect, stored

F, V, L, K = 7, 11, 8, 3
SETTINGS = IndexSettings(n_top=4, per_band=2, bands=4, window=L, n_tokens=3, hist_bins=8, band_bins=24)


def random_corpus(seed: int, n_windows: int, coarse: bool, silent: float) -> Corpus:
    """Codes with every awkward thing: ties (`coarse`), silent entries, dead features, padding, values off the scale."""
    rng = np.random.default_rng(seed)
    indices = np.argsort(rng.random((n_windows, L, F - 1)), axis=-1)[..., :K]  # the last feature never fires
    indices[indices == 1] = F - 2  # nor does feature 1
    values = rng.lognormal(0, 3, (n_windows, L, K)).astype(np.float32)
    if coarse:
        values = np.rint(np.minimum(values, 3)).astype(np.float32)
    values[rng.random(values.shape) < silent] = 0
    for j in range(1, K):  # a feature at most once a token
        values[..., j][(indices[..., :j] == indices[..., j : j + 1]).any(-1)] = 0
    place = rng.permutation(3 * n_windows)[:n_windows]
    counted = rng.random((n_windows, L)) < 0.9
    tokens, following = rng.integers(0, V, (n_windows, L)), rng.integers(-1, V, (n_windows, L))
    return Corpus(place // 3, place % 3 * L, tokens, following, counted, indices, values)


corpora = st.builds(
    random_corpus,
    seed=st.integers(0, 2**32 - 1),
    n_windows=st.integers(1, 60),
    coarse=st.booleans(),
    silent=st.sampled_from([0.0, 0.3, 0.98]),
)


def accumulate(corpus: Corpus, parts: list[NDArray[np.int64]], options: IndexSettings = SETTINGS) -> LayerAccumulator:
    state = LayerAccumulator(F, V, options)
    for part in parts:
        state.add(corpus.batch(part), corpus.indices[part], corpus.values[part])
    return state


def whole(corpus: Corpus) -> list[NDArray[np.int64]]:
    return [np.arange(len(corpus.document))]


def finished(state: LayerAccumulator, corpus: Corpus) -> LayerIndex:
    nothing = WeightFacts(*(np.zeros((F, 0), t) for t in (np.int32, np.float32) * 3))
    return finish_layer(0, state, nothing, np.full(corpus.document.max() + 1, 3 * L - 1), corpus.token_counts(V))


def assert_same(a: LayerAccumulator, b: LayerAccumulator) -> None:
    mine, theirs = a.arrays(), b.arrays()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype, name
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_equals_brute_force(corpus: Corpus) -> None:
    index = finished(accumulate(corpus, whole(corpus)), corpus)
    for feature in range(F):
        truth = expect(corpus, feature, SETTINGS, index.bin_edges)
        assert index.firing_count[feature] == truth.count
        assert index.mean[feature] == pytest.approx(truth.mean, rel=1e-6, abs=2**-24)
        assert index.maximum[feature] == np.float32(truth.maximum)
        assert index.histogram[feature].tolist() == truth.histogram
        top = stored(index.contexts, feature, kind=0)
        assert [c[:5] for c in top] == [c[:5] for c in truth.top]
        for (*_, values, _), (*_, exact) in zip(top, truth.top, strict=True):
            assert values == np.minimum(exact, 65504).astype(np.float16).tolist()
        shares = zip(index.top_token_ids[feature].tolist(), index.top_token_share[feature].tolist(), strict=True)
        assert [(token, share) for token, share in shares if share > 0] == [
            (token, np.float32(share)) for token, share in truth.top_tokens
        ]


@settings(max_examples=60, deadline=None)
@given(corpora)
def test_bands_hold_what_they_say(corpus: Corpus) -> None:
    index = finished(accumulate(corpus, whole(corpus)), corpus)
    for feature in range(F):
        peaks = expect(corpus, feature, SETTINGS, index.bin_edges).peaks
        edges = index.band_edges[feature]
        assert (np.diff(edges) >= 0).all()
        assert edges[-1] == index.maximum[feature]
        assert index.band_count[feature].sum() == len(peaks)
        samples = stored(index.contexts, feature, kind=1)
        for band in range(SETTINGS.bands):
            last = not index.band_count[feature, band + 1 :].any()
            inside = {w for w, v in peaks.items() if edges[band] <= v and (last or v < edges[band + 1])}
            count = index.band_count[feature, band]
            if count:
                assert len(inside) == count
            drawn = [(c[0], c[1]) for c in samples if c[-1] == band]
            assert len(drawn) == len(set(drawn)) == min(count, SETTINGS.per_band)
            assert set(drawn) <= inside
            assert all(c[3] == peaks[c[0], c[1]] for c in samples)


@settings(max_examples=60, deadline=None)
@given(corpora, st.data())
def test_order_batches_and_shards_change_nothing(corpus: Corpus, data: st.DataObject) -> None:
    n = len(corpus.document)
    order = np.array(data.draw(st.permutations(range(n))))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    parts = np.split(order, cuts)
    reference = accumulate(corpus, whole(corpus))
    assert_same(accumulate(corpus, parts), reference)

    shards = [accumulate(corpus, [part]) for part in parts]
    from_left = shards[0]
    for shard in shards[1:]:
        from_left = from_left.merge(shard)
    from_right = shards[-1]
    for shard in reversed(shards[:-1]):
        from_right = shard.merge(from_right)
    assert_same(from_left, reference)
    assert_same(from_right, reference)


def test_merging_goes_on_afterwards() -> None:
    """A merged state, and one that was looked at, take in more as any other; merging leaves its parts as they were."""
    corpus = random_corpus(1, 60, coarse=True, silent=0.0)
    parts = np.split(np.arange(60), 6)
    a, b = accumulate(corpus, parts[:2]), accumulate(corpus, parts[2:4])
    before = {name: array.copy() for name, array in a.arrays().items()}
    both = a.merge(b)
    for part in parts[4:]:
        both.add(corpus.batch(part), corpus.indices[part], corpus.values[part])
    assert_same(both, accumulate(corpus, whole(corpus)))
    for name, array in a.arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_small_buffers_keep_the_same_contexts() -> None:
    """The threshold that lets few rows through, once it is in force, turns away none that belongs."""
    corpus = random_corpus(2, 60, coarse=True, silent=0.0)
    state = LayerAccumulator(F, V, SETTINGS)
    state.top._buffer = state.sample._buffer = state.tokens.rungs[0]._buffer = 1
    for part in np.split(np.arange(60), 60):
        state.add(corpus.batch(part), corpus.indices[part], corpus.values[part])
    assert_same(state, accumulate(corpus, whole(corpus)))


@settings(max_examples=40, deadline=None)
@given(corpora, st.data())
def test_parts_keep_the_same_contexts(corpus: Corpus, data: st.DataObject) -> None:
    """What is kept does not depend on how many features share a part."""
    parts = np.array_split(np.arange(len(corpus.document)), data.draw(st.integers(1, 6)))
    reference = accumulate(corpus, parts)
    with patch.object(rows, "FEATURES_A_PART", data.draw(st.integers(1, 4))):
        state = LayerAccumulator(F, V, SETTINGS)
        state.top._buffer = state.sample._buffer = data.draw(st.integers(1, 40))
        for part in parts:
            state.add(corpus.batch(part), corpus.indices[part], corpus.values[part])
        assert len(state.sample.parts()) == -(-F // rows.FEATURES_A_PART)
        assert_same(state, reference)
        assert_same(state.merge(LayerAccumulator(F, V, SETTINGS)), reference)
        mine, theirs = finished(state, corpus).contexts, finished(reference, corpus).contexts
        for name, array in vars(mine).items():
            np.testing.assert_array_equal(array, getattr(theirs, name), err_msg=name)


def test_a_band_sample_is_fair() -> None:
    """Each context of a band is drawn as often as any other, over many features with the same codes."""
    n, n_features = 40, 600
    options = replace(SETTINGS, bands=1, per_band=4)
    state = LayerAccumulator(n_features, V, options)
    indices = np.broadcast_to(np.arange(n_features), (n, 1, n_features))
    values = np.broadcast_to(np.linspace(1, 2, n, dtype=np.float32)[:, None, None], indices.shape)
    nothing_else = np.zeros((n, 1), np.int64)
    batch = WindowBatch(np.arange(n), np.zeros(n, np.int64), nothing_else, nothing_else, np.ones((n, 1), np.bool_))
    state.add(batch, indices, values)
    nothing = WeightFacts(*(np.zeros((n_features, 0), t) for t in (np.int32, np.float32) * 3))
    contexts = finish_layer(0, state, nothing, np.ones(n, np.int64), np.zeros((RUNGS, 2, V), np.int64)).contexts
    drawn = np.bincount(contexts.document[contexts.kind == 1], minlength=n)
    expected = 4 * n_features / n
    assert drawn.sum() == 4 * n_features
    assert abs(drawn - expected).max() < 5 * np.sqrt(expected)


def test_dead_features_are_all_zero() -> None:
    corpus = random_corpus(3, 30, coarse=False, silent=0.0)
    index = finished(accumulate(corpus, whole(corpus)), corpus)
    for dead in (1, F - 1):
        assert index.firing_count[dead] == index.mean[dead] == index.maximum[dead] == 0
        assert not index.histogram[dead].any()
        assert not index.band_count[dead].any()
        assert not index.band_edges[dead].any()
        assert (index.top_token_ids[dead] == -1).all()
        assert dead not in index.contexts.feature


def test_nothing_at_all_is_an_empty_index() -> None:
    corpus = random_corpus(4, 5, coarse=False, silent=1.0)
    index = finished(accumulate(corpus, whole(corpus)), corpus)
    assert len(index.contexts) == 0
    assert index.contexts.offsets.tolist() == [0]


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_values_that_mean_nothing_are_refused(bad: float) -> None:
    corpus = random_corpus(5, 5, coarse=False, silent=0.0)
    corpus.values[2, 3, 1] = bad
    with pytest.raises(MFNError, match="negative or non-finite"):
        accumulate(corpus, whole(corpus))


def test_states_of_different_settings_do_not_merge() -> None:
    with pytest.raises(ValueError, match="cannot be merged"):
        LayerAccumulator(F, V, SETTINGS).merge(LayerAccumulator(F, V, replace(SETTINGS, n_top=5)))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_grid_looks_up_what_a_search_finds(n: int, seed: int) -> None:
    grid = LogGrid(n, 2.0**-8, 2.0**8)
    values = np.exp(np.random.default_rng(seed).uniform(-8, 8, 500)).astype(np.float32)
    values = np.concatenate([values, grid.edges, np.nextafter(grid.edges, np.float32(0))])
    expected = np.clip(np.searchsorted(grid.edges, values, side="right") - 1, 0, n - 1)
    np.testing.assert_array_equal(grid.bin_of(values), expected)
    assert np.abs(np.diff(np.log(grid.edges)) * n / np.log(2.0**16) - 1).max() < n / 300


def test_too_fine_a_grid_is_refused() -> None:
    with pytest.raises(ConfigError, match="too many"):
        LogGrid(3000, 2.0**-8, 2.0**8)


def test_counts_that_outgrow_32_bits_stay_exact() -> None:
    """Merged or taken in one after the other, wide already or not yet; and narrow where they fit."""
    corpus = random_corpus(6, 40, coarse=True, silent=0.0)
    halves = np.split(np.arange(40), 2)
    plain = accumulate(corpus, whole(corpus))
    assert plain.histogram.dtype == plain.band_histogram.dtype == np.uint32
    much = np.zeros((F, 8), np.int64)
    much[3, 2] = 2**32 - 5

    def with_much(state: LayerAccumulator) -> LayerAccumulator:
        nothing = np.zeros((F, 24), np.int64)
        state.add_counts(much.sum(1), np.zeros(F, np.int64), np.zeros(F, np.float32), much, nothing)
        return state

    one_by_one = with_much(LayerAccumulator(F, V, SETTINGS))
    assert one_by_one.histogram.dtype == np.uint32
    for half in halves:
        one_by_one.add(corpus.batch(half), corpus.indices[half], corpus.values[half])
    assert one_by_one.histogram.dtype == one_by_one.band_histogram.dtype == np.int64
    np.testing.assert_array_equal(one_by_one.histogram, plain.histogram + much)
    np.testing.assert_array_equal(one_by_one.band_histogram, plain.band_histogram)
    a, b = (accumulate(corpus, [half]) for half in halves)
    assert_same(with_much(a).merge(b), one_by_one)
    assert_same(b.merge(a), one_by_one)
    assert_same(LayerAccumulator.from_arrays(F, V, SETTINGS, one_by_one.arrays()), one_by_one)


def test_squares_are_summed_alike_into_few_groups_and_many() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(0, 3, 50).astype(np.float32)
    few, many = SquareSums(3), SquareSums(1000)
    group = rng.integers(0, 3, 50)
    few.add(group, values)
    many.add(group, values)
    np.testing.assert_array_equal(few.units, many.units[:3])
    np.testing.assert_array_equal(few.rest, many.rest[:3])
    expected = [sum(float(v) ** 2 for v in values[group == g]) for g in range(3)]
    np.testing.assert_allclose(many.values()[:3], expected, rtol=1e-9)
