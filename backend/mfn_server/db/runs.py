"""Index runs as people see them: which there are, which one is shown, and which can go.

A run is immutable once it is ready, and stays until somebody removes it: so one can go back to an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, text, update

from mfn_core.errors import MFNError
from mfn_server.db.index_lock import index_lock
from mfn_server.db.index_sweep import remove_rows, sweep
from mfn_server.db.run_digest import digest_of_run
from mfn_server.db.session import Database
from mfn_server.db.sizes import INDEX_TABLES
from mfn_server.db.tables import Corpus, IndexRun, Model, RunState, Source, SourceIndex

_PAGES = 2_000  # of SQLite, given back in one transaction: 8 MB


@dataclass(frozen=True)
class Run:
    """One index run.

    Attributes:
        id: its number.
        state: `current` where a source shows it, else a `RunState`.
        model, fingerprint: of which model.
        corpus: what its corpus is called; None where it did not get that far.
        n_tokens, n_features: of the corpus and of the index.
        started_at: when.
        message: why it failed.
        digest: see `run_digest`; None unless it is ready.
    """

    id: int
    state: str
    model: str
    fingerprint: str
    corpus: str | None
    n_tokens: int
    n_features: int | None
    started_at: datetime
    message: str | None
    digest: str | None


def list_runs(connection: Connection) -> list[Run]:
    """All runs of all models, oldest first."""
    shown = set(connection.scalars(select(Source.current_run_id)))
    statement = (
        select(IndexRun, Model.name, Model.fingerprint, Corpus.name.label("corpus"))
        .join(Model, Model.id == IndexRun.model_id)
        .outerjoin(Corpus, Corpus.id == IndexRun.corpus_id)
        .order_by(IndexRun.id)
    )
    return [
        Run(
            id=row.id,
            state="current" if row.id in shown else row.state,
            model=row.name,
            fingerprint=row.fingerprint,
            corpus=row.corpus,
            n_tokens=row.n_tokens,
            n_features=row.n_features,
            started_at=row.started_at,
            message=row.message,
            digest=row.digest,
        )
        for row in connection.execute(statement)
    ]


def make_current(connection: Connection, run_id: int) -> None:
    """Turn all sources that a run knows to it. Needs a write transaction, in which the run is ready."""
    known = select(SourceIndex.source_id).where(SourceIndex.run_id == run_id)
    connection.execute(update(Source).where(Source.id.in_(known)).values(current_run_id=run_id))


def use_run(database: Database, run_id: int) -> None:
    """Show a finished run instead of the one that its model's sources show, in one transaction.

    Raises:
        MFNError: there is no such run, or it is not ready.
    """
    with database.write() as connection:
        state = _state(connection, database.name, run_id)
        if state != RunState.READY:
            raise MFNError(f"run {run_id} is {state}: only a finished run can be shown")
        make_current(connection, run_id)


def remove_runs(database: Database, run_ids: Sequence[int]) -> str:
    """Remove runs and what only they needed. Labels stay, since they refer to no run.

    Returns:
        What became of the space, in a few words.

    Raises:
        MFNError: one of them does not exist or is shown; then none is removed.
        IndexBusyError: an index is being made.
    """
    with index_lock(database):
        with database.write() as connection:
            for run_id in run_ids:
                _state(connection, database.name, run_id)
                shown = select(Source.key).where(Source.current_run_id == run_id).limit(1)
                if connection.scalar(shown) is not None:
                    raise MFNError(f"run {run_id} is shown: turn to another with `mfn runs use`, or index anew, first")
            # as failed ones they can no longer be turned to, and if this process is killed the next sweep goes on
            mark = update(IndexRun).where(IndexRun.id.in_(run_ids))
            connection.execute(mark.values(state=RunState.FAILED, message="is being removed"))
        for run_id in dict.fromkeys(run_ids):
            remove_rows(database, run_id)
        sweep(database)
        return _give_back(database)


def check_run(database: Database, run_id: int) -> bool:
    """Whether a run is what it was when it was finished.

    Raises:
        MFNError: there is no such run, or it has no digest because it is not ready.
    """
    with database.snapshot() as connection:
        state = _state(connection, database.name, run_id, lock=False)
        digest = connection.scalar(select(IndexRun.digest).where(IndexRun.id == run_id))
        if digest is None:
            raise MFNError(f"run {run_id} is {state}: there is no digest of it to compare with")
        return digest_of_run(connection, run_id) == digest


def _state(connection: Connection, name: str, run_id: int, lock: bool = True) -> str:
    """A run's state, which stays so until the transaction is over."""
    statement = select(IndexRun.state).where(IndexRun.id == run_id)
    state = connection.scalar(statement.with_for_update() if lock else statement)
    if state is None:
        raise MFNError(f"there is no run {run_id} in {name}: `mfn runs list` names those there are")
    return state


def _give_back(database: Database) -> str:
    """Return free pages to the disk, in short transactions."""
    if not database.path:
        with database.read() as connection:
            connection.execute(text(f"VACUUM {', '.join(INDEX_TABLES)}"))
        return "its space is free for the next index"
    before = database.path.stat().st_size
    with database.read() as connection:
        incremental = connection.exec_driver_sql("PRAGMA auto_vacuum").scalar() == 2
        free = _free_pages(connection)
    if not incremental and free:
        return f"its space is free for the next index; to shrink the file: sqlite3 {database.path} VACUUM"
    while free:
        with database.write() as connection:
            # on the driver's own cursor: a page goes with each row fetched, and SQLAlchemy fetches none without columns
            cursor = connection.connection.cursor()
            cursor.execute(f"PRAGMA incremental_vacuum({_PAGES})")
            cursor.fetchall()
            cursor.close()
            left = _free_pages(connection)
        if left >= free:
            break
        free = left
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
    return f"the file is {(before - database.path.stat().st_size) / 1e6:,.1f} MB smaller"


def _free_pages(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0)
