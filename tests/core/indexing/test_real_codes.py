"""The state of a layer on codes of the demo model, however it is fed, against plain float64 over all firings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfn_core import MFNModel
from mfn_core.data.corpus import read_corpus
from mfn_core.indexing import dense_tally, tallies
from mfn_core.indexing.accumulator import LayerAccumulator, WindowBatch
from mfn_core.indexing.batching import Batcher
from mfn_core.indexing.finish import finish_layer
from mfn_core.indexing.from_weights import WeightFacts
from mfn_core.indexing.token_r2 import half_of
from mfn_core.indexing.types import IndexSettings, LayerIndex

from .reference import Corpus
from .test_accumulator import assert_same

DEMO = Path(__file__).parents[3] / "demo"
LAYERS = (0, 3)
OPTIONS = IndexSettings(n_top=5)
TEXTS = 60


class Recorded:
    """Codes of one layer, of all windows, and each firing as columns: window, position, feature and strength."""

    def __init__(self, corpus: Corpus, n_features: int, vocab_size: int) -> None:
        self.corpus, self.n_features, self.vocab_size = corpus, n_features, vocab_size
        fires = (corpus.values > 0) & corpus.counted[..., None]
        self.window, self.position, slot = np.nonzero(fires)
        self.feature = corpus.indices[self.window, self.position, slot]
        self.z = corpus.values[self.window, self.position, slot].astype(np.float64)
        self.token = corpus.tokens[self.window, self.position]
        self.whole = self.state([np.arange(len(corpus.document))])

    def state(self, parts: list[NDArray[np.int64]]) -> LayerAccumulator:
        state = LayerAccumulator(self.n_features, self.vocab_size, OPTIONS)
        for part in parts:
            state.add(self.corpus.batch(part), self.corpus.indices[part], self.corpus.values[part])
        return state

    def index(self) -> LayerIndex:
        nothing = WeightFacts(*(np.zeros((self.n_features, 0), t) for t in (np.int32, np.float32) * 3))
        lengths = np.full(self.corpus.document.max() + 1, 1 << 20)
        counts = np.zeros((2, self.vocab_size), np.int64)
        half = np.broadcast_to(half_of(self.corpus.document)[:, None], self.corpus.counted.shape)
        np.add.at(counts, (half[self.corpus.counted], self.corpus.tokens[self.corpus.counted]), 1)
        return finish_layer(0, self.whole, nothing, lengths, counts[None])  # one level: all pairs fit


@pytest.fixture(scope="session")
def recorded() -> dict[int, Recorded]:
    model = MFNModel.from_pretrained(DEMO / "model")
    texts = read_corpus(DEMO / "corpus" / "corpus.jsonl.xz", limit=TEXTS)
    documents = [np.array(model.encode_text(text.text)[:200], np.uint32) for text in texts]
    batcher = Batcher(256, 64, 8, model.bos_token_id)
    found: dict[int, list[tuple[WindowBatch, NDArray[np.int64], NDArray[np.float32]]]] = {n: [] for n in LAYERS}
    with torch.inference_mode():
        for batch in batcher.batches(enumerate(documents)):
            traces = model(torch.from_numpy(batch.input_ids), record=True, logits_to_keep=1).traces
            for number in LAYERS:
                codes = traces[number].codes
                indices, values = (batch.in_windows(x.numpy()) for x in (codes.indices, codes.values))
                found[number].append((batch.windows, indices, values))
    layers = {}
    for number, parts in found.items():
        where = [np.concatenate([getattr(b, name) for b, _, _ in parts]) for name in WindowBatch.__annotations__]
        codes = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        layers[number] = Recorded(Corpus(*where, *codes), model.n_features[number], model.vocab_size)
    return layers


@pytest.mark.parametrize("layer", LAYERS)
def test_counts_and_strengths(recorded: dict[int, Recorded], layer: int) -> None:
    codes = recorded[layer]
    index, n = codes.index(), codes.n_features
    assert len(codes.z) > 100_000
    count = np.bincount(codes.feature, minlength=n)
    np.testing.assert_array_equal(index.firing_count, count)
    mean = np.bincount(codes.feature, codes.z, n) / np.maximum(count, 1)
    np.testing.assert_allclose(index.mean, mean, rtol=1e-6, atol=2**-24)
    maximum = np.zeros(n)
    np.maximum.at(maximum, codes.feature, codes.z)
    np.testing.assert_array_equal(index.maximum, maximum)
    edges = index.bin_edges.astype(np.float64)
    fine = np.clip(np.searchsorted(edges, codes.z, side="right") - 1, 0, len(edges) - 2)
    histogram = np.zeros(index.histogram.shape, np.int64)
    np.add.at(histogram, (codes.feature, fine), 1)
    np.testing.assert_array_equal(index.histogram, histogram)
    np.testing.assert_array_equal(index.sampled_firings, count)  # so little text is in the sample as a whole


@pytest.mark.parametrize("layer", LAYERS)
def test_strongest_contexts_and_bands(recorded: dict[int, Recorded], layer: int) -> None:
    codes = recorded[layer]
    index, corpus = codes.index(), codes.corpus
    peaks = np.zeros((len(corpus.document), codes.n_features))
    np.maximum.at(peaks, (codes.window, codes.feature), codes.z)
    window, feature = np.nonzero(peaks)
    order = np.lexsort((corpus.start[window], corpus.document[window], -peaks[window, feature], feature))
    window, feature = window[order], feature[order]
    rank = np.arange(len(feature)) - np.searchsorted(feature, feature)
    window, feature = window[rank < OPTIONS.n_top], feature[rank < OPTIONS.n_top]
    top = index.contexts.kind == 0
    np.testing.assert_array_equal(index.contexts.feature[top], feature)
    np.testing.assert_array_equal(index.contexts.document[top], corpus.document[window])
    np.testing.assert_array_equal(index.contexts.start[top], corpus.start[window])
    np.testing.assert_array_equal(index.contexts.peak_value[top], peaks[window, feature])
    np.testing.assert_array_equal(index.band_count.sum(1), (peaks > 0).sum(0))


@pytest.mark.parametrize("layer", LAYERS)
def test_tokens_and_what_they_explain(recorded: dict[int, Recorded], layer: int) -> None:
    codes = recorded[layer]
    index, corpus = codes.index(), codes.corpus
    frequent = np.argsort(-index.firing_count, kind="stable")[:200]
    number = np.full(codes.n_features, -1)
    number[frequent] = np.arange(len(frequent))
    places = np.full(corpus.counted.shape, -1)
    places[corpus.counted] = np.arange(corpus.counted.sum())
    z = np.zeros((corpus.counted.sum(), len(frequent)))
    among = number[codes.feature] >= 0
    z[places[codes.window, codes.position][among], number[codes.feature[among]]] = codes.z[among]
    token = corpus.tokens[corpus.counted]
    half = np.repeat(half_of(corpus.document), corpus.counted.sum(1))
    residual, total = np.zeros(len(frequent)), np.zeros(len(frequent))
    for test in (0, 1):
        fit = half != test
        sums, times = np.zeros((codes.vocab_size, len(frequent))), np.bincount(token[fit], minlength=codes.vocab_size)
        np.add.at(sums, token[fit], z[fit])
        means = np.where(times[:, None] > 0, sums / np.maximum(times, 1)[:, None], z[fit].mean(0))
        residual += ((z[~fit] - means[token[~fit]]) ** 2).sum(0)
        total += ((z[~fit] - z[~fit].mean(0)) ** 2).sum(0)
    assert index.token_r2 is not None
    np.testing.assert_allclose(index.token_r2[frequent], 1 - residual / total, atol=1e-5)

    for feature in frequent[:50].tolist():
        on = np.bincount(codes.token[codes.feature == feature], minlength=codes.vocab_size)
        best = np.lexsort((np.arange(len(on)), -on))[: OPTIONS.n_tokens]
        best = best[on[best] > 0]
        assert index.top_token_ids[feature, : len(best)].tolist() == best.tolist()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 4), st.sampled_from([0, 1 << 16, 1 << 20]))
def test_order_batches_and_shards_change_nothing(
    recorded: dict[int, Recorded], seed: int, size: int, n_cuts: int, cells: int
) -> None:
    """Any order of windows, batches of any size, shards cut anywhere; with and without a table of tokens."""
    rng = np.random.default_rng(seed)
    codes = recorded[LAYERS[seed % len(LAYERS)]]
    order = rng.permutation(len(codes.corpus.document))
    cuts = np.sort(rng.integers(0, len(order) + 1, n_cuts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_tally, "CELLS", cells)
        patch.setattr(tallies, "_PIECE", 1 << 12)
        shards = [codes.state(np.split(part, np.arange(size, len(part), size))) for part in np.split(order, cuts)]
        merged = shards[0]
        for shard in shards[1:]:
            merged = shard.merge(merged)
        assert_same(merged, codes.whole)
