"""Corpora in pieces: together they are the corpus, wherever it is cut."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core.data import pieces as pieces_module
from mfn_core.data.corpus import Document, read_corpus
from mfn_core.data.pieces import Corpus, HubPiece
from mfn_core.errors import CorpusError


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_BYTES", 64)
    return


def read(corpus: Corpus) -> list[Document]:
    """Piece by piece."""
    found = []
    for piece in (piece for pieces in corpus.pieces({}) for piece in pieces):
        for section in piece.sections(corpus.text_field):
            found += section.documents
    return found


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(max_size=12), max_size=12),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    last=st.booleans(),
    size=st.integers(1, 80),
)
def test_lines_cut_anywhere(
    texts: list[str], end: str, last: bool, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    whole = end.join(json.dumps({"text": text, "n": n}, ensure_ascii=False) for n, text in enumerate(texts))
    path.write_bytes((whole + end * last).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces_module, "PIECE_BYTES", size)
        assert read(Corpus([path])) == [Document(text, {"n": n}) for n, text in enumerate(texts) if text.strip()]


@pytest.mark.usefixtures("short_pieces")
def test_many_files_and_corpora(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}" * (n % 4), "n": n} for n in range(50)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    table = pa.table({"text": [row["text"] for row in rows], "n": [row["n"] for row in rows]})
    (tmp_path / "set").mkdir()
    for name in ("a", "c"):
        (tmp_path / "set" / f"{name}.jsonl").write_text(lines)
    pq.write_table(table, tmp_path / "set" / "b.parquet", row_group_size=7)
    (tmp_path / "d.txt").write_text("alone")
    for limit in (None, 20):
        corpus = Corpus([tmp_path / "set", tmp_path / "d.txt"], limit=limit)
        expected = [d for spec in corpus.specs for d in read_corpus(spec, limit=limit)]
        assert list(corpus) == expected
        if limit is None:
            assert read(corpus) == expected
    in_files = [Path(piece.path).name for piece in corpus.pieces({})[0] if not isinstance(piece, HubPiece)]
    assert in_files == sorted(in_files)
    assert min(map(in_files.count, ("a.jsonl", "b.parquet", "c.jsonl"))) > 5


@pytest.mark.usefixtures("short_pieces")
def test_a_line_that_is_wrong_has_its_number_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "as it should be"}\n' * 20 + '{"text": 3}\n')
    with pytest.raises(CorpusError, match="line 21, has no text"):
        read(Corpus([tmp_path / "a.jsonl"]))


def test_another_file_under_the_same_name_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    [[piece]] = Corpus([tmp_path / "a.jsonl"]).pieces({})
    (tmp_path / "a.jsonl").write_text('{"text": "another"}\n')
    with pytest.raises(CorpusError, match="20 bytes here, and had 16 when it was looked at first"):
        list(piece.sections("text"))


def test_whether_there_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": " "}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n')
    assert not Corpus([tmp_path / "a.jsonl"]).has_text()
    assert Corpus([tmp_path]).has_text()
    assert Corpus([tmp_path / "a.jsonl", "hf:somewhere/else"]).has_text()
    with pytest.raises(CorpusError, match="there is no corpus"):
        Corpus([tmp_path / "none", "hf:somewhere/else"]).has_text()
