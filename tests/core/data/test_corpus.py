"""Corpora of every kind, and what is said of those that cannot be read."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfn_core.data.corpus import Document, read_corpus
from mfn_core.errors import CorpusError

ROWS = [{"text": "first", "title": "A"}, {"text": "  \n"}, {"text": "zwei – 三", "tags": ["x"]}]
KEPT = [Document("first", {"title": "A"}), Document("zwei – 三", {"tags": ["x"]})]


def test_json_lines_plain_and_compressed(tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "a.jsonl").write_text(text)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress(text.encode()))
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.xz"):
        assert list(read_corpus(tmp_path / name)) == KEPT, name


def test_parquet_text_and_folders(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["one", None, "two"], "n": [1, 2, 3]}), tmp_path / "b.parquet")
    (tmp_path / "c.txt").write_text("a whole\n\nfile")
    (tmp_path / "notes.pdf").write_text("not of a known kind")
    parquet = list(read_corpus(tmp_path / "b.parquet", text_field="body"))
    assert parquet == [Document("one", {"n": 1}), Document("two", {"n": 3})]
    (tmp_path / "b.parquet").unlink()
    assert list(read_corpus(tmp_path)) == [Document("a whole\n\nfile", {"title": "c"})]
    assert list(read_corpus(str(tmp_path / "*.txt"))) == list(read_corpus(tmp_path))


def test_limit(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert list(read_corpus(tmp_path / "a.jsonl", limit=1)) == KEPT[:1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "there is no corpus"),
        ("a.pdf", b"x", "no known kind"),
        ("a.jsonl", b'{"text": "ok"}\n{"text": 3}\n', "line 2, has no text"),
        ("a.jsonl", b"{\n", "line 1, is not JSON"),
        ("a.jsonl", b"\xff\xfe", "cannot be read"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
        ("a.jsonl.xz", b"not xz", "cannot be read"),
        ("a.parquet", b"not parquet", "not parquet"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        list(read_corpus(tmp_path / name))


def test_a_missing_column_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no file"):
        list(read_corpus(tmp_path))
    pq.write_table(pa.table({"body": ["one"]}), tmp_path / "b.parquet")
    with pytest.raises(CorpusError, match="no column 'text'; it has body"):
        list(read_corpus(tmp_path / "b.parquet"))


def test_a_hugging_face_dataset_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="the extra `hf` is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"  # a local folder is a dataset too: no network
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "first", "n": 1}\n{"text": "second", "n": 2}\n')
    (folder / "test.jsonl").write_text('{"text": "third", "n": 3}\n')
    both = [Document("first", {"n": 1}), Document("second", {"n": 2})]
    assert list(read_corpus(f"hf:{folder}")) == both
    assert list(read_corpus(f"hf:{folder}:test")) == [Document("third", {"n": 3})]
    with pytest.raises(CorpusError, match="has no text under 'body'; it has text, n"):
        list(read_corpus(f"hf:{folder}", text_field="body"))
    with pytest.raises(CorpusError, match="cannot be opened"):
        list(read_corpus(f"hf:{folder}:nosplit"))
