"""Shards, the files a run keeps, and going on from them: the index is the same wherever a run stopped."""

from __future__ import annotations

import copy
import errno
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core import MFNModel
from mfn_core.data.corpus import Document
from mfn_core.errors import ConfigError
from mfn_core.files import replace_file
from mfn_core.indexing import CorpusChangedError, CorpusIndex, IndexSettings, build_index, forget_work, index_tokens
from mfn_core.indexing import checkpoint as checkpoint_module
from mfn_core.indexing.accumulator import LayerAccumulator
from mfn_core.indexing.checkpoint import Checkpoints, Work
from mfn_core.indexing.shards import ShardReader, cut
from mfn_core.indexing.state import IndexState
from mfn_core.indexing.token_store import TokenStore

from .test_accumulator import SETTINGS, F, V, accumulate, assert_same, corpora, random_corpus, whole
from .test_build_index import OPTIONS

SHARDED = replace(OPTIONS, shard_tokens=40)


@pytest.fixture(scope="module")
def model(tiny_model: MFNModel) -> MFNModel:
    return copy.deepcopy(tiny_model).double()


@pytest.fixture(scope="module")
def texts() -> list[Document]:
    rng = np.random.default_rng(3)
    words = ["the", "harbour", "was", "quiet", "that", "night", "snow", "fell", "東京", "return", "{1:", "[2.5]}"]
    return [Document(" ".join(rng.choice(words, n)), {"title": f"t{n}"}) for n in rng.integers(1, 14, 40)]


@pytest.fixture(scope="module")
def index(model: MFNModel, texts: list[Document]) -> CorpusIndex:
    return build_index(model, texts, SHARDED)


def assert_same_index(one: CorpusIndex, other: CorpusIndex) -> None:
    assert (one.n_tokens, one.settings, one.model_fingerprint) == (
        other.n_tokens,
        other.settings,
        other.model_fingerprint,
    )
    assert list(one.meta) == list(other.meta)
    assert [ids.tolist() for ids in one.documents] == [ids.tolist() for ids in other.documents]
    for mine, theirs in zip(one.layers, other.layers, strict=True):
        for part, same in ((mine, theirs), (mine.contexts, theirs.contexts)):
            for name, value in vars(part).items():
                if isinstance(value, np.ndarray):
                    np.testing.assert_array_equal(value, getattr(same, name), err_msg=name)


class StopError(Exception):
    pass


def stopping_after(batches: int) -> Callable[[int, int | None], None]:
    told = 0

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        told += 1
        if told > batches:
            raise StopError

    return tell


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 120))
def test_a_shard_ends_with_the_document_that_fills_it(lengths: list[int], shard_tokens: int) -> None:
    shards = cut(lengths, shard_tokens)
    assert [first for first, _ in shards] == [0, *(end for _, end in shards)][: len(shards)]
    assert sum(end - first for first, end in shards) == len(lengths)
    sums = [sum(lengths[first:end]) for first, end in shards]
    assert all(n >= shard_tokens for n in sums[:-1])
    assert all(sum(lengths[first : end - 1]) < shard_tokens for first, end in shards)


def test_shards_read_and_cut_are_the_same(model: MFNModel, texts: list[Document]) -> None:
    store = TokenStore()
    with ShardReader(texts, model.encode_text, store, 40) as reader:
        found = [(shard.first, shard.first + shard.n_documents) for shard in reader]
    assert found == cut([len(model.encode_text(text.text)) for text in texts], 40)
    assert len(found) > 5
    assert reader.n_tokens == sum(len(ids) - 1 for ids in store.documents())
    for shard in store.shards:
        assert [n for n, _ in store.of_shard(shard)] == list(range(shard.first, shard.first + shard.n_documents))


def test_documents_read_from_files_are_a_sequence(model: MFNModel, texts: list[Document], index: CorpusIndex) -> None:
    ids = [model.encode_text(text.text) for text in texts]
    documents = index.documents
    assert len(documents) == len(ids)
    assert documents[-1].tolist() == ids[-1]
    assert [d.tolist() for d in documents[3:7]] == ids[3:7]
    assert [d.tolist() for d in documents[7:3]] == []
    assert [d.tolist() for d in documents[::-9]] == ids[::-9]
    assert documents[np.int64(2)].dtype == np.uint32
    assert [d.tolist() for d in copy.deepcopy(documents)] == ids
    with pytest.raises(IndexError):
        documents[len(ids)]


def test_ids_given_and_read_make_one_index(model: MFNModel, index: CorpusIndex) -> None:
    assert_same_index(index_tokens(model, list(index.documents), list(index.meta), SHARDED), index)


