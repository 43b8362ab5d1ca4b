"""The corpus is cut into shards: stretches of whole documents, each the unit that is indexed, resumed and spread.

Where the cuts lie depends on the corpus, the tokenizer and `IndexSettings.shard_tokens` alone: a shard ends with the
document by which it has so many token ids. No forward batch reaches over a cut, so that the codes of a shard are the
same whoever works on it, and whatever was done before.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from mfn_core.data.corpus import Document
from mfn_core.errors import CorpusError
from mfn_core.indexing.token_store import Shard, TokenStore

Encode = Callable[[str], Sequence[int]]


class CorpusChangedError(CorpusError):
    """The corpus is not the one of which a work folder holds a part."""


class ShardReader:
    """Reads and tokenises a corpus into a store, in a thread of its own and ahead of whoever takes the shards.

    Iterate over it for the shards, in order. Shards that the store holds from an earlier run are compared with the
    corpus, and not tokenised again. Use it as a context manager: the thread ends with the block.

    Args:
        documents: of the corpus, in order; read once.
        encode: a text's token ids.
        store: where they go.
        shard_tokens: see `IndexSettings`.

    Attributes:
        n_tokens: how many tokens of the whole corpus count; None until all of it is read.
        ended: whether the last shard was taken.

    Raises:
        CorpusChangedError: while iterating, where the corpus differs from what the store holds.
    """

    def __init__(self, documents: Iterable[Document], encode: Encode, store: TokenStore, shard_tokens: int) -> None:
        self.n_tokens: int | None = None
        self.ended = False
        self._documents = iter(documents)
        self._encode = encode
        self._store = store
        self._shard_tokens = shard_tokens
        self._found: queue.SimpleQueue[Shard | BaseException | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read corpus", daemon=True)

    def __enter__(self) -> ShardReader:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
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
        for shard in list(self._store.shards):
            digest, n = _Texts(), 0
            for document in islice(self._documents, shard.n_documents):
                if self._stopped.is_set():
                    return
                digest.add(document)
                n += 1
            if n < shard.n_documents or digest.hexdigest() != shard.text_digest:
                raise CorpusChangedError("the corpus has changed since a part of it was indexed")
            yield shard
        short = bool(self._store.shards) and self._store.shards[-1].n_ids < self._shard_tokens
        digest, waiting = _Texts(), False
        for document in self._documents:
            if self._stopped.is_set():
                return
            if short:  # it was the end of the corpus, and no longer is
                raise CorpusChangedError("the corpus has grown since it was indexed")
            digest.add(document)
            self._store.append(np.array(self._encode(document.text), np.uint32), document.meta)
            waiting = True
            if self._store.n_open >= self._shard_tokens:
                yield self._store.close_shard(digest.hexdigest())
                digest, waiting = _Texts(), False
        if waiting:
            yield self._store.close_shard(digest.hexdigest())


class _Texts:
    """A digest of documents."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, document: Document) -> None:
        text = document.text.encode(errors="surrogatepass")
        self._digest.update(len(text).to_bytes(8, "little") + text)
        self._digest.update(json.dumps(document.meta, default=str).encode() + b"\n")

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def cut(lengths: Iterable[int], shard_tokens: int) -> list[tuple[int, int]]:
    """Where documents of these lengths, in token ids, are cut: first and one past the last document of each shard."""
    found, first, n_ids, last = [], 0, 0, 0
    for last, length in enumerate(lengths, 1):
        n_ids += length
        if n_ids >= shard_tokens:
            found.append((first, last))
            first, n_ids = last, 0
    return [*found, (first, last)] if first < last else found
