"""Puts backups back: into a database that is not there or is empty, or in place of one, which is kept aside."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.exc import DBAPIError

from mfn_server.backup.archive import BackupError, Manifest, Reader, place, reading, sync_folder
from mfn_server.backup.taking import SQLITE_PART, VERSION_TABLE, copy_target, table_part
from mfn_server.campaigns.log import campaign_differences
from mfn_server.db.migrate import MIGRATION_LOCK, check_known, open_database, upgrade_within
from mfn_server.db.session import Database, DatabaseError, explain
from mfn_server.labels.projections import differences

PASSING = ("login_session", "live_tab", "campaign_lease")
"""What belongs to a moment: it is not put back. A login that was ended since must not be good again."""


class Restored(NamedTuple):
    """What was put back.

    Attributes:
        manifest: of the backup.
        kept: what the database that was there is called now; empty where none was.
        differences: rows of labels and campaigns that do not follow from their logs, as the backup had them.
    """

    manifest: Manifest
    kept: str
    differences: int


def restore(path: Path, url: str, overwrite: bool = False) -> Restored:
    """Put a backup back, and bring it to the schema of this version. It is there whole, or everything stays as it was.

    Args:
        path: the backup.
        url: the database. It must not be there or be empty, but with `overwrite`.
        overwrite: put it in place of what is there. That is kept: an SQLite file beside it, the tables of PostgreSQL in
            another schema.

    Raises:
        BackupError: it is no backup, is damaged, of a newer version or of the other kind of database; there is a
            database already, or it is in use.
        DatabaseError: the database cannot be used.
    """
    database = Database(url)
    try:
        with reading(path) as backup:
            kind = "sqlite" if database.is_sqlite else "postgresql"
            if backup.manifest.kind != kind:
                raise BackupError(f"{path} is of {backup.manifest.kind}, and {database.name} is {kind}")
            check_known(backup.manifest.migration, str(path))
            backup.check()
            into = _into_sqlite if database.path else _into_postgres
            return into(backup, database, overwrite)
    except FileExistsError:
        raise _is_there(database) from None
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error, database.name) from error
    except OSError as error:
        raise BackupError(f"{database.name} cannot be written: {error.strerror or error}") from error
    finally:
        database.close()


def _into_sqlite(backup: Reader, database: Database, overwrite: bool) -> Restored:
    target = database.path
    assert target is not None
    if target.exists() and not overwrite:
        raise _is_there(database)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mfn-restore-", dir=target.parent) as folder:
        copy = Path(folder) / SQLITE_PART
        with copy.open("wb") as file:
            os.chmod(copy, 0o600)
            for chunk in backup.read(SQLITE_PART):
                file.write(chunk)
        _check_pages(copy, backup)
        restored = open_database(f"sqlite:///{copy}", backup=False)
        with restored.write() as connection:
            _forget_the_moment(connection)
        with restored.snapshot() as connection:
            wrong = _differences(connection)
        restored.close()
        with closing(sqlite3.connect(copy)) as connection_:
            connection_.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _sync(copy)
        kept = _replace(target, copy) if target.exists() else ""
        if not kept:
            place(copy, target)
    return Restored(backup.manifest, kept, wrong)


def _check_pages(copy: Path, backup: Reader) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        try:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        except sqlite3.DatabaseError as error:
            raise BackupError(f"the database in {backup.path} is damaged: {error}") from None
    if verdict != "ok" or broken is not None:
        raise BackupError(f"the database in {backup.path} is damaged: {verdict if broken is None else broken}")


def _replace(target: Path, copy: Path) -> str:
    """Put a file in place of the one that is there, which gets another name. Nobody may have it open."""
    kept = target.with_name(f"{target.name}.replaced-{_now()}")
    with closing(sqlite3.connect(target, timeout=0, isolation_level=None)) as holding:
        try:
            # leaves WAL mode, which SQLite refuses as long as anybody else has the file open; then nothing is beside it
            holding.execute("PRAGMA journal_mode = DELETE").fetchone()
            holding.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise BackupError(f"{target} is in use by another program; stop the server first") from None
            raise
        except sqlite3.DatabaseError:
            pass  # damaged: that may be why it is replaced
        with suppress(OSError):
            os.link(target, kept)
        if not kept.exists():  # a file system without hard links
            target.rename(kept)
        os.replace(copy, target)
    for left in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{target}{left}", f"{kept}{left}")
    sync_folder(target.parent)
    return str(kept)


def _into_postgres(backup: Reader, database: Database, overwrite: bool) -> Restored:
    with database.write() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        kept = ""
        if there := inspect(connection).get_table_names():
            if not overwrite:
                raise _is_there(database)
            if VERSION_TABLE not in there:
                raise DatabaseError(f"{database.name} is not a database of MFN Studio; name another with --db")
            kept = _keep_aside(connection, database)
        upgrade_within(connection, backup.manifest.migration)
        _fill(connection, backup)
        upgrade_within(connection)
        _forget_the_moment(connection)
        wrong = _differences(connection)
    return Restored(backup.manifest, kept and f"schema {kept}", wrong)


def _keep_aside(connection: Connection, database: Database) -> str:
    others = connection.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
    )
    if others:
        raise BackupError(f"{database.name} is in use by {others} other connections; stop the servers first")
    schema: str = connection.scalar(text("SELECT current_schema()")) or "public"
    quote = connection.dialect.identifier_preparer.quote_identifier
    kept = f"{schema}_replaced_{_now().lower()}"
    connection.exec_driver_sql(f"ALTER SCHEMA {quote(schema)} RENAME TO {quote(kept)}")
    connection.exec_driver_sql(f"CREATE SCHEMA {quote(schema)}")
    return kept


def _fill(connection: Connection, backup: Reader) -> None:
    """Copy all rows into tables that were just made."""
    made = MetaData()
    made.reflect(connection)
    tables = [table for table in made.sorted_tables if table.name != VERSION_TABLE]
    unknown = backup.manifest.columns.keys() ^ {table.name for table in tables}
    if unknown:
        raise BackupError(f"the backup {backup.path} does not fit its schema: {min(unknown)}")
    for table in reversed(tables):  # migrations make some rows
        if connection.execute(table.select().limit(1)).first() is not None:
            connection.execute(table.delete())
    driver = connection.connection.driver_connection
    assert driver is not None
    for table in tables:
        columns = backup.manifest.columns[table.name]
        statement = f"COPY {copy_target(connection, table.name, columns)} FROM STDIN"
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for chunk in backup.read(table_part(table.name)):
                copy.write(chunk)
        for column in table.primary_key.columns:
            _count_on(connection, table.name, column.name)


def _count_on(connection: Connection, table: str, column: str) -> None:
    """Have the sequence of a column, if it has one, go on behind its greatest value."""
    names = {"table": connection.dialect.identifier_preparer.quote_identifier(table), "column": column}
    sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), names)
    if sequence is not None:
        quote = connection.dialect.identifier_preparer.quote_identifier
        last = f"SELECT max({quote(column)}) FROM {quote(table)}"  # noqa: S608 - both are names of our own tables
        connection.execute(text(f"SELECT setval(:sequence, ({last})) WHERE ({last}) > 0"), {"sequence": sequence})


def _forget_the_moment(connection: Connection) -> None:
    for table in PASSING:
        connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608


def _differences(connection: Connection) -> int:
    return sum(1 for _ in differences(connection)) + len(campaign_differences(connection))


def _is_there(database: Database) -> BackupError:
    return BackupError(f"there is a database at {database.name} already; --overwrite puts the backup in its place")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
