"""The corpus is cut into shards: stretches of whole documents, each the unit that is indexed, resumed and spread.

Where the cuts lie depends on the corpus, the tokenizer and `IndexSettings.shard_tokens` alone: a shard ends with the
document by which it has so many token ids. No forward batch reaches over a cut, so that the codes of a shard are the
same whoever works on it, and whatever was done before.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from mfn_core.data.corpus import Document
from mfn_core.indexing.feeds import CorpusChangedError, Feed, Item, LocalFeed, Skipped, digest_of, meta_line
from mfn_core.indexing.reading_log import ReadingLog
from mfn_core.indexing.token_store import Shard, TokenStore

Encode = Callable[[str], Sequence[int]]


class ShardReader:
    """Reads and tokenises a corpus into a store, in a thread of its own and ahead of whoever takes the shards.

    Iterate over it for the shards, in order. Shards that the store holds from an earlier run are compared with the
    corpus, and not tokenised again. Use it as a context manager: the thread ends with the block.

    Args:
        documents: of the corpus, in order, read once; or a feed of them.
        encode: a text's token ids.
        store: where they go.
        shard_tokens: see `IndexSettings`.
        log: of the reading, if it is kept beside the store.

    Attributes:
        n_tokens: how many tokens of the whole corpus count; None until all of it is read.
        ended: whether the last shard was taken.

    Raises:
        CorpusChangedError: while iterating, where the corpus differs from what the store holds.
    """

    def __init__(
        self,
        documents: Iterable[Document] | Feed,
        encode: Encode,
        store: TokenStore,
        shard_tokens: int,
        log: ReadingLog | None = None,
    ) -> None:
        self.n_tokens: int | None = None
        self.ended = False
        self._feed: Feed = LocalFeed(documents) if isinstance(documents, Iterable) else documents
        self._encode = encode
        self._store = store
        self._shard_tokens = shard_tokens
        self._log = log or ReadingLog()
        self._found: queue.SimpleQueue[Shard | BaseException | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read corpus", daemon=True)

    def __enter__(self) -> ShardReader:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._feed.stop()
        self._thread.join()

    def __iter__(self) -> Iterator[Shard]:
        while (shard := self._taken(self._found.get())) is not None:
            yield shard

    def poll(self) -> Shard | None:
        """The next shard if it is there by now; see `ended`."""
        try:
            return None if self.ended else self._taken(self._found.get_nowait())
        except queue.Empty:
            return None

    def _taken(self, found: Shard | BaseException | None) -> Shard | None:
        if isinstance(found, BaseException):
            raise found
        self.ended = found is None
        return found

    def _run(self) -> None:
        try:
            n_tokens = 0
            for shard in self._shards():
                n_tokens += shard.n_tokens
                self._found.put(shard)
            self.n_tokens = n_tokens
            self._found.put(None)
        except BaseException as error:  # it is raised again where the shards are taken
            self._found.put(error)

    def _shards(self) -> Iterator[Shard]:
        known = list(self._store.shards)
        n_known, read = self._store.n_documents, 0
        short = bool(known) and known[-1].n_ids < self._shard_tokens
        for item in self._feed.items(self._log, n_known):
            if self._stopped.is_set():
                return
            before = read
            read += item.n if isinstance(item, Skipped) else 1
            if read > n_known and short:  # it was the end of the corpus, and no longer is
                raise CorpusChangedError("the corpus has grown since it was indexed")
            if not isinstance(item, Skipped):
                self._take(item, before, n_known)
            while known and known[0].first + known[0].n_documents <= read:
                yield known.pop(0)
            if self._store.n_open >= self._shard_tokens:
                yield self._store.close_shard()
        if self._stopped.is_set():
            return
        if read < n_known:
            raise CorpusChangedError("the corpus has shrunk since it was indexed")
        if read > self._store.n_documents:
            yield self._store.close_shard()

    def _take(self, item: Item, ordinal: int, n_known: int) -> None:
        """Compares a document with what is known of it, or adds it to the store."""
        assert not isinstance(item, Skipped)
        digest = digest_of(item) if isinstance(item, Document) else item.digest
        if ordinal < n_known:
            if digest != self._store.digest(ordinal):
                raise CorpusChangedError("the corpus has changed since a part of it was indexed")
        elif isinstance(item, Document):
            self._store.append(np.array(self._encode(item.text), np.uint32), meta_line(item.meta), digest)
        elif item.ids is None:  # the piece had fewer documents when it was read
            raise CorpusChangedError("the corpus has changed since a part of it was indexed")
        else:
            self._store.append(item.ids, item.meta, digest)


def cut(lengths: Iterable[int], shard_tokens: int) -> list[tuple[int, int]]:
    """Where documents of these lengths, in token ids, are cut: first and one past the last document of each shard."""
    found, first, n_ids, last = [], 0, 0, 0
    for last, length in enumerate(lengths, 1):
        n_ids += length
        if n_ids >= shard_tokens:
            found.append((first, last))
            first, n_ids = last, 0
    return [*found, (first, last)] if first < last else found
