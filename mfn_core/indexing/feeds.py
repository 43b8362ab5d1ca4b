"""What a `ShardReader` is fed with: the documents of a corpus in order, without those that need not be read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mfn_core.data.corpus import Document
from mfn_core.data.pieces import Corpus, Piece
from mfn_core.errors import CorpusError
from mfn_core.indexing.reading_log import ReadingLog
from mfn_core.indexing.token_store import DIGEST_BYTES


class CorpusChangedError(CorpusError):
    """The corpus is not the one of which a work folder holds a part."""


class Tokenized(NamedTuple):
    """A document whose text was read elsewhere.

    Attributes:
        digest: from `digest_of`.
        meta: from `meta_line`; empty where `ids` is None.
        ids: uint32 [T]; None where it was known that they are not needed.
    """

    digest: bytes
    meta: bytes
    ids: NDArray[np.uint32] | None


class Skipped(NamedTuple):
    """So many documents that cannot have changed since they were read."""

    n: int


Item: TypeAlias = Document | Tokenized | Skipped


class Feed(Protocol):
    """Gives what is in a corpus, to one thread."""

    def items(self, log: ReadingLog, n_known: int) -> Iterator[Item]:
        """All documents, in order.

        Args:
            log: what is known of the corpus already, and where to note what becomes known.
            n_known: of so many documents, from the first on, token ids are there.

        Raises:
            CorpusError: what cannot be read.
            CorpusChangedError: pieces have other numbers of documents than before.
        """

    def stop(self) -> None:
        """Nothing more is wanted. Called by another thread."""


class LocalFeed:
    """Reads in this process. Pieces of a `Corpus` that are known and cannot have changed are passed over."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = documents

    def items(self, log: ReadingLog, n_known: int) -> Iterator[Item]:
        """See `Feed`."""
        if not isinstance(self._documents, Corpus):
            yield from self._documents
            return
        walk = Walk(self._documents, log, n_known)
        for number, piece in enumerate(walk.pieces):
            known = walk.begin(number)
            if known.n:
                yield Skipped(known.n)
            if known.whole:
                continue
            for section, documents in piece.sections(self._documents.text_field, known.section):
                walk.section(section)
                for document in documents:
                    if not walk.take():
                        break
                    yield document
                if walk.full:
                    break
        walk.end()

    def stop(self) -> None:
        """See `Feed`."""


class Known(NamedTuple):
    """What need not be read of a piece: its first `n` documents, which lie before a section, or are the whole of it."""

    n: int
    section: int
    whole: bool


class Walk:
    """Goes through the pieces of a corpus in order, and keeps count of documents.

    For each piece call `begin`; unless the whole of it is known call `section` at the beginning of each section and
    `take` for each document. At the end call `end`.

    Args:
        corpus: whose pieces.
        log, n_known: as for `Feed.items`.

    Attributes:
        pieces: all of them.
        corpus_of: for each, which of the corpora it belongs to.
    """

    def __init__(self, corpus: Corpus, log: ReadingLog, n_known: int) -> None:
        by_corpus = corpus.pieces(log.pins or {})
        log.begin(corpus.pins_of(by_corpus))
        self.pieces: list[Piece] = [piece for pieces in by_corpus for piece in pieces]
        self.corpus_of = [number for number, pieces in enumerate(by_corpus) for _ in pieces]
        self._log, self._n_known, self._limit = log, n_known, corpus.limit
        self._number, self._ordinal, self._taken = -1, 0, 0

    @property
    def full(self) -> bool:
        """Whether no more documents of the present corpus are wanted."""
        return self._limit is not None and self._taken >= self._limit

    def is_known(self, number: int) -> bool:
        """Whether token ids of all documents of a piece are there."""
        end = self._log.first_of(number + 1)
        return end is not None and end <= self._n_known

    def start_of(self, number: int) -> tuple[int, int]:
        """From which section on a piece must be read, and how many of its documents come before that."""
        return self._log.last_section(number, self._n_known) if self.pieces[number].pinned else (0, 0)

    def begin(self, number: int) -> Known:
        """Goes on to a piece. What is known of it counts as taken."""
        if number == 0 or self.corpus_of[number] != self.corpus_of[number - 1]:
            self._taken = 0
        self._number = number
        self.section(0)
        if self.full:
            return Known(0, 0, whole=True)
        section, n = self.start_of(number)
        whole = self.pieces[number].pinned and self.is_known(number)
        if whole:
            n = (self._log.first_of(number + 1) or 0) - self._ordinal
        self._ordinal += n
        self._taken += n
        return Known(n, section, whole)

    def section(self, number: int) -> None:
        """A section of the present piece begins here."""
        first = self._log.first_of(self._number) if number == 0 else None
        if first not in (None, self._ordinal):
            raise CorpusChangedError("the corpus has changed since a part of it was indexed")
        self._log.note(self._number, number, self._ordinal)

    def take(self) -> bool:
        """Counts a document, if it is wanted."""
        if self.full:
            return False
        self._ordinal += 1
        self._taken += 1
        return True

    def end(self) -> None:
        """There are no more pieces."""
        self._number = len(self.pieces)
        self.section(0)


def digest_of(document: Document) -> bytes:
    """16 bytes that tell a document, with what came with it, from any other."""
    text = document.text.encode(errors="surrogatepass")
    digest = hashlib.blake2b(len(text).to_bytes(8, "little") + text, digest_size=DIGEST_BYTES)
    digest.update(meta_line(document.meta))
    return digest.digest()


def meta_line(meta: dict[str, Any]) -> bytes:
    """What came with a document as a line of JSON. What JSON cannot hold becomes text."""
    return json.dumps(meta, ensure_ascii=False, default=str).encode(errors="surrogatepass") + b"\n"