def test_no_batch_reaches_over_a_cut(model: MFNModel, texts: list[Document], index: CorpusIndex) -> None:
    """Each shard alone, in another order, into states of their own, merges to the index in floating point, too."""
    float32 = copy.deepcopy(model).float()
    direct = index_tokens(float32, list(index.documents), list(index.meta), SHARDED)
    from mfn_core.indexing.build import collect, finish_index

    parts = []
    for first, end in reversed(cut(map(len, index.documents), SHARDED.shard_tokens)):
        parts.append(IndexState(float32, direct.settings))
        collect(float32, enumerate(index.documents[first:end], first), parts[-1])
    merged = parts[0]
    for part in parts[1:]:
        merged = part.merge(merged)
    assert_same_index(finish_index(float32, merged, index.documents, index.meta), direct)


@pytest.fixture
def save_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is written after every shard, however long that takes."""
    monkeypatch.setattr(checkpoint_module, "SHARE", float("inf"))


@pytest.mark.usefixtures("save_all")
@pytest.mark.parametrize("batches", [0, 1, 4, 9, 14])
def test_an_interrupted_run_goes_on(
    model: MFNModel, texts: list[Document], index: CorpusIndex, tmp_path: Path, batches: int
) -> None:
    work = tmp_path / "work"
    with pytest.raises(StopError):
        build_index(model, texts, SHARDED, stopping_after(batches), work)
    told: list[int] = []
    again = build_index(model, texts, SHARDED, lambda done, total: told.append(done), work)
    assert_same_index(again, index)
    assert batches < 4 or told[0] > index.n_tokens / 20, "it went on from where it stood"
    # and once more, from the finished state
    told.clear()
    assert_same_index(build_index(model, texts, SHARDED, lambda done, total: told.append(done), work), index)
    assert told == [index.n_tokens]
    forget_work(work)
    assert not work.exists()


def test_what_is_left_behind_in_the_files_is_cut_off(
    model: MFNModel, texts: list[Document], index: CorpusIndex, tmp_path: Path
) -> None:
    with pytest.raises(StopError):
        build_index(model, texts, SHARDED, stopping_after(6), tmp_path)
    for path in tmp_path.iterdir():
        if path.suffix != ".npz":
            with path.open("ab") as file:
                file.write(b'0f0f0f0f {"number": 1')  # as a process leaves it that is killed while it writes
    (tmp_path / "state-00000099.npz.partial").write_bytes(b"PK")
    assert_same_index(build_index(model, texts, SHARDED, work=tmp_path), index)


@pytest.mark.parametrize("name", ["tokens.u4", "token_ends.i8", "meta.jsonl", "meta_ends.i8", "shards.txt"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damaged_token_files_are_found_out(
    model: MFNModel, texts: list[Document], index: CorpusIndex, tmp_path: Path, name: str, damage: str
) -> None:
    build_index(model, texts, SHARDED, work=tmp_path)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[: len(data) // 2], "changed": data, "gone": b""}[damage])
    assert_same_index(build_index(model, texts, SHARDED, work=tmp_path), index)


@pytest.mark.usefixtures("save_all")
def test_a_damaged_state_gives_way_to_the_one_before(
    model: MFNModel, texts: list[Document], index: CorpusIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_index(model, texts, SHARDED, work=tmp_path)
    _, newest = sorted(tmp_path.glob("state-*.npz"))
    newest.write_bytes(newest.read_bytes()[:-100])
    told: list[int] = []
    with caplog.at_level(logging.WARNING):
        assert_same_index(build_index(model, texts, SHARDED, lambda done, _: told.append(done), tmp_path), index)
    assert "is damaged" in caplog.text
    assert told[0] > index.n_tokens / 2, "it went on from the older state"
    for path in tmp_path.glob("state-*.npz"):
        path.write_bytes(b"")
    assert_same_index(build_index(model, texts, SHARDED, work=tmp_path), index)


def test_a_corpus_that_changed_is_refused(model: MFNModel, texts: list[Document], tmp_path: Path) -> None:
    build_index(model, texts, SHARDED, work=tmp_path)
    for other in (
        [*texts[:3], Document("something else", texts[3].meta), *texts[4:]],
        [*texts[:3], Document(texts[3].text, {"title": "another"}), *texts[4:]],
        texts[:-1],
        [*texts, Document("one more")],
    ):
        with pytest.raises(CorpusChangedError, match="the corpus has"):
            build_index(model, other, SHARDED, work=tmp_path)


def test_other_settings_start_anew(model: MFNModel, texts: list[Document], tmp_path: Path) -> None:
    build_index(model, texts, SHARDED, work=tmp_path)
    other = replace(SHARDED, n_top=2)
    assert_same_index(build_index(model, texts, other, work=tmp_path), build_index(model, texts, other))


def test_a_full_disk_at_a_checkpoint_is_warned_of(
    model: MFNModel,
    texts: list[Document],
    index: CorpusIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = 0

    def full(path: Path, write: Callable[[Any], None]) -> None:
        nonlocal kept
        kept += 1
        if kept > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(path, write)

    monkeypatch.setattr(checkpoint_module, "replace_file", full)
    with caplog.at_level(logging.WARNING):
        assert_same_index(build_index(model, texts, SHARDED, work=tmp_path), index)
    assert "No space left on device" in caplog.text
    monkeypatch.undo()
    assert_same_index(build_index(model, texts, SHARDED, work=tmp_path), index)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, lambda file: file.write(b"old"))

    def half(file: Any) -> None:
        file.write(b"ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_file(path, half)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_corpus_keeps_what_was_done(model: MFNModel, texts: list[Document], tmp_path: Path) -> None:
    def broken() -> Iterator[Document]:
        yield from texts[:20]
        raise OSError("the cable is out")

    with pytest.raises(OSError, match="cable"):
        build_index(model, broken(), SHARDED, work=tmp_path)
    assert Work.open(tmp_path, model, SHARDED.fit(model.max_context)).store.shards


def test_states_are_written_seldom_where_they_are_dear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(checkpoint_module.time, "monotonic", lambda: clock[0])
    checkpoints = Checkpoints(tmp_path, {})

    def slow(path: Path, write: Callable[[Any], None]) -> None:
        clock[0] += 2.0
        replace_file(path, write)

    monkeypatch.setattr(checkpoint_module, "replace_file", slow)
    written = []
    while clock[0] < 200:
        clock[0] += 1.0
        if checkpoints.due:
            checkpoints.save({"a": np.zeros(1)}, {})
            written.append(clock[0])
    assert written[0] == 3.0
    assert {b - a for a, b in pairwise(written)} == {42.0}
    assert len(list(tmp_path.iterdir())) == 2


def test_shard_tokens_are_checked() -> None:
    with pytest.raises(ConfigError, match="shard_tokens"):
        IndexSettings(shard_tokens=0)


@settings(max_examples=40, deadline=None)
@given(corpora, corpora, st.integers(0, 60))
def test_a_state_that_was_saved_is_the_same_and_goes_on(first: Any, second: Any, n: int) -> None:
    """Through its arrays and back: equal, and it takes in more and merges as if nothing had been."""
    second = replace(second, document=second.document + 100)
    parts = np.split(np.arange(len(first.document)), [min(n, len(first.document))])
    state = accumulate(first, parts[:1])
    back = LayerAccumulator.from_arrays(F, V, SETTINGS, {k: v.copy() for k, v in state.arrays().items()})
    assert_same(back, state)
    for part in parts[1:]:
        back.add(first.batch(part), first.indices[part], first.values[part])
    assert_same(back, accumulate(first, whole(first)))
    other = accumulate(second, whole(second))
    assert_same(back.merge(other), accumulate(first, whole(first)).merge(other))


def test_a_state_of_another_layer_is_refused() -> None:
    arrays = accumulate(random_corpus(1, 20, coarse=False, silent=0.0), []).arrays()
    with pytest.raises(ValueError, match="no state of such a layer"):
        LayerAccumulator.from_arrays(F + 1, V, SETTINGS, arrays)
    del arrays["total"]
    with pytest.raises(ValueError, match="total"):
        LayerAccumulator.from_arrays(F, V, SETTINGS, arrays)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["flip", "cut", "zero"]))
def test_no_damage_makes_another_state_of_one(tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("states")
    saved = [accumulate(random_corpus(n, 30, coarse=False, silent=0.3), [np.arange(30)]).arrays() for n in (1, 2)]
    for number, arrays in enumerate(saved):
        Checkpoints(folder, {"a": 1}).save(arrays, {number: "x"})
    newest = max(folder.iterdir())
    data = bytearray(newest.read_bytes())
    at = int(rng.integers(len(data)))
    if kind == "cut":
        data = data[:at]
    elif kind == "flip":
        data[at] ^= 1 << int(rng.integers(8))
    else:
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    newest.write_bytes(data)
    arrays, done = next(Checkpoints(folder, {"a": 1}).saved())
    assert done in ({0: "x"}, {1: "x"})
    for name, array in saved[next(iter(done))].items():
        np.testing.assert_array_equal(arrays[name], array)
