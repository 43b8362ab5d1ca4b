"""Brings a database to the version of this app, at every start: an empty one, an older one, or none at all."""

from __future__ import annotations

import logging

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from mfn_server import resources
from mfn_server.db.session import Database, DatabaseError, explain

logger = logging.getLogger(__name__)
CHECKED_BYTES = 256 << 20
"""So long a file is read as a whole at every start: a second or less."""

_LOCK = 7_270_613  # PostgreSQL advisory lock of the migration; any number that nothing else uses


def open_database(url: str, make: bool = True) -> Database:
    """Open a database and bring it up to date; make it if it does not exist.

    Args:
        url: of the database.
        make: whether a file that does not exist is made; where something is to be read out of it, it is missing.

    Raises:
        DatabaseError: it is damaged, written by a newer version, someone else's, out of reach, or missing.
    """
    database = Database(url)
    if not make and database.path and not database.path.exists():
        database.close()
        raise DatabaseError(f"there is no database at {database.path}; name another with --db")
    try:
        if database.path:
            database.path.parent.mkdir(parents=True, exist_ok=True)
        upgrade(database)
        if database.path:
            _check(database)
    except DBAPIError as error:
        database.close()
        raise explain(error, database.name) from error
    except OSError as error:
        database.close()
        raise DatabaseError(f"{database.name} cannot be created: {error.strerror}") from error
    except DatabaseError:
        database.close()
        raise
    return database


def upgrade(database: Database, target: str = "head") -> None:
    """Apply the migrations that the database lacks up to a revision, all in one transaction.

    Two apps that start at once take turns: on SQLite by the write lock, on PostgreSQL by an advisory lock.
    """
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision == scripts.get_current_head():
            return
        if revision is None and _tables(connection):
            raise DatabaseError(f"{database.name} is not a database of MFN Studio; name another with --db")
        if revision is not None and revision not in {script.revision for script in scripts.walk_revisions()}:
            raise DatabaseError(
                f"{database.name} was written by a newer version of MFN Studio (schema {revision}); update the app"
            )
        logger.info("migrating %s from %s", database.name, revision or "nothing")
        config.attributes["connection"] = connection
        command.upgrade(config, target)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.migrations()).replace("%", "%%"))
    return config


def _tables(connection: Connection) -> list[str]:
    return [name for name in inspect(connection).get_table_names() if name != "alembic_version"]


def _check(database: Database) -> None:
    """A quick look for damage (a file cut short, pages overwritten), so that it shows now and not in between.

    A file of more than `CHECKED_BYTES` is not read as a whole: that one is cut short, SQLite notices by itself.
    """
    assert database.path is not None
    if database.path.stat().st_size > CHECKED_BYTES:
        return
    with database.read() as connection:
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if verdict != "ok":
        raise DatabaseError(
            f"{database.name} is damaged ({verdict}); restore it from a backup or name another with --db"
        )
