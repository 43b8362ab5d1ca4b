"""Runs over labels as the database knows them: what they were told, who is at them, how far they are.

A run is work that any process may take up: whoever claims it writes how far it is every few seconds, and ends when it
is asked to, or when another process has claimed it. One of which nobody has heard for a while is free to be taken up;
what it stored stays, and is not done again.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from mfn_core.errors import MFNError
from mfn_server.db.score_tables import NamingRun, WorkState
from mfn_server.db.session import Database
from mfn_server.naming.reader import Purse
from mfn_server.progress import Tell

Kind = Literal["score", "suggest", "explain"]

SILENCE = timedelta(seconds=90)
"""After which a run of which nothing is heard is taken for dead."""

SILENT = "nothing has been heard of it; it goes on where it stood"

LIMITS = "limits"
"""What of the things that a run is told may be changed when it is taken up again: what it may cost."""

_EVERY = 1.0  # seconds between two notes of how far it is
_HEARTBEAT = 15.0


class RunStoppedError(MFNError):
    """Somebody asked the run to end, or another process has it now."""


class RunBusyError(MFNError):
    """Another process is at it."""


@dataclass(frozen=True)
class Starter:
    """Who started a run, and under which name."""

    id: str = ""
    name: str = "the command line"


def new_run(
    connection: Connection,
    model_id: int,
    kind: Kind,
    told: Mapping[str, Any],
    by: Starter,
    identity: uuid.UUID | None = None,
) -> uuid.UUID:
    """A run that waits for a process. Needs a write."""
    now, run_id = datetime.now(UTC), identity or uuid.uuid4()
    fields = {"progress": 0.0, "phase": "", "message": None, "tokens_read": 0, "tokens_written": 0, "cost": 0.0}
    who = {"author_id": by.id, "author": by.name, "worker": None, "stop": False}
    connection.execute(
        insert(NamingRun).values(
            id=run_id,
            model_id=model_id,
            kind=kind,
            told=dict(told),
            data=None,
            state=WorkState.WAITING,
            created_at=now,
            heard_at=now,
            finished_at=None,
            **fields,
            **who,
        )
    )
    return run_id


def unfinished(connection: Connection, model_id: int, kind: Kind, told: Mapping[str, Any]) -> uuid.UUID | None:
    """The last run that was told the same, if it did not get to its end and nobody is at it."""
    rows = connection.execute(
        select(NamingRun)
        .where(NamingRun.model_id == model_id, NamingRun.kind == kind)
        .order_by(NamingRun.created_at.desc(), NamingRun.id)
    )
    same = _without_limits(told)
    last = next((row for row in rows if _without_limits(row.told) == same), None)
    if last is None or last.state == WorkState.DONE or is_alive(last):
        return None
    found: uuid.UUID = last.id
    return found


def run_by_id(connection: Connection, run_id: uuid.UUID) -> Any:
    """A run, which nobody else changes until the transaction is over. Raises MFNError: there is none."""
    row = find_run(connection, run_id)
    if row is None:
        raise MFNError(f"there is no run {run_id}")
    return row


def find_run(connection: Connection, run_id: uuid.UUID) -> Any | None:
    """The same; None where there is none."""
    return connection.execute(select(NamingRun).where(NamingRun.id == run_id).with_for_update()).one_or_none()


def list_runs(connection: Connection, model_id: int, limit: int) -> list[Any]:
    """Runs over labels of a model, the latest first."""
    of_model = select(NamingRun).where(NamingRun.model_id == model_id)
    return list(connection.execute(of_model.order_by(NamingRun.created_at.desc(), NamingRun.id).limit(limit)))


def any_alive(connection: Connection, model_id: int) -> bool:
    """Whether a process is at one of a model's runs."""
    busy = NamingRun.model_id == model_id, NamingRun.state.in_([WorkState.WAITING, WorkState.WORKING])
    return any(is_alive(row) for row in connection.execute(select(NamingRun).where(*busy)))


def is_alive(run: Any) -> bool:
    """Whether a process is at it, or will be soon, as far as one can know."""
    return run.state in (WorkState.WAITING, WorkState.WORKING) and datetime.now(UTC) - run.heard_at < SILENCE


def ask_to_stop(connection: Connection, run_id: uuid.UUID) -> None:
    """Have a run end at the next feature. One that nobody is at has ended with that. Needs a write."""
    row = run_by_id(connection, run_id)
    if row.state not in (WorkState.WAITING, WorkState.WORKING):
        return
    ended = {} if is_alive(row) else {"state": WorkState.STOPPED, "finished_at": datetime.now(UTC)}
    connection.execute(update(NamingRun).where(NamingRun.id == run_id).values(stop=True, **ended))


def free_again(connection: Connection, run_id: uuid.UUID) -> None:
    """Make a run that has ended, or died, wait for a process. Needs a write.

    Raises RunBusyError: it is at work, or at its end.
    """
    row = run_by_id(connection, run_id)
    if is_alive(row):
        raise RunBusyError("it is at work")
    if row.state == WorkState.DONE:
        raise RunBusyError("it has got to its end")
    fresh = {"state": WorkState.WAITING, "stop": False, "worker": None, "message": None, "finished_at": None}
    connection.execute(update(NamingRun).where(NamingRun.id == run_id).values(heard_at=datetime.now(UTC), **fresh))


