"""Reading documents out of whatever they come in: text files, JSON lines, parquet, Hugging Face datasets."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from mfn_core.errors import CorpusError

HUB = "hf:"


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
    return islice(_documents(str(spec), text_field), limit)


def _documents(spec: str, text_field: str) -> Iterator[Document]:
    if spec.startswith(HUB):
        name, split = split_name(spec)
        yield from read_rows(open_dataset(name, split), name, text_field)
        return
    for path in files_of(spec):
        yield from read_file(path, text_field)


def read_file(path: Path, text_field: str, begin: int = 0, end: int | None = None) -> Iterator[Document]:
    """Documents of a file, or of a part of it.

    Args:
        path: of the file.
        text_field: which column or key holds the text.
        begin, end: in `.jsonl`, the lines that begin within these bytes; in `.parquet`, these row groups. Other files
            are read as a whole.

    Raises:
        CorpusError: it cannot be read.
    """
    try:
        for document in reader_of(path)(path, text_field, begin, end):
            if document.text.strip():
                yield document
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error


def files_of(spec: str) -> list[Path]:
    """The files of a corpus that is none of the hub's, in order.

    Raises:
        CorpusError: there is none of a known kind.
    """
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


def split_name(spec: str) -> tuple[str, str]:
    """Name and split of `hf:NAME[:SPLIT]`."""
    name, _, split = spec.removeprefix(HUB).partition(":")
    return name, split or "train"


def open_dataset(name: str, split: str, revision: str | None = None) -> Any:
    """A Hugging Face dataset, to be streamed.

    Raises:
        CorpusError: it cannot be opened.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise CorpusError("hf: corpora need datasets: pip install 'mfn-studio[hf]'") from error
    try:
        return load_dataset(name, split=split, revision=revision, streaming=True)
    except Exception as error:  # the library raises many kinds, from connection errors to missing scripts
        raise CorpusError(f"the dataset {name} cannot be opened: {_brief(error)}") from error


def read_rows(rows: Any, name: str, text_field: str) -> Iterator[Document]:
    """Documents of a dataset that is open.

    Raises:
        CorpusError: it cannot be read.
    """
    iterator = iter(rows)
    while True:
        try:
            row = next(iterator, None)
        except Exception as error:  # as above
            raise CorpusError(f"the dataset {name} cannot be read: {_brief(error)}") from error
        if row is None:
            return
        if not isinstance(row.get(text_field), str):
            raise CorpusError(f"the dataset {name} has no text under {text_field!r}; it has {', '.join(row)}")
        if row[text_field].strip():
            yield _from_row(row, text_field)


def open_parquet(path: Path) -> Any:
    """A `pyarrow.parquet.ParquetFile`.

    Raises:
        CorpusError: pyarrow is missing, or it is no such file.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise CorpusError("reading parquet needs pyarrow: pip install 'mfn-studio[parquet]'") from error
    try:
        return pq.ParquetFile(path)
    except ValueError as error:  # pyarrow's own errors derive from it
        raise CorpusError(f"{path} is not parquet: {error}") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error


def _read_text(path: Path, text_field: str, begin: int, end: int | None) -> Iterator[Document]:
    yield Document(path.read_text(encoding="utf-8"), {"title": path.stem})


def _read_lines(path: Path, text_field: str, begin: int, end: int | None) -> Iterator[Document]:
    with path.open("rb") as file:
        if begin:
            file.seek(begin - 1)
            file.readline()  # the rest of a line that began before, or the one byte that ended it
        first = file.tell()
        yield from _from_lines(path, _until(file, first, end), text_field, lambda: _lines_before(path, first))


def _until(file: IO[bytes], at: int, end: int | None) -> Iterator[bytes]:
    for line in file:
        if end is not None and at >= end:
            return
        yield line
        at += len(line)


def _lines_before(path: Path, end: int) -> int:
    with path.open("rb") as file:
        return sum(file.read(min(1 << 20, end - at)).count(b"\n") for at in range(0, end, 1 << 20))


def _packed_lines(opener: Callable[[Path], gzip.GzipFile | lzma.LZMAFile]) -> Reader:
    def read(path: Path, text_field: str, begin: int, end: int | None) -> Iterator[Document]:
        with opener(path) as lines:
            yield from _from_lines(path, lines, text_field, lambda: 0)

    return read


def _from_lines(path: Path, lines: Iterable[bytes], text_field: str, before: Callable[[], int]) -> Iterator[Document]:
    """Documents of lines of JSON. `before` counts the file's lines before the first of these."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except json.JSONDecodeError as error:
            raise CorpusError(f"{path}, line {before() + number}, is not JSON: {error.msg}") from error
        if not isinstance(row, dict) or not isinstance(row.get(text_field), str):
            raise CorpusError(f"{path}, line {before() + number}, has no text under {text_field!r}")
        yield _from_row(row, text_field)


def _read_parquet(path: Path, text_field: str, begin: int, end: int | None) -> Iterator[Document]:
    file = open_parquet(path)
    if text_field not in file.schema_arrow.names:
        raise CorpusError(f"{path} has no column {text_field!r}; it has {', '.join(file.schema_arrow.names)}")
    groups = range(begin, file.num_row_groups if end is None else end)
    for batch in file.iter_batches(batch_size=256, row_groups=groups):
        for row in batch.to_pylist():
            if isinstance(row[text_field], str):
                yield _from_row(row, text_field)


def _from_row(row: dict[str, Any], text_field: str) -> Document:
    return Document(row[text_field], {key: value for key, value in row.items() if key != text_field})


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _open_gzip(path: Path) -> gzip.GzipFile:
    return gzip.open(path, "rb")


def _open_xz(path: Path) -> lzma.LZMAFile:
    return lzma.open(path, "rb")


Reader = Callable[[Path, str, int, int | None], Iterator[Document]]

READERS: dict[str, Reader] = {
    ".jsonl": _read_lines,
    ".jsonl.gz": _packed_lines(_open_gzip),
    ".jsonl.xz": _packed_lines(_open_xz),
    ".parquet": _read_parquet,
    ".txt": _read_text,
}


def reader_of(path: Path) -> Reader:
    """What reads files of this kind, which must be a known one."""
    return next(reader for ending, reader in READERS.items() if path.name.endswith(ending))
