"""Makes backups of a database that others go on writing to."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from mfn_server.backup.archive import BackupError, Manifest, Writer, chunks_of, writing
from mfn_server.db.session import BUSY_TIMEOUT_SECONDS, Database, explain

SQLITE_PART = "studio.sqlite3"
VERSION_TABLE = "alembic_version"


def back_up(database: Database, path: Path) -> Manifest:
    """Write everything in a database, as it is at one moment, into a new file. Nobody waits for it.

    SQLite's own backup copies the pages of a snapshot; of PostgreSQL every table is copied out of one transaction
    that sees one state. The schema may be an older one.

    Raises:
        BackupError: there is such a file, it cannot be written, or the database is none of MFN Studio.
        DatabaseError: it cannot be used at all.
    """
    try:
        return _of_sqlite(database.path, path) if database.path else _of_postgres(database, path)
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error, database.name) from error
    except OSError as error:
        raise BackupError(f"the backup {path} cannot be written: {error.strerror or error}") from error


def default_path(folder: Path, why: str = "") -> Path:
    """How a backup that is made now is called."""
    return folder / f"mfn-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}{why and '-'}{why}.backup"


def _of_sqlite(source: Path, path: Path) -> Manifest:
    if not source.exists():
        raise BackupError(f"there is no database at {source}; name another with --db")
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside the backup, not in /tmp, which may be small
    with tempfile.TemporaryDirectory(prefix=".mfn-backup-", dir=path.parent) as folder:
        copy = Path(folder) / SQLITE_PART
        with (
            closing(sqlite3.connect(source, timeout=BUSY_TIMEOUT_SECONDS)) as here,
            closing(sqlite3.connect(copy)) as there,
        ):
            os.chmod(copy, 0o600)
            # all in one step: in several it would begin anew whenever another process has written in between. Writers
            # do not wait for a reader of a file in WAL mode
            here.backup(there)
            manifest = Manifest("sqlite", _migration(there, source), _last_event(there))
        with writing(path, manifest) as writer, copy.open("rb") as file:
            writer.add(SQLITE_PART, chunks_of(file))
    return manifest


def _migration(connection: sqlite3.Connection, source: Path) -> str:
    try:
        (migration,) = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608
    except (sqlite3.OperationalError, TypeError):
        raise BackupError(f"{source} is not a database of MFN Studio; name another with --db") from None
    return str(migration)


def _last_event(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT max(stream) FROM label_event").fetchone()
    return int(last or 0)


def _of_postgres(database: Database, path: Path) -> Manifest:
    with database.snapshot() as connection:
        migration = MigrationContext.configure(connection).get_current_revision()
        if migration is None:
            raise BackupError(f"{database.name} is not a database of MFN Studio; name another with --db")
        last: int | None = connection.scalar(text("SELECT max(stream) FROM label_event"))
        manifest = Manifest("postgresql", migration, last or 0)
        inspector = inspect(connection)
        with writing(path, manifest) as writer:
            for table in sorted(set(inspector.get_table_names()) - {VERSION_TABLE}):
                columns = [column["name"] for column in inspector.get_columns(table)]
                manifest.columns[table] = columns
                _add_table(connection, writer, table, columns)
    return manifest


def _add_table(connection: Connection, writer: Writer, table: str, columns: list[str]) -> None:
    # as text: PostgreSQL promises to read it again in any version, which it does not of the binary format
    statement = f"COPY {copy_target(connection, table, columns)} TO STDOUT"

    def rows() -> Iterator[bytes]:
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for chunk in copy:
                yield bytes(chunk)

    writer.add(table_part(table), rows())


def table_part(table: str) -> str:
    """The part of a backup that holds a table."""
    return f"tables/{table}.copy"


def copy_target(connection: Connection, table: str, columns: list[str]) -> str:
    """A table and its columns, as COPY wants them."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    return f"{quote(table)} ({', '.join(map(quote, columns))})"