def end_broken_off(connection: Connection, run_id: uuid.UUID, state: WorkState, why: str) -> None:
    """Note that a run whose process has ended, without a word, will not go on by itself. Needs a write."""
    dead = NamingRun.id == run_id, NamingRun.state.in_([WorkState.WAITING, WorkState.WORKING])
    values = {"state": state, "message": why, "finished_at": datetime.now(UTC)}
    connection.execute(update(NamingRun).where(*dead).values(**values))


class Work:
    """A run while a process is at it. `begin_work` makes one.

    Attributes:
        run_id: which.
        purse: what pays for it, if anything costs.
        outcome, message: what is kept of it when it ends without an error.
    """

    def __init__(self, database: Database, run_id: uuid.UUID, worker: uuid.UUID, tell: Tell) -> None:
        self.run_id = run_id
        self.purse: Purse | None = None
        self.outcome = WorkState.DONE
        self.message: str | None = None
        self._database, self._worker, self._tell = database, worker, tell
        self._before = (0, 0)
        self._next = 0.0
        self._ended = threading.Event()

    def pays(self, purse: Purse) -> None:
        """Have what it costs noted. What was spent in earlier tries counts."""
        with self._database.read() as connection:
            row = connection.execute(select(NamingRun).where(NamingRun.id == self.run_id)).one()
        purse.spent = row.cost
        self._before = (row.tokens_read, row.tokens_written)
        self.purse = purse

    def tell(self, what: str, share: float | None) -> None:
        """Say how far it is. Raises RunStoppedError where it is to end."""
        self._tell(what, share)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        self.note(phase=what, progress=0.0 if share is None else share)

    def note(self, **values: Any) -> None:
        """Keep something about it. Raises RunStoppedError where it is to end."""
        with self._database.write() as connection:
            mine = update(NamingRun).where(NamingRun.id == self.run_id, NamingRun.worker == self._worker)
            done = mine.values(heard_at=datetime.now(UTC), **self._costs(), **values).returning(NamingRun.stop)
            row = connection.execute(done).one_or_none()
        if row is None:
            raise RunStoppedError("another process has taken this run up")
        if row.stop:
            raise RunStoppedError("it was asked to end")

    def _costs(self) -> dict[str, Any]:
        if self.purse is None:
            return {}
        read, written = self._before
        spent = {"tokens_read": read + self.purse.read, "tokens_written": written + self.purse.written}
        return {**spent, "cost": self.purse.spent}

    def _beat(self) -> None:
        while not self._ended.wait(_HEARTBEAT):
            with self._database.write() as connection:
                mine = update(NamingRun).where(NamingRun.id == self.run_id, NamingRun.worker == self._worker)
                connection.execute(mine.values(heard_at=datetime.now(UTC)))

    def _end(self, state: WorkState, message: str | None) -> None:
        done = {"progress": 1.0} if state == WorkState.DONE else {}
        values = {"state": state, "message": message, "finished_at": datetime.now(UTC), **done}
        with self._database.write() as connection:
            mine = update(NamingRun).where(NamingRun.id == self.run_id, NamingRun.worker == self._worker)
            connection.execute(mine.values(**self._costs(), **values))


@contextmanager
def begin_work(
    database: Database,
    model_id: int,
    kind: Kind,
    told: Mapping[str, Any],
    tell: Tell,
    run_id: uuid.UUID | None = None,
) -> Iterator[Work]:
    """Claim a run, and write what comes of it.

    Args:
        database: where it is kept.
        model_id: whose labels it is about.
        kind: what it does.
        told: with what.
        tell: told what the database is told.
        run_id: which one; None for the last one that was told the same and did not get to its end, else a new one.

    Raises:
        RunBusyError: a process is at it. Whatever the block raises.
    """
    worker = uuid.uuid4()
    with database.write() as connection:
        if run_id is None:
            run_id = unfinished(connection, model_id, kind, told) or new_run(
                connection, model_id, kind, told, Starter()
            )
        row = run_by_id(connection, run_id)
        if row.state == WorkState.WORKING and is_alive(row):
            raise RunBusyError("another process is at this run")
        claim = {"state": WorkState.WORKING, "worker": worker, "heard_at": datetime.now(UTC), "told": dict(told)}
        fresh = {"message": None, "finished_at": None, "stop": row.stop and row.state == WorkState.WAITING}
        connection.execute(update(NamingRun).where(NamingRun.id == run_id).values(**claim, **fresh))
    work = Work(database, run_id, worker, tell)
    beat = threading.Thread(target=work._beat, name="heartbeat of a run", daemon=True)
    beat.start()
    state, message = WorkState.FAILED, "it was broken off"
    try:
        yield work
        state, message = work.outcome, work.message or ""
    except RunStoppedError as error:
        state, message = WorkState.STOPPED, str(error)
        raise
    except KeyboardInterrupt:
        state = WorkState.STOPPED
        raise
    except MFNError as error:
        message = str(error)
        raise
    except Exception as error:
        message = f"unexpected: {type(error).__name__}: {error}"
        raise
    finally:
        work._ended.set()
        beat.join()
        work._end(state, message or None)


def _without_limits(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != LIMITS}
