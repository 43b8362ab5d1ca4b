"""A finished index becomes rows: written beside the current one, made current in one transaction.

Rows go in by short transactions, so that people can go on labelling meanwhile. Until the last one, which turns the
sources to the new run, readers see the index that was there before; what a killed process leaves behind is removed by
whoever indexes or starts next. Feature, window and document ids are given out here, under the index lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePath
from typing import Any, TypeVar

from sqlalchemy import func, insert, select, update

from mfn_core.errors import MFNError
from mfn_core.indexing.types import CorpusIndex
from mfn_server.db.blobs import F4, U4, pack
from mfn_server.db.bulk import bulk_insert
from mfn_server.db.index_rows import (
    ACTIVATION_COLUMNS,
    FEATURE_COLUMNS,
    TOKEN_COLUMNS,
    WINDOW_COLUMNS,
    activation_rows,
    content_hash,
    feature_rows,
    token_rows,
    windows_of,
)
from mfn_server.db.index_sweep import sweep
from mfn_server.db.registry import Registered, register
from mfn_server.db.search import add_to_search
from mfn_server.db.session import Database
from mfn_server.db.tables import (
    Activation,
    Corpus,
    Document,
    DocumentWindow,
    Feature,
    FeatureToken,
    IndexRun,
    RunState,
    Source,
    SourceIndex,
    Table,
)
from mfn_server.model_facts import ModelFacts

Report = Callable[[str, float], None]
"""Told the phase and how far it is, from 0 to 1."""

T = TypeVar("T")
_ROWS = 20_000  # rows a transaction: some tenths of a second, for which a label may have to wait


def _chunks(items: Iterable[T], size: int = _ROWS) -> Iterable[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


class IndexStore:
    """Writes index runs into a database. Use it under `index_lock`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, facts: ModelFacts, settings: dict[str, Any]) -> int:
        """Remove what killed runs left, and open a new run. Returns its id."""
        sweep(self._database)
        now = datetime.now(UTC)
        with self._database.write() as connection:
            registered = register(connection, facts)
            run_id = connection.scalar(
                insert(IndexRun)
                .values(
                    model_id=registered.model_id,
                    state=RunState.BUILDING,
                    phase="starting",
                    progress=0.0,
                    settings=settings,
                    n_tokens=0,
                    started_at=now,
                    heard_at=now,
                )
                .returning(IndexRun.id)
            )
        assert run_id is not None
        return int(run_id)

    def report(self, run_id: int, phase: str, progress: float) -> None:
        """Leave word of how far the run is, for the pages that wait for it."""
        values = {"phase": phase, "progress": progress, "heard_at": datetime.now(UTC)}
        with self._database.write() as connection:
            connection.execute(update(IndexRun).where(IndexRun.id == run_id).values(values))

    def fail(self, run_id: int, message: str) -> None:
        """Leave word of why the run came to nothing. Its rows go with the next sweep."""
        with self._database.write() as connection:
            connection.execute(
                update(IndexRun)
                .where(IndexRun.id == run_id)
                .values(state=RunState.FAILED, message=message, finished_at=datetime.now(UTC))
            )

    def store(
        self,
        run_id: int,
        facts: ModelFacts,
        index: CorpusIndex,
        corpus_name: str,
        decode: Callable[[Sequence[int]], str],
        report: Report | None = None,
    ) -> None:
        """Write an index as the rows of a run, make it current, and remove the run that was current before.

        Args:
            run_id: from `begin`.
            facts: the model that was indexed.
            index: what was found.
            corpus_name: how to call the corpus.
            decode: text of token ids, for search.
            report: told "writing" and a share of 1 between transactions.

        Raises:
            MFNError: the index belongs to another model.
        """
        if index.model_fingerprint != facts.fingerprint:
            raise MFNError(f"this index belongs to another model than {facts.name}; build one with `mfn index`")
        tell: Report = report or (lambda phase, share: None)
        with self._database.write() as connection:
            registered = register(connection, facts)
        corpus_id, first_document = self._documents(index, corpus_name)
        with self._database.write() as connection:
            connection.execute(
                update(IndexRun)
                .where(IndexRun.id == run_id)
                .values(corpus_id=corpus_id, n_tokens=index.n_tokens, settings=asdict(index.settings))
            )
        self._rows(run_id, facts, registered, index, first_document, decode, tell)
        self._make_current(run_id, facts, registered)
        sweep(self._database)

    def _documents(self, index: CorpusIndex, name: str) -> tuple[int, int]:
        """The corpus's rows, found again or written. Returns its id and its first document's."""
        digest = content_hash(index.documents)
        with self._database.write() as connection:
            known = connection.scalar(select(Corpus.id).where(Corpus.content_hash == digest))
            if known is not None:
                first = connection.scalar(select(func.min(Document.id)).where(Document.corpus_id == known))
                return int(known), first or 0
            first = (connection.scalar(select(func.max(Document.id))) or 0) + 1
            corpus_id = connection.scalar(
                insert(Corpus)
                .values(name=name, content_hash=digest, n_documents=len(index.documents), n_tokens=index.n_tokens)
                .returning(Corpus.id)
            )
            assert corpus_id is not None
            rows = (
                {
                    "id": first + ordinal,
                    "corpus_id": corpus_id,
                    "ordinal": ordinal,
                    "title": _title(meta),
                    "tags": _tags(meta),
                    "meta": meta,
                    "n_tokens": len(ids),
                    "token_ids": pack(ids, U4),
                }
                for ordinal, (ids, meta) in enumerate(zip(index.documents, index.meta, strict=True))
            )
            for chunk in _chunks(rows, 1000):
                connection.execute(insert(Document), chunk)
        return corpus_id, first

    def _rows(
        self,
        run_id: int,
        facts: ModelFacts,
        registered: Registered,
        index: CorpusIndex,
        first_document: int,
        decode: Callable[[Sequence[int]], str],
        tell: Report,
    ) -> None:
        with self._database.read() as connection:
            feature_id = (connection.scalar(select(func.max(Feature.id))) or 0) + 1
            first_window = (connection.scalar(select(func.max(DocumentWindow.id))) or 0) + 1
        windows = windows_of(index)
        places = zip(windows.document.tolist(), windows.start.tolist(), windows.length.tolist(), strict=True)
        numbered = enumerate(places, first_window)
        self._insert(
            DocumentWindow,
            WINDOW_COLUMNS,
            ((number, run_id, first_document + document, start, n) for number, (document, start, n) in numbered),
        )
        for chunk in _chunks(enumerate(windows.texts(index.documents, decode), first_window), 5000):
            with self._database.write() as connection:
                add_to_search(connection, "window_search", chunk)
        keys = {source.layer: source.key for source in facts.sources}
        for done, (layer, of_context) in enumerate(zip(index.layers, windows.of_context, strict=True)):
            tell("writing", done / len(index.layers))
            source_id = registered.source_ids[keys[layer.layer]]
            alive = int((layer.firing_count > 0).sum())
            with self._database.write() as connection:
                connection.execute(
                    insert(SourceIndex).values(
                        run_id=run_id,
                        source_id=source_id,
                        n_alive=alive,
                        n_dead=layer.n_features - alive,
                        bin_edges=pack(layer.bin_edges, F4),
                        sampled_tokens=layer.sampled_tokens,
                    )
                )
            features = feature_rows(layer, feature_id, run_id, source_id, index.n_tokens)
            self._insert(Feature, FEATURE_COLUMNS, features, 5000)
            self._insert(FeatureToken, TOKEN_COLUMNS, token_rows(layer, feature_id))
            self._insert(
                Activation, ACTIVATION_COLUMNS, activation_rows(layer.contexts, of_context, feature_id, first_window)
            )
            feature_id += layer.n_features
        tell("writing", 1.0)

    def _insert(
        self, table: type[Table], columns: Sequence[str], rows: Iterable[Sequence[Any]], size: int = _ROWS
    ) -> None:
        for chunk in _chunks(rows, size):
            with self._database.write() as connection:
                bulk_insert(connection, table, columns, chunk)

    def _make_current(self, run_id: int, facts: ModelFacts, registered: Registered) -> None:
        sources = [registered.source_ids[source.key] for source in facts.sources]
        with self._database.write() as connection:
            connection.execute(
                update(IndexRun)
                .where(IndexRun.id == run_id)
                .values(state=RunState.READY, phase="ready", progress=1.0, finished_at=datetime.now(UTC))
            )
            connection.execute(update(Source).where(Source.id.in_(sources)).values(current_run_id=run_id))


def _title(meta: dict[str, Any]) -> str | None:
    """What to call a document: its title, or the name of its file."""
    title = meta.get("title") or meta.get("name")
    if title:
        return str(title)
    return PurePath(str(meta["source"])).name if meta.get("source") else None


def _tags(meta: dict[str, Any]) -> list[str]:
    """A document's tags or concepts."""
    tags = meta.get("tags") or meta.get("concepts") or []
    return [str(tag) for tag in tags] if isinstance(tags, list | tuple) else [str(tags)]
