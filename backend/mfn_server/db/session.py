"""One database: how to read it and how to write to it.

On SQLite, SQLAlchemy's and the driver's own defaults lose concurrent updates or fail with "database is locked". So the
driver's transaction handling is switched off here: reads run in autocommit, writes begin with BEGIN IMMEDIATE, which
waits its turn (busy timeout) before it reads anything. What must see one state of things is read in a snapshot. On
PostgreSQL writes are ordinary READ COMMITTED transactions: whoever reads, decides and writes must lock the row it
decides on, or check a version.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from mfn_core.errors import MFNError

BUSY_TIMEOUT_SECONDS = 15.0


class DatabaseError(MFNError):
    """The database cannot be opened or used; the message is one clear line."""


class Database:
    """An open database. Share one among threads; connections come from its pool."""

    def __init__(self, url: str) -> None:
        """Raises DatabaseError for a URL that makes no sense. Nothing is opened yet."""
        try:
            self.url = make_url(url)
            self.is_sqlite = self.url.get_backend_name() == "sqlite"
            self.engine = _sqlite_engine(url) if self.is_sqlite else create_engine(self.url, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise DatabaseError(f"{_shown(url)} is no database that can be used: {error}") from None
        self._writing = self.engine.execution_options(mfn_write=True)
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        repeatable = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._still = self.engine.execution_options(**({"mfn_snapshot": True} if self.is_sqlite else repeatable))

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for a server."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @property
    def name(self) -> str:
        """How to call it in messages: without password."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in autocommit: each statement sees the latest commit."""
        with self._reading.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection whose statements all see the same commits, those before the first of them.

        For answers put together from several statements: meanwhile another run may become current and the one that was
        may be removed. Keep it short, since an SQLite file grows as long as somebody looks back.
        """
        with self._still.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: committed (durably) at the end of the block, rolled back when it raises.

        Never await anything, and never use the model, inside it: others wait for it to end.
        """
        with self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all idle connections."""
        self.engine.dispose()


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        # pysqlite's own transactions off (see above); SQLAlchemy's "AUTOCOMMIT" is then the state all the time
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False, "isolation_level": None},
        pool_size=8,
        max_overflow=32,
        pool_use_lifo=True,  # each connection has a cache of pages: the one that was used last has the most in it
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heard by a file without tables alone, so it comes first
        _keep_journal(cursor)
        cursor.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
        cursor.execute("PRAGMA cache_size = -65536")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("mfn_write"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif options.get("mfn_snapshot"):
            connection.exec_driver_sql("BEGIN")

    return engine


def _keep_journal(cursor: sqlite3.Cursor) -> None:
    """Turn a file to WAL. Two that do so to a new file at once meet in a lock for which SQLite itself does not wait."""
    end = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _shown(url: str) -> str:
    return url.split("@")[-1]


def explain(error: DBAPIError | sqlite3.Error, name: str) -> DatabaseError:
    """A driver's failure as one line for a person at the command line."""
    text = str(getattr(error, "orig", error) or error).strip()
    low = text.lower()
    if "not a database" in low or "malformed" in low:
        return DatabaseError(f"{name} is damaged or is no database; restore it from a backup or name another with --db")
    if "is full" in low or "no space" in low:
        return DatabaseError(f"no space left on the disk of {name}; nothing that was there is lost")
    if "locked" in low or "busy" in low:
        return DatabaseError(f"{name} is in use by another program")
    if "unable to open" in low or "readonly" in low or "read-only" in low:
        return DatabaseError(f"{name} cannot be opened for writing; check that its folder exists and is yours")
    return DatabaseError(f"{name} cannot be used: {text.splitlines()[0]}")
