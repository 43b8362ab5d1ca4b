"""Removes index runs that nobody reads: what a killed process left, and what a newer run replaced."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import delete, func, select

from mfn_server.db.search import remove_from_search
from mfn_server.db.session import Database
from mfn_server.db.tables import (
    Corpus,
    DocumentWindow,
    Feature,
    FeatureDetail,
    IndexRun,
    SampledContexts,
    Source,
    TokenPosting,
    TopContexts,
)


def sweep(database: Database) -> None:
    """Remove every run that no source shows, and corpora that no run refers to. Use it under `index_lock`."""
    shown = select(Source.current_run_id).where(Source.current_run_id.is_not(None))
    with database.read() as connection:
        stale = connection.scalars(select(IndexRun.id).where(IndexRun.id.not_in(shown))).all()
    for run_id in stale:
        _remove(database, run_id)
    with database.write() as connection:
        used = select(IndexRun.corpus_id).where(IndexRun.corpus_id.is_not(None))
        connection.execute(delete(Corpus).where(Corpus.id.not_in(used)))


def _remove(database: Database, run_id: int) -> None:
    """Remove a run in short transactions, so that nobody who labels has to wait for long."""
    with database.read() as connection:
        features = connection.execute(
            select(func.min(Feature.id), func.max(Feature.id)).where(Feature.run_id == run_id)
        ).one()
        windows = connection.execute(
            select(func.min(DocumentWindow.id), func.max(DocumentWindow.id)).where(DocumentWindow.run_id == run_id)
        ).one()
    for low, high in _ranges(*features, 1000):
        with database.write() as connection:
            for table in (SampledContexts, TopContexts, FeatureDetail):
                connection.execute(delete(table).where(table.feature_id.between(low, high)))
            connection.execute(delete(Feature).where(Feature.id.between(low, high)))
    for low, high in _ranges(*windows, 10_000):
        with database.write() as connection:
            remove_from_search(connection, "window_search", low, high)
            connection.execute(delete(DocumentWindow).where(DocumentWindow.id.between(low, high)))
    with database.write() as connection:
        connection.execute(delete(TokenPosting).where(TokenPosting.run_id == run_id))
        connection.execute(delete(IndexRun).where(IndexRun.id == run_id))


def _ranges(low: int | None, high: int | None, size: int) -> Iterator[tuple[int, int]]:
    """The ids from `low` to `high`, in pieces; none where the run had got to none."""
    if low is None or high is None:
        return
    for start in range(low, high + 1, size):
        yield start, min(start + size - 1, high)
