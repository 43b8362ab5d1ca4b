"""`mfn labels`: whether the tables of labels are what the log says, and making them anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from sqlalchemy.exc import DBAPIError

from mfn_core.errors import MFNError
from mfn_server.options import Database, Home, settings_of

if TYPE_CHECKING:
    from mfn_server.db.session import Database as Store

labels = typer.Typer(
    name="labels",
    help="Suggest and score labels; check them against the log of what was said, or make them anew from it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_SHOWN = 20


@labels.command()
def verify(db: Database = None, home: Home = None) -> None:
    """Compare all labels, votes, tags, comments and flags with what follows from the log. Differences end it with 1."""
    from mfn_server.campaigns.log import campaign_differences
    from mfn_server.collecting.log import collection_differences
    from mfn_server.labels.projections import count_log, differences

    with opened(db, home) as database, database.snapshot() as connection:
        events, features = count_log(connection)
        found = list(differences(connection))
        of_campaigns = [(each.campaign_id, each) for each in campaign_differences(connection)]
        of_collections = [(each.collection_id, each) for each in collection_differences(connection)]
    for each in found[:_SHOWN]:
        typer.echo(
            f"source {each.place[0]}, feature {each.place[1]}: {each.table} is {each.found}, not {each.expected}"
        )
    for name, differing in (("campaign", of_campaigns), ("collection", of_collections)):
        for identity, other in differing[:_SHOWN]:
            typer.echo(f"{name} {identity}: {other.table} is {other.found}, not {other.expected}")
        if differing:
            raise MFNError(f"{len(differing):,} tables of {name}s are not what their log says; restore a backup")
    if found:
        raise MFNError(f"{len(found):,} differences from the log; `mfn labels replay` makes the tables anew from it")
    typer.echo(f"{events:,} events on {features:,} features; the tables are what follows from them")


@labels.command()
def replay(db: Database = None, home: Home = None) -> None:
    """Make all labels, votes, tags, comments and flags anew from the log, while the server runs or not."""
    from mfn_server.labels.log import lock_log
    from mfn_server.labels.projections import rebuild

    with opened(db, home) as database, database.write() as connection:
        lock_log(connection)
        n = rebuild(connection)
    typer.echo(f"made the tables of {n:,} features anew")


@contextmanager
def opened(db: Database, home: Home) -> Iterator[Store]:
    """A database that exists. What is wrong with it, or with an event in it, is told in one line."""
    from mfn_server.db.migrate import open_database
    from mfn_server.db.session import explain
    from mfn_server.logged import PayloadError

    database = open_database(settings_of(home=home, database=db).database_url, make=False)
    try:
        yield database
    except DBAPIError as error:
        raise explain(error, database.name) from None
    except PayloadError as error:
        raise MFNError(str(error)) from None
    finally:
        database.close()
