"""One index is built at a time in a database. The lock ends with the process that holds it, however that ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout
from sqlalchemy import text

from mfn_server.db.session import Database, DatabaseError

_LOCK = 7_270_614  # PostgreSQL advisory lock; any number that nothing else uses


class IndexBusyError(DatabaseError):
    """Another process builds an index in this database."""


@contextmanager
def index_lock(database: Database) -> Iterator[None]:
    """Hold the right to build an index or to remove one. Raises IndexBusyError at once if someone else has it."""
    busy = IndexBusyError(f"another process is indexing into {database.name}; wait until it is done")
    if database.path:
        lock = FileLock(database.path.with_name(database.path.name + ".indexing"), timeout=0)
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
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
                raise busy
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
