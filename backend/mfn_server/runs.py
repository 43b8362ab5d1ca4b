"""`mfn runs`: the index runs of a database, and which of them is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy.exc import DBAPIError

from mfn_core.errors import MFNError
from mfn_server.options import Database, Home, settings_of

if TYPE_CHECKING:
    from mfn_server.db import session

runs = typer.Typer(
    name="runs",
    help="List the index runs of a database, show another one, remove those that are no longer wanted.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RunNumber = Annotated[int, typer.Argument(metavar="RUN", help="Its number, as mfn runs list gives it.", min=1)]


@runs.command("list")
def list_(db: Database = None, home: Home = None) -> None:
    """List all runs: number, state, model, corpus and size."""
    from mfn_server.db.runs import list_runs

    with _opened(db, home) as database, database.read() as connection:
        found = list_runs(connection)
    if not found:
        typer.echo("there are no runs: make one with `mfn index`")
    for run in found:
        size = "no features yet" if run.n_features is None else f"{run.n_features:,} features"
        line = (
            f"{run.id:>4}  {run.state:<8}  {run.started_at:%Y-%m-%d %H:%M} UTC  {run.model} ({run.fingerprint[:12]})  "
        )
        line += f"{run.corpus or 'no corpus yet'}: {run.n_tokens:,} tokens, {size}"
        typer.echo(f"{line}; {run.message}" if run.message else line)


@runs.command()
def use(run: RunNumber, db: Database = None, home: Home = None) -> None:
    """Show another finished run: an earlier one, say. Labels belong to features, so they stay where they are."""
    from mfn_server.db.runs import use_run

    with _opened(db, home) as database:
        use_run(database, run)
    typer.echo(f"run {run} is shown")


@runs.command()
def remove(
    numbers: Annotated[list[int], typer.Argument(metavar="RUN...", help="Their numbers.", min=1)],
    db: Database = None,
    home: Home = None,
) -> None:
    """Remove runs that are not shown, with the documents that only they need. Labels stay."""
    from mfn_server.db.runs import remove_runs

    with _opened(db, home) as database:
        space = remove_runs(database, numbers)
    typer.echo(f"removed run {', '.join(map(str, numbers))}; {space}")


@runs.command()
def check(run: RunNumber, db: Database = None, home: Home = None) -> None:
    """Compare a run with the digest that was kept of it when it was finished."""
    from mfn_server.db.runs import check_run

    with _opened(db, home) as database:
        if not check_run(database, run):
            raise MFNError(f"run {run} has changed since it was finished: restore the database, or index anew")
    typer.echo(f"run {run} is as it was when it was finished")


@contextmanager
def _opened(db: str | None, home: object) -> Iterator[session.Database]:
    from mfn_server.db.migrate import open_database
    from mfn_server.db.session import explain

    database = open_database(settings_of(database=db, home=home).database_url, make=False)
    try:
        yield database
    except DBAPIError as error:
        raise explain(error, database.name) from error
    finally:
        database.close()
