"""Pairs of feature and token where there is no room for all: what is kept, from which sample of the tokens it comes,
and that neither depends on order, cuts or merging."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core.indexing import ladder
from mfn_core.indexing.accumulator import LayerAccumulator
from mfn_core.indexing.ladder import RUNGS, level_of
from mfn_core.indexing.rows import place_of
from mfn_core.indexing.tallies import TokenTally, fair_share

from .reference import Corpus, expect, expected_rungs, expected_token_r2
from .test_accumulator import SETTINGS, F, V, accumulate, assert_same, corpora, finished, random_corpus, whole

rooms = st.integers(0, 2 * F * V - 1)


@pytest.fixture(autouse=True, scope="module")
def _rungs_that_halve() -> Iterator[None]:
    """So that a small corpus has tokens on every rung."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "BITS", 1)
        yield


@settings(max_examples=60, deadline=None)
@given(corpora, rooms)
def test_equals_brute_force(corpus: Corpus, room: int) -> None:
    """Of each feature, from the lowest rung with room for it: tokens, token R², and the share of all that was seen."""
    corpus.values[corpus.values < 2**-4] = 0  # below, rounding of what is summed would show
    index = finished(accumulate(corpus, whole(corpus), replace(SETTINGS, max_token_pairs=room)), corpus)
    assert index.token_r2 is not None
    assert index.half_firings is not None
    share = np.ones(F) if index.counted_share is None else index.counted_share
    on_rungs = [corpus.on_rung(number) for number in range(RUNGS)]
    for feature, rung in enumerate(expected_rungs(corpus, F, room)):
        listed = zip(index.top_token_ids[feature].tolist(), index.top_token_share[feature].tolist(), strict=True)
        named = [(token, of_it) for token, of_it in listed if of_it > 0]
        if rung == RUNGS:
            assert (share[feature], index.half_firings[feature], named) == (0, 0, [])
            assert np.isnan(index.token_r2[feature])
            continue
        part = on_rungs[rung]
        truth = expect(part, feature, SETTINGS, index.bin_edges)
        assert named == [(token, np.float32(of_it)) for token, of_it in truth.top_tokens]
        r2 = expected_token_r2(part, feature)
        assert index.token_r2[feature] == pytest.approx(r2, rel=1e-4, abs=1e-4, nan_ok=True)
        assert index.half_firings[feature] == min(sum(z > 0 for _, z in half) for half in part.activations(feature))
        assert share[feature] == pytest.approx(part.counted.sum() / max(corpus.counted.sum(), 1))


@settings(max_examples=60, deadline=None)
@given(corpora, rooms, st.sampled_from([1, 40, 1 << 20]), st.data())
def test_order_batches_and_shards_change_nothing(corpus: Corpus, room: int, buffer: int, data: st.DataObject) -> None:
    options = replace(SETTINGS, max_token_pairs=room)
    reference = accumulate(corpus, whole(corpus), options)
    order = np.array(data.draw(st.permutations(range(len(corpus.document)))))
    parts = np.split(order, sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4))))

    def take(parts: list[np.ndarray]) -> LayerAccumulator:
        state = LayerAccumulator(F, V, options)
        for rung in state.tokens.rungs:
            rung._buffer = buffer
        for part in parts:
            state.add(corpus.batch(part), corpus.indices[part], corpus.values[part])
            if len(part) % 2:
                state.arrays()  # looked at on the way
        return state

    assert_same(take(parts), reference)
    shards = [take([part]) for part in parts]
    merged = shards[0]
    for shard in shards[1:]:
        merged = shard.merge(merged)
    assert_same(merged, reference)
    saved = LayerAccumulator.from_arrays(F, V, options, take(parts[:-1]).arrays())
    saved.add(corpus.batch(parts[-1]), corpus.indices[parts[-1]], corpus.values[parts[-1]])
    assert_same(saved, reference)


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(0, 60))
def test_a_fair_share_is_the_greatest_that_fits(amounts: list[int], room: int) -> None:
    share = fair_share(np.array(amounts, np.int64), room)
    assert sum(min(amount, share) for amount in amounts) <= room
    most = max(amounts, default=0)
    assert share == most or sum(min(amount, share + 1) for amount in amounts) > room


def test_the_room_is_kept_however_long_the_text() -> None:
    """Tokens that never come again: every firing is a new pair, and the tallies do not grow beyond their room."""
    tally = TokenTally(4, 100_000, 50, buffer=1)
    rng = np.random.default_rng(0)
    for first in range(0, 40_000, 100):
        features = rng.choice(5, (100, 1), p=[0.4, 0.4, 0.1999, 0.0001, 0]).astype(np.uint16)
        tally.add(rng.integers(0, 2, 100), np.arange(first, first + 100), features, np.ones((100, 1), np.float32))
        assert len(tally._kept.keys) <= 50
    assert len(tally.pairs().keys) <= 50
    assert tally.crowded.tolist() == [True, True, True, False]


def test_the_rare_features_keep_their_tokens() -> None:
    corpus = random_corpus(21, 60, coarse=True, silent=0.0)
    corpus.indices[(corpus.indices == 3) & (corpus.tokens[..., None] > 1)] = 4  # feature 3 fires on two tokens alone
    for j in (1, 2):
        corpus.values[..., j][(corpus.indices[..., :j] == corpus.indices[..., j : j + 1]).any(-1)] = 0
    index = finished(accumulate(corpus, whole(corpus), replace(SETTINGS, max_token_pairs=40)), corpus)
    assert index.counted_share is not None
    assert index.counted_share[3] == 1
    assert set(index.top_token_ids[3].tolist()) <= {0, 1, -1}
    assert index.counted_share[4] < 1
    assert index.token_pairs <= 40


def test_rungs_are_fair_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "BITS", 4)
    n = 1 << 18
    places = place_of(np.arange(n) // 200, np.arange(n) % 200)
    level = level_of(places)
    for rung in range(1, RUNGS):
        expected = n / 16**rung
        assert abs((level >= rung).sum() - expected) < 5 * np.sqrt(expected)
    by_position = np.bincount((np.arange(n) % 200)[level > 0], minlength=200)
    assert abs(by_position - n / 3200).max() < 6 * np.sqrt(n / 3200)


def test_there_is_one_rung_where_all_fits() -> None:
    assert LayerAccumulator(F, V, replace(SETTINGS, max_token_pairs=2 * F * V)).tokens.n_rungs == 1
    assert LayerAccumulator(F, V, replace(SETTINGS, max_token_pairs=2 * F * V - 1)).tokens.n_rungs == RUNGS
