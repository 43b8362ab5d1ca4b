"""A finished index becomes rows: written beside the current one, made current in one transaction.

Rows go in by short transactions, so that people can go on labelling meanwhile. Until the last one, which turns the
sources to the new run, readers see the index that was there before; what a killed process leaves behind is removed by
whoever indexes or starts next. Feature, window and document ids are given out here, under the index lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePath
from typing import Any, TypeVar

from sqlalchemy import func, insert, select, update

from mfn_core.errors import MFNError
from mfn_core.indexing.arrays import slices
from mfn_core.indexing.types import CorpusIndex, LayerIndex
from mfn_server.db.blobs import F4, U4, pack
from mfn_server.db.browse_build import tags_of
from mfn_server.db.browse_store import write_browse
from mfn_server.db.bulk import bulk_insert
from mfn_server.db.context_rows import (
    POSTING_COLUMNS,
    SAMPLED_COLUMNS,
    TOP_COLUMNS,
    WINDOW_COLUMNS,
    Windows,
    posting_rows,
    sampled_rows,
    top_rows,
    window_rows,
    windows_of,
)
from mfn_server.db.index_rows import (
    DETAIL_COLUMNS,
    FEATURE_COLUMNS,
    content_hash,
    detail_rows,
    feature_rows,
)
from mfn_server.db.index_sweep import sweep
from mfn_server.db.registry import register
from mfn_server.db.run_digest import digest_of_run
from mfn_server.db.runs import make_current
from mfn_server.db.session import Database
from mfn_server.db.tables import (
    Corpus,
    Document,
    DocumentWindow,
    Feature,
    FeatureDetail,
    IndexRun,
    Model,
    RunState,
    SampledContexts,
    SourceIndex,
    TokenPosting,
    TopContexts,
)
from mfn_server.model_facts import ModelFacts

Report = Callable[[str, float], None]
"""Told the phase and how far it is, from 0 to 1."""

T = TypeVar("T")

# What one transaction writes takes some tenths of a second, for which a label may have to wait.
_FEATURES = 4_000  # with their details and contexts
_WINDOWS = 20_000
_POSTINGS = 5_000
_DOCUMENTS, _DOCUMENT_TOKENS = 1_000, 1 << 21


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


class IndexStore:
    """Writes index runs into a database. Use it under `index_lock`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, facts: ModelFacts, settings: dict[str, Any]) -> int:
        """Remove what failed and killed runs left, and open a new run. Returns its id.

        It is the one after the last run's, also where a killed run had it: a run that goes on has the rows, to the last
        id, that it would have had.
        """
        sweep(self._database)
        now = datetime.now(UTC)
        with self._database.write() as connection:
            registered = register(connection, facts)
            run_id = connection.scalar(
                insert(IndexRun)
                .values(
                    id=(connection.scalar(select(func.max(IndexRun.id))) or 0) + 1,
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

    def begun_at(self, run_id: int) -> datetime:
        """When a run was opened: with its id, that names it among all that ever were."""
        with self._database.read() as connection:
            begun = connection.scalar(select(IndexRun.started_at).where(IndexRun.id == run_id))
        assert begun is not None
        return begun

    def is_ready(self, run_id: int, begun_at: datetime) -> bool:
        """Whether the run that was opened then got to its end, and is there."""
        this = IndexRun.id == run_id, IndexRun.started_at == begun_at, IndexRun.state == RunState.READY
        with self._database.read() as connection:
            return connection.scalar(select(IndexRun.id).where(*this)) is not None

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
        """Write an index as the rows of a run and make it current. The run that was current before stays as it is.

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
        windows = windows_of(index)
        first_feature, first_window = self._place(run_id, corpus_id, index, len(windows))
        self._windows(run_id, windows, first_window, first_document)
        for chunk in _chunks(posting_rows(index, run_id), _POSTINGS):
            with self._database.write() as connection:
                bulk_insert(connection, TokenPosting, POSTING_COLUMNS, chunk)
        keys = {source.layer: source.key for source in facts.sources}
        for done, layer in enumerate(index.layers):
            tell("writing", done / len(index.layers))
            source_id = registered.source_ids[keys[layer.layer]]
            self._layer(run_id, source_id, layer, windows, first_feature, index.n_tokens)
            first_feature += layer.n_features
        source_ids = [registered.source_ids[keys[layer.layer]] for layer in index.layers]
        write_browse(self._database, run_id, source_ids, index, windows, decode)
        tell("writing", 1.0)
        self._make_current(run_id)

    def finished_runs(self, facts: ModelFacts) -> int:
        """How many finished runs of a model there are."""
        of_model = select(func.count()).select_from(IndexRun).join(Model, Model.id == IndexRun.model_id)
        ready = of_model.where(Model.fingerprint == facts.fingerprint, IndexRun.state == RunState.READY)
        with self._database.read() as connection:
            return connection.scalar(ready) or 0

    def _documents(self, index: CorpusIndex, name: str) -> tuple[int, int]:
        """The corpus's rows, found again or written, those that are missing too. Gives its id and its first document's.

        A corpus that a killed process left half written has fewer rows than `n_documents` says.
        """
        digest = content_hash(index.documents)
        with self._database.write() as connection:
            corpus_id = connection.scalar(select(Corpus.id).where(Corpus.content_hash == digest))
            if corpus_id is None:
                corpus_id = connection.scalar(
                    insert(Corpus)
                    .values(
                        id=(connection.scalar(select(func.max(Corpus.id))) or 0) + 1,
                        name=name,
                        content_hash=digest,
                        n_documents=len(index.documents),
                        n_tokens=index.n_tokens,
                    )
                    .returning(Corpus.id)
                )
            there = func.count(), func.min(Document.id)
            written, first = connection.execute(select(*there).where(Document.corpus_id == corpus_id)).one()
            first = first or (connection.scalar(select(func.max(Document.id))) or 0) + 1
        assert corpus_id is not None
        begin = written
        while begin < len(index.documents):
            end, tokens = begin, 0
            while end < min(len(index.documents), begin + _DOCUMENTS) and tokens <= _DOCUMENT_TOKENS:
                tokens += len(index.documents[end])
                end += 1
            rows = [
                {
                    "id": first + ordinal,
                    "corpus_id": corpus_id,
                    "ordinal": ordinal,
                    "title": _title(index.meta[ordinal]),
                    "tags": tags_of(index.meta[ordinal]),
                    "meta": index.meta[ordinal],
                    "n_tokens": len(index.documents[ordinal]),
                    "token_ids": pack(index.documents[ordinal], U4),
                }
                for ordinal in range(begin, end)
            ]
            with self._database.write() as connection:
                connection.execute(insert(Document), rows)
            begin = end
        return int(corpus_id), int(first)

    def _place(self, run_id: int, corpus_id: int, index: CorpusIndex, n_windows: int) -> tuple[int, int]:
        """Give the run its ids. Returns those of its first feature and its first window."""
        with self._database.write() as connection:
            first_feature = (connection.scalar(select(func.max(Feature.id))) or 0) + 1
            first_window = (connection.scalar(select(func.max(DocumentWindow.id))) or 0) + 1
            connection.execute(
                update(IndexRun)
                .where(IndexRun.id == run_id)
                .values(
                    corpus_id=corpus_id,
                    n_tokens=index.n_tokens,
                    settings=asdict(index.settings),
                    first_feature_id=first_feature,
                    n_features=sum(layer.n_features for layer in index.layers),
                    first_window_id=first_window,
                    n_windows=n_windows,
                )
            )
        return first_feature, first_window

    def _windows(self, run_id: int, windows: Windows, first: int, first_document: int) -> None:
        for block in slices(len(windows), _WINDOWS):
            rows = list(window_rows(windows, block, first, run_id, first_document))
            with self._database.write() as connection:
                bulk_insert(connection, DocumentWindow, WINDOW_COLUMNS, rows)

    def _layer(
        self,
        run_id: int,
        source_id: int,
        layer: LayerIndex,
        windows: Windows,
        first: int,
        n_tokens: int,
    ) -> None:
        """A layer's features, those of a block with all that is theirs in one transaction."""
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
                    token_pairs=layer.token_pairs,
                )
            )
        for block in slices(layer.n_features, _FEATURES):
            features = list(feature_rows(layer, block, first, run_id, source_id, n_tokens))
            details = list(detail_rows(layer, block, first))
            top = list(top_rows(layer.contexts, windows, block, first))
            sampled = list(sampled_rows(layer.contexts, windows, block, first))
            with self._database.write() as connection:
                bulk_insert(connection, Feature, FEATURE_COLUMNS, features)
                bulk_insert(connection, FeatureDetail, DETAIL_COLUMNS, details)
                bulk_insert(connection, TopContexts, TOP_COLUMNS, top)
                bulk_insert(connection, SampledContexts, SAMPLED_COLUMNS, sampled)

    def _make_current(self, run_id: int) -> None:
        with self._database.snapshot() as connection:
            digest = digest_of_run(connection, run_id)
        ready = {"state": RunState.READY, "phase": "ready", "progress": 1.0, "digest": digest}
        with self._database.write() as connection:
            connection.execute(
                update(IndexRun).where(IndexRun.id == run_id).values(**ready, finished_at=datetime.now(UTC))
            )
            make_current(connection, run_id)


def _title(meta: dict[str, Any]) -> str | None:
    """What to call a document: its title, or the name of its file."""
    title = meta.get("title") or meta.get("name")
    if title:
        return str(title)
    return PurePath(str(meta["source"])).name if meta.get("source") else None
