"""Codes taken in on the device, against the same codes taken in by numpy: not a byte may differ.

On tensors of the processor here; the same tests run on a GPU where there is one (`-m gpu`).
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfn_core import MFNModel
from mfn_core.codes import SparseCodes
from mfn_core.data.corpus import read_corpus
from mfn_core.errors import MFNError
from mfn_core.indexing import IndexSettings, IndexState, collect
from mfn_core.indexing.accumulator import LayerAccumulator, WindowBatch
from mfn_core.indexing.arrays import mix
from mfn_core.indexing.batching import Batcher
from mfn_core.indexing.build import _on_one_gpu
from mfn_core.indexing.exact import fixed
from mfn_core.indexing.grid import LogGrid
from mfn_core.indexing.on_device import DeviceIntake, arithmetic, in_windows
from mfn_core.indexing.on_device.counts import Counts
from mfn_core.indexing.on_device.layer import DeviceLayer
from mfn_core.indexing.on_device.sieve import Sieve, gather
from tests.conftest import TINY_TEXTS

from .reference import Corpus
from .test_accumulator import SETTINGS, F, V, accumulate, assert_same, corpora, random_corpus, whole

GPU = pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")])
devices = pytest.mark.parametrize("device", ["cpu", GPU])

SMALL = replace(SETTINGS, n_top=2, per_band=1)


BUFFERS = st.sampled_from(["as they are", "tight"])


def tight(state: LayerAccumulator, layer: DeviceLayer) -> None:
    """So that thresholds are in force from the first contexts on, and pairs are moved to the host all the time."""
    state.top._buffer = state.sample._buffer = 1
    layer._tally._buffer, layer._tally._room = 40, 60


def take(
    corpus: Corpus,
    parts: list[NDArray[np.int64]],
    device: str,
    state: LayerAccumulator,
    buffers: str = "as they are",
    finish_at: Collection[int] = (),
) -> tuple[LayerAccumulator, DeviceIntake]:
    where = torch.device(device)
    with ThreadPoolExecutor(1) as pool:
        intake = DeviceIntake({3: state}, where, pool)
        if buffers == "tight":
            tight(state, intake._layers[3])
        for i, part in enumerate(parts):
            indices, values = torch.from_numpy(corpus.indices[part]), torch.from_numpy(corpus.values[part])
            intake.take(corpus.batch(part), {3: SparseCodes(indices, values, state.n_features).to(where)})
            if i in finish_at:
                intake.finish()
        intake.finish()
    return state, intake


def cut(data: st.DataObject, n: int) -> list[NDArray[np.int64]]:
    """n windows in some order, in parts of any size but 0."""
    order = np.array(data.draw(st.permutations(range(n))))
    cuts = data.draw(st.lists(st.integers(1, n - 1), max_size=8, unique=True)) if n > 1 else []
    return np.split(order, sorted(cuts))


@devices
@settings(max_examples=150, deadline=None)
@given(corpus=corpora, data=st.data())
def test_equals_numpy(device: str, corpus: Corpus, data: st.DataObject) -> None:
    """Whatever the codes, the order, the batches, and how often the host is brought up to date."""
    parts = cut(data, len(corpus.document))
    finish_at = data.draw(st.sets(st.integers(0, len(parts)), max_size=2))
    options = data.draw(st.sampled_from([SETTINGS, SMALL, replace(SMALL, max_token_pairs=60, max_sample_firings=50)]))
    state, _ = take(corpus, parts, device, LayerAccumulator(F, V, options), data.draw(BUFFERS), finish_at)
    assert_same(state, accumulate(corpus, whole(corpus), options))


@pytest.fixture(scope="module")
def real() -> dict[int, tuple[Corpus, LayerAccumulator]]:
    """Codes of the demo model, of each layer, on some of its own corpus; and what numpy makes of them."""
    repository = Path(__file__).parents[3]
    model = MFNModel.from_pretrained(repository / "demo/model")
    texts = [document.text for document in read_corpus(repository / "demo/corpus/corpus.jsonl.xz", limit=24)]
    batcher = Batcher(256, 64, 8, model.bos_token_id)
    found: dict[int, list[tuple[WindowBatch, SparseCodes]]] = {number: [] for number in model.coders}
    for batch in batcher.batches(enumerate(np.array(model.encode_text(text), np.uint32) for text in texts)):
        with torch.inference_mode():
            traces = model(torch.from_numpy(batch.input_ids), record=True).traces
            codes = in_windows({number: trace.codes for number, trace in traces.items()}, batch, model.device)
        for number, of_layer in codes.items():
            found[number].append((batch.windows, of_layer))
    corpora = {}
    for number, parts in found.items():
        where = [np.concatenate([vars(b)[name] for b, _ in parts]) for name in WindowBatch.__annotations__]
        codes = [np.concatenate([getattr(c, name).numpy() for _, c in parts]) for name in ("indices", "values")]
        corpus = Corpus(*where, *codes)
        state = LayerAccumulator(model.n_features[number], model.vocab_size, SMALL)
        state.add(corpus.batch(*whole(corpus)), corpus.indices, corpus.values)
        corpora[number] = (corpus, state)
    return corpora


@devices
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_equals_numpy_on_real_codes(
    device: str, real: dict[int, tuple[Corpus, LayerAccumulator]], data: st.DataObject
) -> None:
    corpus, expected = real[data.draw(st.sampled_from(sorted(real)))]
    assert len(expected.top.rows()) > 2000
    empty = LayerAccumulator(expected.n_features, expected.vocab_size, SMALL)
    state, _ = take(corpus, cut(data, len(corpus.document)), device, empty, data.draw(BUFFERS))
    assert_same(state, expected)


@devices
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_takes_other_precisions_as_float32(device: str, dtype: torch.dtype) -> None:
    corpus = random_corpus(11, 60, coarse=False, silent=0.3)
    values = torch.from_numpy(corpus.values).clamp(max=60000).to(dtype)
    expected = LayerAccumulator(F, V, SMALL)
    expected.add(corpus.batch(np.arange(60)), corpus.indices, values.float().numpy())
    state = LayerAccumulator(F, V, SMALL)
    with ThreadPoolExecutor(1) as pool:
        intake = DeviceIntake({0: state}, torch.device(device), pool)
        for part in np.split(np.arange(60), 12):
            codes = SparseCodes(torch.from_numpy(corpus.indices[part]), values[part], F).to(device)
            intake.take(corpus.batch(part), {0: codes})
        intake.finish()
    assert_same(state, expected)


@devices
def test_awkward_numbers(device: str) -> None:
    """Negative zero, the smallest numbers there are, and large ones; indices that mean nothing."""
    corpus = random_corpus(12, 30, coarse=False, silent=0.0)
    odd = np.array([-0.0, 0.0, 1e-45, 1.17e-38, 2.0**-25, 2.0**-24, 1.5 * 2.0**-24, 2.0**-8, 256, 2.0**22], np.float32)
    corpus.values[...] = np.random.default_rng(0).choice(odd, corpus.values.shape)
    corpus.indices[corpus.values == 0] = 10**9
    state, _ = take(corpus, np.split(np.arange(30), 6), device, LayerAccumulator(F, V, SMALL), "tight")
    corpus.indices[corpus.values == 0] = 0
    assert_same(state, accumulate(corpus, whole(corpus), SMALL))


@devices
@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("last", [False, True])
def test_values_that_mean_nothing_are_refused(device: str, bad: float, last: bool) -> None:
    corpus = random_corpus(5, 6, coarse=False, silent=0.0)
    corpus.values[5 if last else 2, 3, 1] = bad
    with pytest.raises(MFNError, match="negative or non-finite"):
        take(corpus, np.split(np.arange(6), 3), device, LayerAccumulator(F, V, SETTINGS))


@devices
def test_histograms_are_moved_before_they_overflow(device: str) -> None:
    """As late in a corpus as can be: 40 more tokens, and bins that count in 32 bits may be full."""
    corpus = random_corpus(13, 60, coarse=True, silent=0.0)
    expected = accumulate(corpus, whole(corpus))
    assert expected.histogram.max() > 100
    so_far = Counts.max_tokens - 40
    state = LayerAccumulator(F, V, SETTINGS)
    with ThreadPoolExecutor(1) as pool:
        intake = DeviceIntake({0: state}, torch.device(device), pool)
        layer = intake._layers[0]
        layer._n_tokens = so_far
        layer._counts._histogram.fill_(so_far)
        for part in np.split(np.arange(60), 20):
            codes = SparseCodes(torch.from_numpy(corpus.indices[part]), torch.from_numpy(corpus.values[part]), F)
            intake.take(corpus.batch(part), {0: codes.to(device)})
        intake.finish()
    expected.histogram += so_far
    assert_same(state, expected)


@devices
def test_little_is_copied_once_thresholds_are_in_force(device: str) -> None:
    """Under a tenth of all entries, at 12 bytes each; without thresholds, many times as much."""
    n = 2000
    corpus = random_corpus(14, n, coarse=False, silent=0.0)
    parts = np.split(np.arange(n), 100)
    options = replace(SMALL, band_bins=4, max_sample_firings=300)
    every = corpus.values.size * 12

    state = LayerAccumulator(F, V, options)
    state.top._buffer = state.sample._buffer = 8
    _, intake = take(corpus, parts, device, state)
    assert intake.bytes_copied < every / 10

    with patch.object(Sieve, "refresh"):
        lax, everything = take(corpus, parts, device, LayerAccumulator(F, V, options))
    assert everything.bytes_copied > 5 * intake.bytes_copied
    assert_same(lax, state)


@devices
@pytest.mark.parametrize("bf16", [False, True])
def test_a_corpus_goes_through_a_model_the_same_way(device: str, bf16: bool, tiny_bundle: Path) -> None:
    """The whole state of all layers, by way of the device and by way of the host, from the same model."""
    model = MFNModel.from_pretrained(tiny_bundle, device)
    documents = [np.array(model.encode_text(text * 3), np.uint32) for text in TINY_TEXTS]
    options = IndexSettings(n_top=3, window=16, batch_rows=2, bf16=bf16).fit(model.max_context)
    states = [IndexState(model, options) for _ in range(2)]
    for state, on_device in zip(states, (False, True), strict=True):
        collect(model, enumerate(documents), state, on_device=on_device)
    assert states[0].n_tokens == sum(len(ids) - 1 for ids in documents)
    np.testing.assert_array_equal(states[0].token_counts, states[1].token_counts)
    for number, layer in states[0].layers.items():
        assert layer.firing_count.sum() > 1000
        assert_same(layer, states[1].layers[number])


@pytest.mark.parametrize(
    ("model", "coders", "there"),
    [
        ("cuda:0", ["cuda:0", "cuda:0"], True),
        ("cuda:0", ["cuda:0", "cuda:1"], False),
        ("cuda:1", ["cuda:0", "cuda:0"], False),
        ("cpu", ["cpu"], False),
        ("mps", ["mps"], False),
    ],
)
def test_is_chosen_where_all_codes_lie_on_one_gpu(model: str, coders: list[str], there: bool) -> None:
    def placed(device: str) -> SimpleNamespace:
        return SimpleNamespace(parameters=lambda: [SimpleNamespace(device=torch.device(device))])

    spread = SimpleNamespace(device=torch.device(model), coders=dict(enumerate(map(placed, coders))))
    assert _on_one_gpu(spread) is there


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_hash_is_that_of_the_host(numbers: list[int]) -> None:
    bits = np.array(numbers, np.uint64)
    found = arithmetic.mix(torch.from_numpy(bits.view(np.int64))).numpy().view(np.uint64)
    np.testing.assert_array_equal(found, mix(bits))


@settings(deadline=None)
@given(st.lists(st.floats(0, 2.0**38, width=32), min_size=1))
def test_sums_and_bins_are_those_of_the_host(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    np.testing.assert_array_equal(arithmetic.fixed(torch.from_numpy(values)).numpy(), fixed(values))
    grid = LogGrid(30, 2.0**-8, 2.0**8)
    bins = arithmetic.Bins(grid, torch.device("cpu"))
    np.testing.assert_array_equal(bins.of(torch.from_numpy(values)).numpy(), grid.bin_of(values))


@settings(deadline=None)
@given(st.lists(st.booleans()))
def test_gathers_what_is_wanted_in_order(wanted: list[bool]) -> None:
    keep = torch.tensor(wanted, dtype=torch.bool)
    numbers, values = torch.arange(len(keep), dtype=torch.int32), torch.arange(len(keep)) / 3
    rows, n = gather(keep, [numbers, values])
    assert int(n) == sum(wanted)
    found, bits = rows[: int(n)].T
    assert found.tolist() == numbers[keep].tolist()
    assert bits.contiguous().view(torch.float32).tolist() == values[keep].tolist()
