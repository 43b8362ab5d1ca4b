"""Merging with codes of a trained model: the demo model over texts of the demo corpus, recorded once."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mfn_core import MFNModel
from mfn_core.data.corpus import read_corpus
from mfn_core.indexing import IndexSettings
from mfn_core.indexing.accumulator import WindowBatch
from mfn_core.indexing.batching import Batcher
from mfn_core.indexing.state import IndexState

DEMO = Path(__file__).resolve().parents[3] / "demo"
TEXTS, TOKENS, SHARDS = 40, 96, 3

Codes = dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]]


@pytest.fixture(scope="module")
def model() -> MFNModel:
    return MFNModel.from_pretrained(DEMO / "model")


@pytest.fixture(scope="module")
def settings(model: MFNModel) -> IndexSettings:
    return IndexSettings(window=32, seq_len=96, batch_rows=8, max_sample_firings=30_000).fit(model.max_context)


@pytest.fixture(scope="module")
def recorded(model: MFNModel, settings: IndexSettings) -> list[tuple[WindowBatch, Codes]]:
    """Batches of windows with the codes of every layer."""
    texts = [text.text for text in read_corpus(DEMO / "corpus" / "corpus.jsonl.xz")][:: 3000 // TEXTS][:TEXTS]
    documents = [np.array(model.encode_text(text)[:TOKENS], np.uint32) for text in texts]
    batcher = Batcher(settings.seq_len, settings.window, settings.batch_rows, model.bos_token_id)
    found = []
    with torch.inference_mode():
        for batch in batcher.batches(enumerate(documents)):
            traces = model(torch.from_numpy(batch.input_ids), record=True, logits_to_keep=1).traces
            codes = {n: (t.codes.indices.numpy(), t.codes.values.float().numpy()) for n, t in traces.items()}
            found.append((batch.windows, {n: tuple(map(batch.in_windows, code)) for n, code in codes.items()}))
    assert sum(int(windows.counted.sum()) for windows, _ in found) > 1500
    return found


def state_of(
    model: MFNModel, settings: IndexSettings, recorded: list[tuple[WindowBatch, Codes]], shard: int | None
) -> IndexState:
    """The state after the windows of one shard, or of all. Documents are dealt out one by one."""
    state = IndexState(model, settings)
    for windows, codes in recorded:
        mine = np.arange(len(windows.document)) if shard is None else np.flatnonzero(windows.document % SHARDS == shard)
        part = WindowBatch(*(getattr(windows, name)[mine] for name in WindowBatch.__annotations__))
        for number, (indices, values) in codes.items():
            state.layers[number].add(part, indices[mine], values[mine])
        state.count(part)
    return state


def assert_same(one: IndexState, other: IndexState) -> None:
    mine, theirs = one.arrays(), other.arrays()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype, name
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def test_three_shards_merge_to_the_whole_in_any_order(
    model: MFNModel, settings: IndexSettings, recorded: list[tuple[WindowBatch, Codes]]
) -> None:
    """Every array of every layer, to the byte: both associations, all orders, and by way of saved arrays."""
    whole = state_of(model, settings, recorded, None)
    assert whole.layers[max(whole.layers)].firing_count.sum() > 20_000
    assert int(whole.layers[max(whole.layers)].drawn.bound) < 2**64 - 1, "the sample of tokens is full"
    shards = [state_of(model, settings, recorded, shard) for shard in range(SHARDS)]
    for n, (a, b, c) in enumerate(permutations(shards)):
        assert_same(a.merge(b).merge(c) if n % 2 else a.merge(b.merge(c)), whole)
    back = [IndexState.from_arrays(model, settings, shard.arrays()) for shard in shards]
    assert_same(back[2].merge(back[0]).merge(back[1]), whole)
    for shard, again in zip(shards, back, strict=True):
        assert_same(shard, again)


def test_a_state_of_another_model_is_refused(model: MFNModel, tiny_model: MFNModel, settings: IndexSettings) -> None:
    arrays = IndexState(tiny_model, settings).arrays()
    with pytest.raises(ValueError, match="no state of such a layer"):
        IndexState.from_arrays(model, settings, arrays)
