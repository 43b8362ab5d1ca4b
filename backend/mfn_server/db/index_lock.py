"""One index is built at a time in a database. The lock ends with the process that holds it, however that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout
from sqlalchemy import text

from mfn_server.db.session import Database, DatabaseError

_LOCK = 7_270_614  # PostgreSQL advisory lock; any number that nothing else uses


class IndexBusyError(DatabaseError):
    """Another process builds an index in this database."""


PATIENCE_SECONDS = 3.0  # a server that has just started tidies up under the lock; that is over in a moment
_POLL_SECONDS = 0.1


@contextmanager
def index_lock(database: Database, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the right to build an index or to remove one.

    Raises:
        IndexBusyError: someone else has it, and has had it for `patience` seconds.
    """
    busy = IndexBusyError(f"another process is indexing into {database.name}; wait until it is done")
    if database.path:
        lock = FileLock(database.path.with_name(database.path.name + ".indexing"), timeout=patience)
        try:
            lock.acquire()
        except Timeout:
            raise busy from None
        try:
            yield
        finally:
            lock.release()
    else:
        with database.read() as connection:
            deadline = time.monotonic() + patience
            while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
                if time.monotonic() >= deadline:
                    raise busy
                time.sleep(_POLL_SECONDS)
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
