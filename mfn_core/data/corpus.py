"""Reading documents out of whatever they come in: text files, JSON lines, parquet, Hugging Face datasets."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from mfn_core.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Document:
    """One text.

    Attributes:
        text: never empty.
        meta: what came with it, such as `title`, `tags`, `source`.
    """

    text: str
    meta: dict[str, Any] = field(default_factory=dict)


def read_corpus(spec: str | Path, *, text_field: str = "text", limit: int | None = None) -> Iterator[Document]:
    """Documents of a corpus, one at a time, in a fixed order. Empty texts are left out.

    Args:
        spec: a file (`.txt`, `.jsonl`, `.jsonl.gz`, `.jsonl.xz`, `.parquet`), a folder of such files, a glob, or
            `hf:NAME[:SPLIT]` for a Hugging Face dataset, streamed. A `.txt` file is one document.
        text_field: which column or key holds the text.
        limit: stop after so many documents.

    Raises:
        CorpusError: what cannot be found or read, and where. Raised when reading reaches it.
    """
    return islice((document for document in _documents(str(spec), text_field) if document.text.strip()), limit)


def _documents(spec: str, text_field: str) -> Iterator[Document]:
    if spec.startswith("hf:"):
        yield from _read_hub(spec.removeprefix("hf:"), text_field)
        return
    for path in _files(spec):
        reader = next(reader for ending, reader in READERS.items() if path.name.endswith(ending))
        try:
            yield from reader(path, text_field)
        except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
            raise CorpusError(f"{path} cannot be read: {error}") from error


def _files(spec: str) -> list[Path]:
    path = Path(spec)
    known = tuple(READERS)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(known))
    elif any(c in spec for c in "*?["):
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        files = sorted(p for p in anchor.glob(str(path.relative_to(path.anchor))) if p.name.endswith(known))
    elif not path.exists():
        raise CorpusError(f"there is no corpus {spec}: give a file, a folder, a glob or hf:NAME")
    elif not path.name.endswith(known):
        raise CorpusError(f"{spec} is of no known kind: {', '.join(known)}")
    else:
        files = [path]
    if not files:
        raise CorpusError(f"{spec} holds no file of a known kind: {', '.join(known)}")
    return files


def _read_text(path: Path, text_field: str) -> Iterator[Document]:
    yield Document(path.read_text(encoding="utf-8"), {"title": path.stem})


def _json_lines(opener: Callable[[Path], IO[str]]) -> Callable[[Path, str], Iterator[Document]]:
    def read(path: Path, text_field: str) -> Iterator[Document]:
        with opener(path) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise CorpusError(f"{path}, line {number}, is not JSON: {error.msg}") from error
                if not isinstance(row, dict) or not isinstance(row.get(text_field), str):
                    raise CorpusError(f"{path}, line {number}, has no text under {text_field!r}")
                yield _from_row(row, text_field)

    return read


def _read_parquet(path: Path, text_field: str) -> Iterator[Document]:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise CorpusError("reading parquet needs pyarrow: pip install 'mfn-studio[parquet]'") from error
    try:
        file = pq.ParquetFile(path)
    except ValueError as error:  # pyarrow's own errors derive from it
        raise CorpusError(f"{path} is not parquet: {error}") from error
    if text_field not in file.schema_arrow.names:
        raise CorpusError(f"{path} has no column {text_field!r}; it has {', '.join(file.schema_arrow.names)}")
    for batch in file.iter_batches(batch_size=256):
        for row in batch.to_pylist():
            if isinstance(row[text_field], str):
                yield _from_row(row, text_field)


def _read_hub(name: str, text_field: str) -> Iterator[Document]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise CorpusError("hf: corpora need datasets: pip install 'mfn-studio[hf]'") from error
    path, _, split = name.partition(":")
    try:
        rows = load_dataset(path, split=split or "train", streaming=True)
    except Exception as error:  # the library raises many kinds, from connection errors to missing scripts
        raise CorpusError(f"the dataset {path} cannot be opened: {str(error).splitlines()[0]}") from error
    for row in rows:
        if not isinstance(row.get(text_field), str):
            raise CorpusError(f"the dataset {path} has no text under {text_field!r}; it has {', '.join(row)}")
        yield _from_row(row, text_field)


def _from_row(row: dict[str, Any], text_field: str) -> Document:
    return Document(row[text_field], {key: value for key, value in row.items() if key != text_field})


def _open_gzip(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8")


def _open_xz(path: Path) -> IO[str]:
    return lzma.open(path, "rt", encoding="utf-8")


READERS: dict[str, Callable[[Path, str], Iterator[Document]]] = {
    ".jsonl": _json_lines(lambda path: path.open(encoding="utf-8")),
    ".jsonl.gz": _json_lines(_open_gzip),
    ".jsonl.xz": _json_lines(_open_xz),
    ".parquet": _read_parquet,
    ".txt": _read_text,
}
