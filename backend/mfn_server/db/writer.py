"""The writes of one server, one after the other, in the order in which they came.

On SQLite only one transaction writes anyway, and what takes its time is the disk: an acknowledged write must be on it.
So writes that have come while the disk was busy share the next transaction, and one wait for the disk does for all of
them. Each has a savepoint of its own: one that is refused leaves nothing behind, and the others are not touched. Nobody
is answered before the transaction that they are in is committed.

On PostgreSQL each write is a transaction of its own: there a transaction keeps the locks of all that it did, and two
servers whose transactions did several things in different order would wait for each other.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from mfn_server.db.session import Database

TOGETHER_SECONDS = 0.02
"""So long a transaction takes in further writes: whoever came first should not wait long for the others' work."""

T = TypeVar("T")
Work = Callable[[Connection], Any]


@dataclass(eq=False)
class _Job:
    """A write that waits, or what came of it."""

    work: Work
    answer: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs short writes of one database, in a thread of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Job] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What a function says that is called in a write transaction, in the thread, once that is committed.

        It must not wait for anything but the database, and must not commit. What it raises is raised here, and nothing
        of what it wrote remains. Whoever is cancelled does not know whether it was written.
        """
        job = _Job(work)
        self._waiting.append(job)
        self._thread.submit(self._commit_some)  # one that came before may have done it already
        result: T = await asyncio.wrap_future(job.answer)
        return result

    async def close(self) -> None:
        """Wait until all is written. The database may be closed then; nothing more is taken in."""
        await asyncio.to_thread(self._thread.shutdown)

    def _commit_some(self) -> None:
        """One transaction: the first that waits and, on SQLite, those behind it."""
        if not self._waiting:
            return
        jobs = [self._waiting.popleft()]
        try:
            with self._database.write() as connection:
                begun = time.monotonic()
                self._do(connection, jobs[0])
                while self._database.is_sqlite and self._waiting and time.monotonic() - begun < TOGETHER_SECONDS:
                    jobs.append(self._waiting.popleft())
                    self._do(connection, jobs[-1])
        except BaseException as error:  # nothing was committed
            for job in jobs:
                job.error = job.error or error
        for job in jobs:
            if not job.answer.set_running_or_notify_cancel():
                continue  # whoever asked has gone; it is written all the same
            if job.error is None:
                job.answer.set_result(job.result)
            else:
                job.answer.set_exception(job.error)

    def _do(self, connection: Connection, job: _Job) -> None:
        if not self._database.is_sqlite:
            job.result = job.work(connection)  # what it raises ends the transaction, which is its own
            return
        try:
            with connection.begin_nested():
                job.result = job.work(connection)
        except Exception as error:
            job.error = error
            driver: Any = connection.connection.driver_connection
            if not driver.in_transaction:
                raise  # SQLite has let go of all that was written: the disk is full, say
