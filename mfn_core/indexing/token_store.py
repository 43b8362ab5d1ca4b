"""A corpus as token ids in files, so that memory does not grow with it: written once, document by document.

A folder of six files. `tokens.u4` holds the ids of all documents end to end, `token_ends.i8` where each ends;
`meta.jsonl` and `meta_ends.i8` what came with each; `texts.d16` a digest of each as it was read; `shards.txt` a line
for each shard that is whole, with a checksum of itself and one of what the other files hold. What lies beyond the last
whole shard is cut off when a folder is opened again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

FILES = ("tokens.u4", "token_ends.i8", "meta.jsonl", "meta_ends.i8", "texts.d16", "shards.txt")

DIGEST_BYTES = 16

_IDS = np.dtype("<u4")
_END = np.dtype("<i8")
_RUN = 512  # documents read at once where one goes through all
_MOST = 1 << 30  # bytes of one read: the system gives no more than 2³¹ at a time

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """A stretch of the corpus: documents `first` to `first + n_documents - 1`.

    Attributes:
        number: from 0.
        first: ordinal of its first document.
        n_documents: how many.
        n_ids: token ids in all.
        n_tokens: those that count.
        text_digest: SHA-256 over the digests of its documents.
        data_digest: SHA-256 over what is stored of them.
    """

    number: int
    first: int
    n_documents: int
    n_ids: int
    n_tokens: int
    text_digest: str
    data_digest: str


class TokenStore:
    """Documents as token ids, on disk. One thread may write while another reads shards that are whole.

    Args:
        folder: where the files lie or will lie; without one, in files that are gone when the store is.

    Attributes:
        shards: those that are whole. After opening a folder, those that earlier runs left there undamaged.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.shards: list[Shard] = []
        self._durable = folder is not None
        place = folder or Path(tempfile.mkdtemp(prefix="mfn-tokens-"))
        place.mkdir(parents=True, exist_ok=True)
        files = [(place / name).open("a+b", buffering=1 << 20) for name in FILES]
        if folder is None:  # the files live on for as long as they are open
            shutil.rmtree(place)
        self._ids, self._meta = _Entries(files[0], files[1]), _Entries(files[2], files[3])
        self._texts, self._table = files[4], files[5]
        for file in (self._texts, self._table):
            weakref.finalize(self, file.close)
        self._forget_open()
        self._take_up()

    def append(self, ids: NDArray[np.uint32], meta: bytes, digest: bytes) -> None:
        """Adds a document to the shard that is being written.

        Args:
            ids: uint32 [T].
            meta: what came with it: a line of JSON.
            digest: 16 bytes, of the document as it was read.
        """
        row = ids.astype(_IDS, copy=False).tobytes()
        self._ids.append(row)
        self._meta.append(meta)
        self._texts.write(digest)
        _digest(self._digest, row, meta, digest)
        self._text_digest.update(digest)
        self._n_ids += len(ids)
        self._n_tokens += max(len(ids) - 1, 0)

    @property
    def n_open(self) -> int:
        """Token ids of the shard that is being written."""
        return self._n_ids

    def digest(self, ordinal: int) -> bytes:
        """The digest of a document of a whole shard, as it was when it was read.

        Raises:
            EOFError: there is no such document.
        """
        return _read(self._texts, ordinal * DIGEST_BYTES, DIGEST_BYTES)

    def close_shard(self) -> Shard:
        """The documents since the last shard are one: it can be read from now on."""
        first = self.n_documents
        shard = Shard(
            number=len(self.shards),
            first=first,
            n_documents=len(self._ids) - first,
            n_ids=self._n_ids,
            n_tokens=self._n_tokens,
            text_digest=self._text_digest.hexdigest(),
            data_digest=self._digest.hexdigest(),
        )
        self._ids.flush()
        self._meta.flush()
        self._texts.flush()
        self._table.write(_line(shard))
        self._table.flush()
        self.shards.append(shard)
        self._forget_open()
        return shard

    def sync(self) -> None:
        """What is whole outlives a power cut."""
        if self._durable:
            for file in (*self._ids.files, *self._meta.files, self._texts, self._table):
                os.fsync(file.fileno())

    def clear(self) -> None:
        """Forgets everything."""
        self.shards = []
        self._table.truncate(0)
        self._cut_off()

    def of_shard(self, shard: Shard) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """Ordinals and token ids of a shard's documents."""
        return enumerate(self.documents().between(shard.first, shard.first + shard.n_documents), shard.first)

    def documents(self) -> Stored[NDArray[np.uint32]]:
        """Token ids of all documents of whole shards, uint32 [T] each."""
        return Stored(self._ids, self.n_documents, lambda row: np.frombuffer(row, _IDS).astype(np.uint32, copy=False))

    def meta(self) -> Stored[dict[str, Any]]:
        """What came with each of them."""
        return Stored(self._meta, self.n_documents, json.loads)

    @property
    def n_documents(self) -> int:
        """How many documents whole shards have."""
        return self.shards[-1].first + self.shards[-1].n_documents if self.shards else 0

    def _take_up(self) -> None:
        """Keep the shards that are there as they were written, up to the first that is not."""
        self._table.seek(0)
        good = 0
        for line in self._table:
            shard = self._undamaged(line)
            if shard is None:
                break
            self.shards.append(shard)
            good += len(line)
        self._table.truncate(good)
        self._cut_off()

    def _undamaged(self, line: bytes) -> Shard | None:
        try:
            shard = Shard(**json.loads(line.partition(b" ")[2]))
            if line != _line(shard) or (shard.number, shard.first) != (len(self.shards), self.n_documents):
                return None
            digest = hashlib.sha256()
            end = shard.first + shard.n_documents
            texts = _read(self._texts, shard.first * DIGEST_BYTES, shard.n_documents * DIGEST_BYTES)
            rows = zip(self._ids.between(shard.first, end), self._meta.between(shard.first, end), strict=True)
            for number, (row, entry) in enumerate(rows):
                _digest(digest, row, entry, texts[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES])
        except (ValueError, TypeError, EOFError):  # no JSON, other fields, files cut short or written over
            return None
        return shard if digest.hexdigest() == shard.data_digest else None

    def _cut_off(self) -> None:
        self._ids.truncate(self.n_documents)
        self._meta.truncate(self.n_documents)
        self._texts.flush()
        self._texts.truncate(self.n_documents * DIGEST_BYTES)
        self._forget_open()

    def _forget_open(self) -> None:
        """No document belongs to the shard that is being written."""
        self._digest, self._text_digest, self._n_ids, self._n_tokens = hashlib.sha256(), hashlib.sha256(), 0, 0


