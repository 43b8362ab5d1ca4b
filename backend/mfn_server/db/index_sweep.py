"""Removes the rows of index runs: of those that came to nothing here, of others when `runs` says so."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import delete, func, select

from mfn_server.db.browse_store import remove_browse
from mfn_server.db.session import Database
from mfn_server.db.tables import (
    OF_FEATURES,
    Corpus,
    Document,
    DocumentWindow,
    Feature,
    IndexRun,
    RunState,
    Source,
    TokenPosting,
)

_FEATURES, _WINDOWS, _DOCUMENTS = 2_000, 5_000, 2_000  # what one transaction removes


def sweep(database: Database) -> None:
    """Remove runs that failed or that a killed process left, and corpora that no run refers to.

    Use it under `index_lock`: then a run that is being built is nobody's.
    """
    shown = select(Source.current_run_id).where(Source.current_run_id.is_not(None))
    unfinished = select(IndexRun.id).where(IndexRun.state != RunState.READY, IndexRun.id.not_in(shown))
    with database.read() as connection:
        stale = connection.scalars(unfinished).all()
    for run_id in stale:
        remove_rows(database, run_id)
    used = select(IndexRun.corpus_id).where(IndexRun.corpus_id.is_not(None))
    with database.read() as connection:
        unused = connection.scalars(select(Corpus.id).where(Corpus.id.not_in(used))).all()
    for corpus_id in unused:
        _remove_corpus(database, corpus_id)


def remove_rows(database: Database, run_id: int) -> None:
    """Remove a run in short transactions, so that nobody who labels has to wait for long. Use it under `index_lock`."""
    with database.read() as connection:
        features = connection.execute(
            select(func.min(Feature.id), func.max(Feature.id)).where(Feature.run_id == run_id)
        ).one()
        windows = connection.execute(
            select(func.min(DocumentWindow.id), func.max(DocumentWindow.id)).where(DocumentWindow.run_id == run_id)
        ).one()
    for low, high in _ranges(*features, _FEATURES):
        with database.write() as connection:
            for table in OF_FEATURES:
                connection.execute(delete(table).where(table.feature_id.between(low, high)))
            connection.execute(delete(Feature).where(Feature.id.between(low, high)))
    remove_browse(database, run_id)
    for low, high in _ranges(*windows, _WINDOWS):
        with database.write() as connection:
            connection.execute(delete(DocumentWindow).where(DocumentWindow.id.between(low, high)))
    with database.write() as connection:
        connection.execute(delete(TokenPosting).where(TokenPosting.run_id == run_id))
        connection.execute(delete(IndexRun).where(IndexRun.id == run_id))


def _remove_corpus(database: Database, corpus_id: int) -> None:
    with database.read() as connection:
        documents = connection.execute(
            select(func.min(Document.id), func.max(Document.id)).where(Document.corpus_id == corpus_id)
        ).one()
    for low, high in _ranges(*documents, _DOCUMENTS):
        with database.write() as connection:
            connection.execute(delete(Document).where(Document.id.between(low, high)))
    with database.write() as connection:
        connection.execute(delete(Corpus).where(Corpus.id == corpus_id))


def _ranges(low: int | None, high: int | None, size: int) -> Iterator[tuple[int, int]]:
    """The ids from `low` to `high`, in pieces; none where the run had got to none."""
    if low is None or high is None:
        return
    for start in range(low, high + 1, size):
        yield start, min(start + size - 1, high)
