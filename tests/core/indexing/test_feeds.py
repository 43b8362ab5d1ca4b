"""What is read of a corpus, by whom, and what is not read again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfn_core import MFNModel
from mfn_core.data import pieces as pieces_module
from mfn_core.data.corpus import Document
from mfn_core.data.pieces import Corpus
from mfn_core.errors import CorpusError
from mfn_core.indexing import CorpusChangedError, IndexSettings, build_index
from mfn_core.indexing.feeds import Item, LocalFeed, Skipped, Tokenized, digest_of, meta_line
from mfn_core.indexing.ray_reading import Part, read_parts, unpacked
from mfn_core.indexing.reading_log import FILE, ReadingLog

FILES, ROWS, GROUP = 3, 20, 6


class StopError(Exception):
    pass


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of parquet files in row groups."""
    folder = tmp_path / "set"
    folder.mkdir()
    for file in range(FILES):
        n = list(range(file * ROWS, (file + 1) * ROWS))
        table = pa.table({"text": [f"the text of number {i}" for i in n], "n": n})
        pq.write_table(table, folder / f"train-{file:05d}.parquet", row_group_size=GROUP)
    return folder


@pytest.fixture
def on_the_hub(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """The same as one that has a commit. `hub.read` has what was read of it."""
    pytest.importorskip("datasets", reason="the extra `hf` is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(pieces_module, "_revision", lambda name: "c0ffee")
    return Corpus([f"hf:{dataset}"])


def reading(feed: LocalFeed, log: ReadingLog, n_known: int) -> tuple[int, list[int]]:
    """How many documents were passed over, and the numbers of those that were read."""
    items: list[Item] = list(feed.items(log, n_known))
    return sum(item.n for item in items if isinstance(item, Skipped)), [
        item.meta["n"] for item in items if isinstance(item, Document)
    ]


@pytest.mark.parametrize(
    ("n_known", "first_read"), [(0, 0), (5, 0), (6, 6), (20, 20), (25, 20), (26, 26), (59, 58), (60, 60)]
)
def test_of_the_hub_only_the_row_group_that_was_not_done_is_read_again(
    on_the_hub: Corpus, tmp_path: Path, n_known: int, first_read: int
) -> None:
    assert reading(LocalFeed(on_the_hub), ReadingLog(tmp_path), 0) == (0, list(range(FILES * ROWS)))
    log = ReadingLog(tmp_path)
    assert log.pins == {on_the_hub.specs[0]: {"revision": "c0ffee", "files": FILES}}
    assert reading(LocalFeed(on_the_hub), log, n_known) == (first_read, list(range(first_read, FILES * ROWS)))


def test_a_limit_counts_what_is_passed_over(on_the_hub: Corpus, tmp_path: Path) -> None:
    limited = Corpus(on_the_hub.specs * 2, limit=33)
    wanted = list(range(33))
    assert reading(LocalFeed(limited), ReadingLog(tmp_path), 0) == (0, wanted * 2)
    assert reading(LocalFeed(limited), ReadingLog(tmp_path), 66) == (66, [])
    assert reading(LocalFeed(limited), ReadingLog(tmp_path), 33 + 12) == (33 + 12, wanted[12:])


def test_a_resumed_run_reads_the_hub_no_more(
    tiny_model: MFNModel, on_the_hub: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = IndexSettings(shard_tokens=100, max_sample_firings=1 << 12)
    whole = build_index(tiny_model, on_the_hub, settings)

    def stop(done: int, total: int | None) -> None:
        if total is not None:  # by then all of it is read
            raise StopError
        time.sleep(0.05)

    with pytest.raises(StopError):
        build_index(tiny_model, on_the_hub, settings, stop, tmp_path / "work")

    def gone(*given: Any) -> None:
        raise CorpusError("the hub was asked")

    monkeypatch.setattr(pieces_module, "open_dataset", gone)
    monkeypatch.setattr(pieces_module, "_revision", gone)
    again = build_index(tiny_model, on_the_hub, settings, work=tmp_path / "work")
    assert [list(ids) for ids in again.documents] == [list(ids) for ids in whole.documents]
    assert list(again.meta) == list(whole.meta)
    assert (again.layers[1].firing_count == whole.layers[1].firing_count).all()
    with pytest.raises(CorpusError, match="the hub was asked"):
        build_index(tiny_model, on_the_hub, settings, work=tmp_path / "other")


def test_files_before_what_is_passed_over_must_not_have_changed(on_the_hub: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "n": 1}\n{"text": "two", "n": 2}\n')
    both = Corpus([path, *on_the_hub.specs])
    reading(LocalFeed(both), ReadingLog(tmp_path), 0)
    path.write_text('{"text": "one", "n": 1}\n')
    with pytest.raises(CorpusChangedError):
        reading(LocalFeed(both), ReadingLog(tmp_path), 62)


def test_a_log_that_is_damaged_is_good_up_to_there(on_the_hub: Corpus, tmp_path: Path) -> None:
    reading(LocalFeed(on_the_hub), ReadingLog(tmp_path), 0)
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    for bad in (b"[1, 2", b'{"x": 1}\n', b"[1, 2, 3]", b"\xff\n"):
        (tmp_path / FILE).write_bytes(b"".join([*lines[:6], bad, *lines[6:]]))
        assert reading(LocalFeed(on_the_hub), ReadingLog(tmp_path), 60)[0] == 20
        assert reading(LocalFeed(on_the_hub), ReadingLog(tmp_path), 60)[0] == 60, "and is mended by reading on"
    (tmp_path / FILE).write_bytes(b"")
    assert ReadingLog(tmp_path).pins is None


def write_shards(folder: Path) -> Corpus:
    """A folder of .jsonl and .parquet files, and a file of its own."""
    folder.mkdir()
    for file in range(6):
        rows = [{"text": f"number {n} " * (n % 5), "n": n} for n in range(file * 30, file * 30 + 30)]
        if file % 2:
            table = pa.table({name: [row[name] for row in rows] for name in ("text", "n")})
            pq.write_table(table, folder / f"{file}.parquet", row_group_size=11)
        else:
            (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder.parent / "last.txt").write_text("the last one")
    return Corpus([folder, folder.parent / "last.txt"])


def encode(text: str) -> list[int]:
    return [0, *text.encode()]


@pytest.mark.parametrize("skip", [0, 1, 7, 30, 59, 144, 145, 200])
@pytest.mark.parametrize("tokenize", [False, True])
def test_a_task_goes_on_where_one_stopped(
    tmp_path: Path, skip: int, tokenize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfn_core.indexing.ray_reading.BLOCK_IDS", 300)
    corpus = write_shards(tmp_path / "set")
    parts = [Part(n, piece, 0, tokenize) for n, pieces in enumerate(corpus.pieces({})) for piece in pieces]
    blocks = list(read_parts(parts, "text", None, skip, encode))
    assert len(blocks) > 5 or skip or not tokenize
    events = [event for block in blocks for event in unpacked(block)]
    expected = [
        Tokenized(digest_of(d), meta_line(d.meta) if tokenize else b"", encode(d.text) if tokenize else None)
        for d in corpus
    ]
    found = [
        Tokenized(event.digest, event.meta, None if event.ids is None else event.ids.tolist())
        for event in events
        if isinstance(event, Tokenized)
    ]
    assert found == expected[skip:]


READ = """
import json, sys, time
import ray
from mfn_core.data.pieces import Corpus
from mfn_core.indexing.feeds import Skipped
from mfn_core.indexing.ray_reading import RayFeed
from mfn_core.indexing.reading_log import ReadingLog

class Slow:
    def __call__(self, text):
        time.sleep(0.02)
        return [0, *text.encode()]

ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
feed = RayFeed(ray, Corpus(sys.argv[3:], limit=int(sys.argv[2]) or None), Slow(), 2)
with open(sys.argv[1], "w") as out:
    for item in feed.items(ReadingLog(), 0):
        print(json.dumps([item.digest.hex(), item.meta.decode(), item.ids.tolist()]), file=out, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 40])
def test_tasks_of_a_cluster_read_what_one_process_reads_though_one_is_killed(tmp_path: Path, limit: int) -> None:
    pytest.importorskip("ray")
    corpus = write_shards(tmp_path / "set")
    script, out = tmp_path / "read.py", tmp_path / "out.jsonl"
    script.write_text(READ)
    given = [sys.executable, script, out, limit, *corpus.specs]
    process = subprocess.Popen([*map(str, given)], stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        killed: set[int] = set()
        while not killed:
            assert process.poll() is None, process.communicate()
            for child in psutil.Process(process.pid).children(recursive=True):
                try:
                    if "ray::read_parts" in "".join(child.cmdline()):
                        child.send_signal(signal.SIGKILL)
                        killed.add(child.pid)
                        break
                except psutil.Error:
                    continue
            time.sleep(0.05)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "a process that read the corpus is lost" in errors
    found = [json.loads(line) for line in out.read_text().splitlines()]
    wanted = Corpus(corpus.specs, limit=limit or None)
    assert found == [[digest_of(d).hex(), meta_line(d.meta).decode(), encode(d.text)] for d in wanted]
