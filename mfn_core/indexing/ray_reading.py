"""A corpus read and tokenised by many processes of a Ray cluster, and put together in its order.

Each task reads some pieces that follow each other and gives blocks of token ids as it goes. Blocks are taken in the
order of the corpus, and a few tasks work ahead. So ordinals of documents, shards, and every row of the index are those
of one process. A task whose process is lost is given out again, without the documents that were taken of it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfn_core.data.pieces import PIECE_BYTES, Corpus, Piece
from mfn_core.errors import MFNError
from mfn_core.indexing.feeds import Item, Skipped, Tokenized, Walk, digest_of, meta_line
from mfn_core.indexing.ray_calls import LostError, result
from mfn_core.indexing.reading_log import ReadingLog
from mfn_core.indexing.token_store import DIGEST_BYTES

MOST_LOSSES = 3
"""Of processes, over one task, after which the fault is not taken for theirs."""

BLOCK_IDS = 1 << 18
"""So many token ids, or an eighth as many documents, make a block."""

_AHEAD = 4  # blocks that a task may be ahead of whoever takes them
_POLL_SECONDS = 0.2

Encode = Callable[[str], Sequence[int]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """What is to be read of a piece.

    Attributes:
        number: of the piece.
        piece: where it lies.
        section: from which section on.
        tokenize: whether token ids are wanted; else digests alone are.
    """

    number: int
    piece: Piece
    section: int
    tokenize: bool


class Mark(NamedTuple):
    """Before document number `at` of a block, a section of a piece begins."""

    at: int
    piece: int
    section: int


@dataclass
class Block:
    """Documents one after the other, n of them.

    Attributes:
        marks: in order.
        digests: 16 bytes each.
        lengths: how many token ids each has; -1: they are not wanted, nor what came with it.
        ids: of all, end to end.
        meta: a line for each whose token ids are wanted.
    """

    marks: list[Mark] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    ids: list[NDArray[np.uint32]] = field(default_factory=list)
    meta: list[bytes] = field(default_factory=list)
    n_ids: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def full(self) -> bool:
        """Whether it is time to hand it over."""
        return self.n_ids >= BLOCK_IDS or len(self) >= BLOCK_IDS // 8

    def add(self, digest: bytes, ids: NDArray[np.uint32] | None, meta: bytes) -> None:
        """Another document."""
        self.digests.append(digest)
        self.lengths.append(-1 if ids is None else len(ids))
        if ids is not None:
            self.ids.append(ids)
            self.meta.append(meta)
            self.n_ids += len(ids)

    def packed(self) -> Packed:
        """The same, as it travels."""
        ids = np.concatenate([np.zeros(0, np.uint32), *self.ids])
        return self.marks, b"".join(self.digests), np.array(self.lengths, np.int64), ids, self.meta


Packed = tuple[list[Mark], bytes, NDArray[np.int64], NDArray[np.uint32], list[bytes]]


def unpacked(block: Packed) -> Iterator[Mark | Tokenized]:
    """The marks and documents of a block, in order."""
    marks, digests, lengths, ids, meta = block
    ends, texts, left = np.cumsum(np.maximum(lengths, 0)), iter(meta), deque(marks)
    for n, length in enumerate(lengths.tolist()):
        while left and left[0].at == n:
            yield left.popleft()
        digest = digests[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES]
        end = int(ends[n])
        yield Tokenized(digest, b"", None) if length < 0 else Tokenized(digest, next(texts), ids[end - length : end])
    yield from left


def read_parts(
    parts: Sequence[Part], text_field: str, limit: int | None, skip: int, encode: Encode
) -> Iterator[Packed]:
    """What a task does.

    Args:
        parts: to read, in order.
        text_field, limit: as for `Corpus`.
        skip: so many documents are taken already: they are left out.
        encode: a text's token ids.
    """
    seen, block = 0, Block()
    for part in parts:
        for section, documents in part.piece.sections(text_field, part.section):
            if seen >= skip:
                block.marks.append(Mark(len(block), part.number, section))
            for document in documents:
                if limit is not None and seen >= limit:
                    break
                seen += 1
                if seen > skip:
                    ids = np.array(encode(document.text), np.uint32) if part.tokenize else None
                    block.add(digest_of(document), ids, b"" if ids is None else meta_line(document.meta))
                    if block.full:
                        yield block.packed()
                        block = Block()
            if limit is not None and seen >= limit:
                yield block.packed()
                return
    yield block.packed()


@dataclass(eq=False)
class _Task:
    """Parts of one corpus, and the process that reads them. `taken`: documents that have come of it."""

    corpus: int
    parts: list[Part] = field(default_factory=list)
    n_bytes: int = 0
    blocks: Any = None
    taken: int = 0
    losses: int = 0


class RayFeed:
    """See `mfn_core.indexing.feeds.Feed`.

    Args:
        ray: the module, connected.
        corpus: to read. Its files lie under the same paths on all machines.
        encode: a text's token ids; it is sent to the tasks.
        tasks: how many work at once.
    """

    def __init__(self, ray: Any, corpus: Corpus, encode: Encode, tasks: int) -> None:
        self._ray = ray
        self._corpus = corpus
        self._n_tasks = tasks
        self._encode = ray.put(encode)
        # A task asks for no core of its own: where there are no GPUs, all cores belong to the workers that index, and
        # a core tokenises a hundred times as fast as it indexes.
        self._read = ray.remote(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy="SPREAD",
            num_returns="streaming",
            _generator_backpressure_num_objects=_AHEAD,
        )(read_parts)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """See `Feed`."""
        self._stopped.set()

    def items(self, log: ReadingLog, n_known: int) -> Iterator[Item]:
        """See `Feed`. Ends early where it is stopped.

        Raises:
            MFNError: processes are lost again and again.
        """
        walk = Walk(self._corpus, log, n_known)
        current = -1
        for event in self._events(walk):
            if isinstance(event, Tokenized):
                if walk.take():
                    yield event
            elif event.piece >= current:  # else it comes again, after a loss
                for number in range(current + 1, event.piece + 1):
                    if n := walk.begin(number).n:
                        yield Skipped(n)
                current = event.piece
                if not walk.full:
                    walk.section(event.section)
        if self._stopped.is_set():
            return
        for number in range(current + 1, len(walk.pieces)):
            if n := walk.begin(number).n:
                yield Skipped(n)
        walk.end()

    def _events(self, walk: Walk) -> Iterator[Mark | Tokenized]:
        """Marks and documents of all that must be read, in order, by so many tasks at once."""
        waiting, running, last = deque(_tasks(walk, self._n_tasks)), deque[_Task](), -1
        try:
            while waiting or running:
                while waiting and len(running) < self._n_tasks:
                    running.append(waiting.popleft())
                    self._begin(running[-1])
                if not (walk.full and running[0].corpus == last):
                    last = running[0].corpus
                    yield from self._of_task(running[0])
                else:
                    self._ray.cancel(running[0].blocks, force=True)
                if self._stopped.is_set():
                    return
                running.popleft()
        finally:
            for task in running:
                self._ray.cancel(task.blocks, force=True)

    def _begin(self, task: _Task) -> None:
        corpus = self._corpus
        task.blocks = self._read.remote(task.parts, corpus.text_field, corpus.limit, task.taken, self._encode)

    def _of_task(self, task: _Task) -> Iterator[Mark | Tokenized]:
        while not self._stopped.is_set():
            ready, _ = self._ray.wait([task.blocks], timeout=_POLL_SECONDS)
            if not ready:
                continue
            try:
                block = result(self._ray, next(task.blocks))
            except StopIteration:
                return
            except LostError as error:
                task.losses += 1
                if task.losses >= MOST_LOSSES:
                    where = f"{task.parts[0].piece} and {len(task.parts) - 1} more"
                    raise MFNError(f"processes that read {where} are lost again and again: {error}") from error
                logger.warning("a process that read the corpus is lost; what it read is given out again: %s", error)
                self._begin(task)
                continue
            task.taken += len(block[2])
            yield from unpacked(block)


def _tasks(walk: Walk, at_once: int) -> Iterator[_Task]:
    """All that must be read, some pieces of a corpus at a time; of a small corpus few, so that all have some."""
    most = min(PIECE_BYTES, sum(piece.n_bytes for piece in walk.pieces) // (4 * at_once))
    task = _Task(-1)
    for number, piece in enumerate(walk.pieces):
        known = walk.is_known(number)
        if known and piece.pinned:
            continue
        corpus = walk.corpus_of[number]
        if task.parts and (corpus != task.corpus or task.n_bytes + piece.n_bytes > most):
            yield task
            task = _Task(-1)
        task.corpus = corpus
        task.parts.append(Part(number, piece, walk.start_of(number)[0], tokenize=not known))
        task.n_bytes += piece.n_bytes
    if task.parts:
        yield task