class Stored(Sequence[T], Generic[T]):
    """Entries of a store, read when they are asked for. A pickle or a copy holds them all."""

    def __init__(self, entries: _Entries, n: int, decode: Callable[[bytes], T]) -> None:
        self._entries = entries
        self._n = n
        self._decode = decode

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, which: int) -> T: ...
    @overload
    def __getitem__(self, which: slice) -> list[T]: ...
    def __getitem__(self, which: int | slice) -> T | list[T]:
        if isinstance(which, slice):
            begin, end, step = which.indices(self._n)
            if step == 1:
                return list(self.between(begin, max(begin, end)))
            return [self[i] for i in range(begin, end, step)]
        number = int(which)
        number += self._n if number < 0 else 0
        if not 0 <= number < self._n:
            raise IndexError(f"there are {self._n} documents, and no number {which}")
        return next(self.between(number, number + 1))

    def __iter__(self) -> Iterator[T]:
        return self.between(0, self._n)

    def __reduce__(self) -> tuple[type[list[T]], tuple[list[T]]]:
        return list, (list(self),)

    def between(self, begin: int, end: int) -> Iterator[T]:
        """Entries `begin` to `end - 1`, some hundreds in memory at a time."""
        return map(self._decode, self._entries.between(begin, end))


class _Entries:
    """Byte strings end to end in one file, and where each ends in another."""

    def __init__(self, data: IO[bytes], ends: IO[bytes]) -> None:
        self.files = (data, ends)
        self._data, self._ends = data, ends
        for file in self.files:
            weakref.finalize(self, file.close)
        self._n = os.fstat(ends.fileno()).st_size // _END.itemsize
        self._size = os.fstat(data.fileno()).st_size

    def __len__(self) -> int:
        return self._n

    def append(self, entry: bytes) -> None:
        self._data.write(entry)
        self._size += len(entry)
        self._ends.write(self._size.to_bytes(_END.itemsize, "little"))
        self._n += 1

    def flush(self) -> None:
        for file in self.files:
            file.flush()

    def truncate(self, n: int) -> None:
        """Keeps the first `n`, which must be there. Files opened to append need not be told where to go on."""
        self.flush()
        self._n, self._size = n, int(self._limits(n, n)[0])
        self._ends.truncate(n * _END.itemsize)
        self._data.truncate(self._size)

    def between(self, begin: int, end: int) -> Iterator[bytes]:
        """Entries `begin` to `end - 1`.

        Raises:
            EOFError: they are not there.
        """
        for first in range(begin, end, _RUN):
            limits = self._limits(first, min(first + _RUN, end))
            if (np.diff(limits) < 0).any() or limits[0] < 0:
                raise EOFError("the ends of entries do not ascend")
            start, *ends = (limits - limits[0]).tolist()
            run = _read(self._data, int(limits[0]), ends[-1] if ends else 0)
            for stop in ends:
                yield run[start:stop]
                start = stop

    def _limits(self, first: int, last: int) -> NDArray[np.int64]:
        """int64 [last - first + 1]: where entry `first` begins, and the ends of it and of those before `last`."""
        size = _END.itemsize
        before = bytes(size) if first == 0 else _read(self._ends, (first - 1) * size, size)
        return np.frombuffer(before + _read(self._ends, first * size, (last - first) * size), _END)


def _read(file: IO[bytes], offset: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.pread(file.fileno(), min(size, _MOST), offset)
        if not part:
            raise EOFError("the file ends too early")
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return b"".join(parts)


def _line(shard: Shard) -> bytes:
    """A shard in the table: a checksum, and what it is as JSON."""
    line = json.dumps(asdict(shard)).encode() + b"\n"
    return b"%08x " % zlib.crc32(line) + line


def _digest(digest: Any, row: bytes, meta: bytes, text: bytes) -> None:
    digest.update(len(row).to_bytes(8, "little"))
    digest.update(row)
    digest.update(meta)
    digest.update(text)
