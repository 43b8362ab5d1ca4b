"""`mfn backup` and `mfn restore`: while servers run, and while none does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mfn_server.options import Database, Home, settings_of

BackupFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Argument(metavar="[FILE]", help="File to write. [backups/mfn-TIME.backup in the home folder]"),
]


def backup(file: BackupFile = None, db: Database = None, home: Home = None) -> None:
    """Write everything in the database into one file, also while servers use it. Nobody waits for it.

    The file has hashes of passwords in it: it can be read by its owner alone.
    """
    from mfn_server.backup.taking import back_up, default_path
    from mfn_server.db.session import Database as Store

    settings = settings_of(home=home, database=db)
    database = Store(settings.database_url)
    path = file or default_path(settings.home / "backups")
    try:
        manifest = back_up(database, path)
    finally:
        database.close()
    size = path.stat().st_size / 1e6
    typer.echo(f"{path}: {size:,.1f} MB, schema {manifest.migration}, {manifest.events:,} label events")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    db: Database = None,
    home: Home = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Put it in place of the database that is there, which is kept aside.")
    ] = False,
) -> None:
    """Check a backup and put it back, brought to the schema of this version. Stop the servers first.

    It is there whole, or everything stays as it was. Everybody has to log in again.
    """
    from mfn_server.backup.restoring import restore as put_back

    settings = settings_of(home=home, database=db)
    done = put_back(file, settings.database_url, overwrite)
    made = f"{done.manifest.made_at:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"restored the backup of {made}: {done.manifest.events:,} label events")
    if done.kept:
        typer.echo(f"what was there is kept: {done.kept}")
    if done.differences:
        typer.echo(
            f"{done.differences:,} rows of it did not follow from the log when it was made; `mfn labels verify` names "
            "them, `mfn labels replay` makes them anew"
        )
