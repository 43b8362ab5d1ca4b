"""The sample of tokens: which they are, that they fit, and that nothing but the corpus decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core.indexing.token_sample import NO_TOKEN, TokenSample

from .reference import Corpus, Token, expected_sample
from .test_accumulator import SETTINGS, LayerAccumulator, accumulate, assert_same, corpora, random_corpus, whole

SIZES = st.sampled_from([0, 1, 3, 4, 10, 40, 200, 1 << 20])


def drawn(state: LayerAccumulator) -> list[Token]:
    """The sample as the reference writes it."""
    tokens = state.drawn.tokens()
    assert tokens.order.tolist() == sorted(tokens.order.tolist())
    ends = np.cumsum(tokens.lengths).tolist()
    features = [tokens.features[end - n : end].tolist() for end, n in zip(ends, tokens.lengths.tolist(), strict=True)]
    assert all(firing == sorted(firing) for firing in features)
    rows = zip(tokens.order.tolist(), features, tokens.following.tolist(), strict=True)
    return [(order, set(firing), following) for order, firing, following in rows]


@settings(max_examples=80, deadline=None)
@given(corpora, SIZES)
def test_equals_brute_force(corpus: Corpus, most: int) -> None:
    state = accumulate(corpus, whole(corpus), replace(SETTINGS, max_sample_firings=most))
    found = drawn(state)
    assert found == expected_sample(corpus, most)
    assert sum(1 + len(features) for _, features, _ in found) <= most


@settings(max_examples=150, deadline=None)
@given(corpora, SIZES, st.data())
def test_order_batches_and_shards_change_nothing(corpus: Corpus, most: int, data: st.DataObject) -> None:
    """Also where a token that does not fit would leave room for a smaller one that another shard brings."""
    options = replace(SETTINGS, max_sample_firings=most)
    n = len(corpus.document)
    order = np.array(data.draw(st.permutations(range(n))))
    parts = np.split(order, sorted(data.draw(st.lists(st.integers(0, n), max_size=5))))
    reference = accumulate(corpus, whole(corpus), options)
    assert_same(accumulate(corpus, parts, options), reference)
    shards = [accumulate(corpus, [part], options) for part in parts]
    from_left = shards[0]
    for shard in shards[1:]:
        from_left = from_left.merge(shard)
    from_right = shards[-1]
    for shard in reversed(shards[:-1]):
        from_right = shard.merge(from_right)
    assert_same(from_left, reference)
    assert_same(from_right, reference)


def test_a_smaller_token_does_not_take_the_place_of_one_that_did_not_fit() -> None:
    """Room for 8: the second token, of 6 places, does not fit behind the first, of 3; the third, of 2, would."""

    def state(*tokens: tuple[int, int]) -> TokenSample:
        sample = TokenSample(8)
        for place, firings in tokens:
            features = np.where(np.arange(5) < firings, np.arange(5), 5)[None]
            sample.add(np.array([place], np.uint64), np.array([7]), np.array([True]), features, 5)
        return sample

    places = sorted(range(1000), key=lambda place: state((place, 0)).tokens().order[0])[:3]
    one, two, three = zip(places, (2, 5, 1), strict=True)
    for sample in (
        state(one, two, three),
        state(three, two, one),
        state(one, two).merge(state(three)),
        state(one).merge(state(three)).merge(state(two)),
        state(two).merge(state(three)).merge(state(one)),
    ):
        assert sample.tokens().features.tolist() == [0, 1]
        assert sample.bound == state(two).tokens().order[0]


def test_every_token_has_the_same_chance() -> None:
    """Also by where it stands in a document, and whether its neighbour was taken."""
    n_documents, length, size = 2000, 50, 20_000
    sample = TokenSample(size)
    places = (
        (np.arange(n_documents, dtype=np.uint64) << np.uint64(32))[:, None] | np.arange(length, dtype=np.uint64)
    ).reshape(-1)
    numbers = np.arange(len(places))
    silent = np.ones((len(places), 1), np.int64)
    for part in np.split(np.random.default_rng(0).permutation(numbers), 10):
        sample.add(places[part], part, np.ones(len(part), np.bool_), silent[part], 1)
    taken = np.zeros(len(places), np.bool_)
    taken[sample.tokens().following] = True
    assert taken.sum() == size, "a token on which nothing fires takes one place"
    share = size / len(places)
    by_place = taken.reshape(n_documents, length)
    assert abs(by_place.mean(0) - share).max() < 5 * np.sqrt(share / n_documents)
    assert abs(by_place.mean(1) - share).max() < 6 * np.sqrt(share / length)
    assert abs(np.corrcoef(taken[1:], taken[:-1])[0, 1]) < 0.02


def test_a_sample_that_was_looked_at_takes_in_more() -> None:
    corpus = random_corpus(5, 60, coarse=True, silent=0.3)
    options = replace(SETTINGS, max_sample_firings=300)
    state = LayerAccumulator(7, 11, options)
    for part in np.split(np.arange(60), 12):
        state.add(corpus.batch(part), corpus.indices[part], corpus.values[part])
        state.drawn.tokens()
    assert_same(state, accumulate(corpus, whole(corpus), options))
    assert NO_TOKEN in state.drawn.tokens().following
