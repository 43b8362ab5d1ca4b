"""Every token of every document counts exactly once, in its own window, with context before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core.errors import ConfigError
from mfn_core.indexing import batching
from mfn_core.indexing.batching import Batcher
from mfn_core.indexing.token_sample import NO_TOKEN
from mfn_core.indexing.types import IndexSettings

BOS = 0


def documents(lengths: list[int]) -> list[np.ndarray]:
    """Token ids that say where they stand: none repeats over the corpus, except the beginning-of-text token."""
    ends = np.cumsum(lengths)
    made = [np.arange(end - n, end, dtype=np.uint32) + 1 for end, n in zip(ends, lengths, strict=True)]
    for ids in made:
        ids[:1] = BOS
    return made


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 70), max_size=12),
    st.integers(1, 8),
    st.integers(2, 4),
    st.integers(1, 4),
    st.booleans(),
)
def test_each_token_counts_once(lengths: list[int], window: int, windows: int, rows: int, has_bos: bool) -> None:
    corpus = documents(lengths)
    batcher = Batcher(window * windows, window, rows, BOS if has_bos else None)
    seen = [np.zeros(len(ids), int) for ids in corpus]
    shapes: dict[int, int] = {}
    for batch in batcher.batches(enumerate(corpus)):
        height, length = batch.input_ids.shape
        assert shapes.setdefault(length, height) == height
        assert length <= window * windows
        w = batch.windows
        tokens = batch.in_windows(batch.input_ids[..., None])[..., 0]
        np.testing.assert_array_equal(tokens[w.counted], w.tokens[w.counted])
        assert (w.start % window == 0).all()
        for i in range(len(batch.places)):
            for t in np.flatnonzero(w.counted[i]):
                seen[w.document[i]][w.start[i] + t] += 1
                ids, place = corpus[w.document[i]].tolist(), w.start[i] + t
                assert w.tokens[i, t] == ids[place]
                assert w.following[i, t] == (ids[place + 1] if place + 1 < len(ids) else NO_TOKEN)
                column = batch.places[i, t] % length
                assert column >= min(window, w.start[i] + t)  # context: a window, or all there is
    for times in seen:
        assert (times[:1] == 0).all()
        assert (times[1:] == 1).all()


def test_a_row_holds_one_document_and_later_chunks_begin_anew() -> None:
    (batch,) = Batcher(8, 4, 3, BOS).batches(enumerate(documents([14])))
    assert batch.input_ids.tolist() == [
        [0, 2, 3, 4, 5, 6, 7, 8],
        [0, 6, 7, 8, 9, 10, 11, 12],
        [0, 10, 11, 12, 13, 14, 0, 0],
    ]
    assert batch.lengths.tolist() == [8, 8, 6]
    assert batch.places[:, 0].tolist() == [0, 4, 12, 20]
    assert batch.windows.start.tolist() == [0, 4, 8, 12]
    (other,) = Batcher(8, 4, 3, None).batches(enumerate(documents([14])))
    assert other.input_ids[1].tolist() == [5, 6, 7, 8, 9, 10, 11, 12]


def test_rows_of_mixed_lengths_cost_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(2, 200, 3000).tolist()
    batches = list(Batcher(256, 64, 16, BOS).batches(enumerate(documents(lengths))))
    read = sum(batch.input_ids.size for batch in batches)
    assert sum(int(batch.lengths.sum()) for batch in batches) == sum(lengths)
    assert sum(lengths) < read < 1.08 * sum(lengths), "rounding to 8 alone costs 3.5 tokens of 100 here"


def test_rows_beyond_a_pool_are_batched_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "POOL", 64)
    batches = list(Batcher(64, 16, 2, BOS).batches(enumerate(documents([8] * 20))))
    assert [int(batch.windows.counted.sum()) for batch in batches] == [16 * 7, 4 * 7]
    assert {batch.input_ids.shape for batch in batches} == {(16, 8)}


def test_short_documents_cost_no_full_rows() -> None:
    batches = list(Batcher(64, 16, 2, BOS).batches(enumerate(documents([10] * 16))))
    assert [batch.input_ids.shape for batch in batches] == [(8, 16), (8, 16)]


@pytest.mark.parametrize(("most", "window", "seq_len"), [(1000, 64, 256), (96, 48, 96), (200, 64, 192), (3, 1, 3)])
def test_settings_fit_the_model(most: int, window: int, seq_len: int) -> None:
    fitted = IndexSettings().fit(most)
    assert (fitted.window, fitted.seq_len) == (window, seq_len)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_top": 0},
        {"window": 257},
        {"n_logits": -1},
        {"n_cofiring": -1},
        {"low": 2.0, "high": 1.0},
        {"low": float("nan")},
        {"bands": 300},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        IndexSettings(**wrong)
