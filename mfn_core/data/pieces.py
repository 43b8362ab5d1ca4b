"""Corpora as pieces that can be read apart, here or on other machines, and taken together in a fixed order.

A piece is a file, a stretch of a plain .jsonl or .parquet file, or one file of a Hugging Face dataset. The documents of
all pieces, in order, are those that `read_corpus` gives of one corpus after the other.

A dataset of the hub is pinned to the commit it has when it is first opened: what is read of it does not change. So a
piece of it, once read, need not be read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from mfn_core.data.corpus import (
    HUB,
    Document,
    files_of,
    open_dataset,
    open_parquet,
    read_file,
    read_rows,
    split_name,
)
from mfn_core.errors import CorpusError

PIECE_BYTES = 32 << 20
"""About so long is a stretch of a plain file: some seconds of one core that tokenises it."""


class Section(NamedTuple):
    """A part of a piece at whose beginning reading can start, and its documents."""

    number: int
    documents: Iterator[Document]


@dataclass(frozen=True)
class FilePiece:
    """A file or a stretch of one.

    Attributes:
        path: of the file.
        begin, end: bytes or row groups, as `read_file` takes them.
        file_bytes: how long the file is. One of another length is another file.
        n_bytes: about how much of it this is.
    """

    path: str
    begin: int
    end: int | None
    file_bytes: int
    n_bytes: int

    pinned = False

    def sections(self, text_field: str, first: int = 0) -> Iterator[Section]:
        """One, the whole of it.

        Raises:
            CorpusError: it cannot be read, or is another file; at the latest while the documents are read.
        """
        path = Path(self.path)
        try:
            there = path.stat().st_size
        except OSError as error:
            raise CorpusError(f"{path} cannot be read: {error}") from error
        if there != self.file_bytes:
            raise CorpusError(
                f"{path} has {there:,} bytes here, and had {self.file_bytes:,} when it was looked at first"
            )
        yield Section(0, read_file(path, text_field, self.begin, self.end))


@dataclass(frozen=True)
class HubPiece:
    """One of the files of a Hugging Face dataset.

    Attributes:
        name, split: of the dataset.
        revision: the commit; None for a folder that is a dataset, and may change.
        number: which of the files, from 0.
        of: how many there are.
    """

    name: str
    split: str
    revision: str | None
    number: int
    of: int

    n_bytes = PIECE_BYTES  # unknown, and not to be found out without asking for each

    @property
    def pinned(self) -> bool:
        """Whether what is read is the same every time."""
        return self.revision is not None

    def sections(self, text_field: str, first: int = 0) -> Iterator[Section]:
        """The row groups of a parquet file from number `first` on, or else one for all of it.

        Raises:
            CorpusError: it cannot be read; at the latest while the documents are read.
        """
        every = open_dataset(self.name, self.split, self.revision)
        if every.num_shards != self.of:
            raise CorpusError(f"the dataset {self.name} has {every.num_shards} files, not {self.of} as before")
        mine = every.shard(self.of, self.number)
        groups = mine.reshard() if self.pinned and hasattr(mine, "reshard") else mine
        for number in range(first, groups.num_shards):
            part = groups.shard(groups.num_shards, number) if groups.num_shards > 1 else groups
            yield Section(number, read_rows(part, self.name, text_field))


Piece: TypeAlias = FilePiece | HubPiece


class Corpus(Iterable[Document]):
    """Corpora, one after the other.

    Args:
        specs: each as `read_corpus` takes it.
        text_field: which column or key holds the text.
        limit: of each corpus, read at most so many documents.

    Raises:
        CorpusError: while iterating, what cannot be found or read.
    """

    def __init__(self, specs: Sequence[str | Path], text_field: str = "text", limit: int | None = None) -> None:
        self.specs = [str(spec) for spec in specs]
        self.text_field = text_field
        self.limit = limit

    def __iter__(self) -> Iterator[Document]:
        for pieces in self.pieces({}):
            every = (d for piece in pieces for section in piece.sections(self.text_field) for d in section.documents)
            yield from islice(every, self.limit)

    def has_text(self) -> bool:
        """Whether there is a document. What lies on the hub is not looked at, and taken for one.

        Raises:
            CorpusError: a file cannot be found, or the first cannot be read.
        """
        files = [files_of(spec) for spec in self.specs if not spec.startswith(HUB)]
        if len(files) < len(self.specs):
            return True
        return any(True for paths in files for path in paths for _ in read_file(path, self.text_field))

    def pieces(self, pins: Mapping[str, Any]) -> list[list[Piece]]:
        """The pieces of each corpus, in order.

        Args:
            pins: what `pins_of` gave of these corpora before; what is in it is not asked for again.

        Raises:
            CorpusError: a corpus cannot be found.
        """
        return [
            _of_hub(spec, pins.get(spec)) if spec.startswith(HUB) else [p for f in files_of(spec) for p in _of_file(f)]
            for spec in self.specs
        ]

    def pins_of(self, pieces: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """Commit and number of files of each dataset of the hub, for JSON."""
        firsts = {spec: of[0] for spec, of in zip(self.specs, pieces, strict=True) if of}
        return {
            spec: {"revision": piece.revision, "files": piece.of}
            for spec, piece in firsts.items()
            if isinstance(piece, HubPiece) and piece.pinned
        }


def _of_file(path: Path) -> Iterator[FilePiece]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    place = str(path.absolute())
    if path.name.endswith(".jsonl"):
        for begin in range(0, max(size, 1), PIECE_BYTES):
            end = min(begin + PIECE_BYTES, size)
            yield FilePiece(place, begin, end, size, end - begin)
    elif path.name.endswith(".parquet"):
        with open_parquet(path) as file:
            sizes = [file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups)]
        begin = 0
        for end in range(1, len(sizes) + 1):
            if sum(sizes[begin:end]) >= PIECE_BYTES or end == len(sizes):
                yield FilePiece(place, begin, end, size, sum(sizes[begin:end]))
                begin = end
    else:
        yield FilePiece(place, 0, None, size, size)


def _of_hub(spec: str, pin: Mapping[str, Any] | None) -> list[Piece]:
    name, split = split_name(spec)
    if pin is None:
        revision = _revision(name)
        pin = {"revision": revision, "files": open_dataset(name, split, revision).num_shards}
    return [HubPiece(name, split, pin["revision"], number, pin["files"]) for number in range(pin["files"])]


def _revision(name: str) -> str | None:
    """The commit that a dataset has now; None for a folder, or where the hub does not say."""
    if Path(name).exists():
        return None
    try:
        from huggingface_hub import HfApi

        return HfApi().dataset_info(name).sha
    except Exception:  # whatever the client raises: opening the dataset will say what is wrong
        return None
