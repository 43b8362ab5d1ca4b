"""Brings a database to the version of this app, at every start: an empty one, an older one, or none at all.

Before an older one is changed, a backup of it is made.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from mfn_core.errors import MFNError
from mfn_server import resources
from mfn_server.db.session import Database, DatabaseError, explain

logger = logging.getLogger(__name__)
CHECKED_BYTES = 256 << 20
"""So long a file is read as a whole at every start: a second or less."""

MIGRATION_LOCK = 7_270_613  # PostgreSQL's advisory lock; any number that nothing else uses


def open_database(url: str, make: bool = True, *, backup: bool = True, backups: Path | None = None) -> Database:
    """Open a database and bring it up to date; make it if it does not exist.

    Args:
        url: of the database.
        make: whether a file that does not exist is made; where something is to be read out of it, it is missing.
        backup: whether a backup of an older one is made before.
        backups: folder for it; without one, see `upgrade`.

    Raises:
        DatabaseError: it is damaged, written by a newer version, someone else's, out of reach, or missing.
        BackupError: it is an older one, and the backup cannot be made. Nothing was changed.
    """
    database = Database(url)
    if not make and database.path and not database.path.exists():
        database.close()
        raise DatabaseError(f"there is no database at {database.path}; name another with --db")
    try:
        if database.path:
            database.path.parent.mkdir(parents=True, exist_ok=True)
        upgrade(database, backup=backup, backups=backups)
        if database.path:
            _check(database)
    except DBAPIError as error:
        database.close()
        raise explain(error, database.name) from error
    except OSError as error:
        database.close()
        raise DatabaseError(f"{database.name} cannot be created: {error.strerror}") from error
    except MFNError:
        database.close()
        raise
    return database


def upgrade(database: Database, target: str = "head", *, backup: bool = False, backups: Path | None = None) -> None:
    """Apply the migrations that the database lacks up to a revision, all in one transaction.

    Two apps that start at once take turns: on SQLite by the write lock, on PostgreSQL by an advisory lock. The backup
    is made within: of an SQLite file nobody can change anything between the two.

    Args:
        database: which.
        target: the revision.
        backup: whether a backup is made first of a database that has a schema already.
        backups: folder for it; by default `backups` beside the SQLite file, or in the app's home folder.

    Raises:
        DatabaseError: someone else's database, or one of a newer version.
        BackupError: the backup cannot be made.
    """
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision == _scripts().get_current_head():
            return
        if revision is None and _tables(connection):
            raise DatabaseError(f"{database.name} is not a database of MFN Studio; name another with --db")
        if revision is not None:
            check_known(revision, database.name)
            if backup:
                _back_up(database, revision, backups)
        logger.info("migrating %s from %s", database.name, revision or "nothing")
        upgrade_within(connection, target)


def upgrade_within(connection: Connection, target: str = "head") -> None:
    """Apply the migrations that are lacking up to a revision, in a transaction that is open."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def check_known(revision: str, name: str) -> None:
    """Raises DatabaseError where a schema is not of this version or an earlier one."""
    if revision not in {script.revision for script in _scripts().walk_revisions()}:
        raise DatabaseError(f"{name} was written by a newer version of MFN Studio (schema {revision}); update the app")


def _back_up(database: Database, revision: str, folder: Path | None) -> None:
    from mfn_server.backup.taking import back_up, default_path
    from mfn_server.settings import Settings

    if folder is None:
        folder = (database.path.parent if database.path else Settings().home) / "backups"
    path = default_path(folder, f"before-{_scripts().get_current_head()}")
    back_up(database, path)
    # a warning, so that it is seen: nobody asked for a file
    logger.warning("%s has an older schema (%s): made the backup %s before changing it", database.name, revision, path)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


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
