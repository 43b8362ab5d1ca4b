"""`mfn users`: accounts from the command line, whether or not a server runs. Whoever can run it needs no account."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from mfn_core.errors import MFNError
from mfn_server.access.roles import Role
from mfn_server.options import Database, Home, settings_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from mfn_server.access.audit import Actor

users = typer.Typer(
    name="users",
    help="Make and manage the accounts of a server that asks people to log in (mfn serve --accounts).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PersonName = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")]
Url = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--url", help="Where people reach the server, for the link. [http://127.0.0.1:PORT]"),
]


@users.command()
def create_admin(name: PersonName, db: Database = None, home: Home = None) -> None:
    """Make an admin. The password is asked for or, where nobody sits there, read as one line from standard input."""
    from mfn_server.access.accounts import account_named, add_account
    from mfn_server.access.audit import Action, record
    from mfn_server.access.names import clean_name
    from mfn_server.access.passwords import Passwords, check_password

    with _opened(db, home) as (connection, actor):
        clean = clean_name(name)
        if account_named(connection, clean) is not None:
            raise MFNError(f"somebody is called {clean} already")
    password = _ask_password()
    with _plain_errors():
        check_password(password, clean)
    hashed = Passwords().hash(password)
    with _opened(db, home) as (connection, actor):
        add_account(connection, clean, Role.ADMIN, hashed, datetime.now(UTC))
        record(connection, Action.ACCOUNT_CREATED, actor, clean, role=Role.ADMIN)
    typer.echo(f"{clean} is an admin now, and can log in")


@users.command()
def invite(
    role: Annotated[Role, typer.Option(help="What they will be.")] = Role.LABELLER,
    note: Annotated[str, typer.Option(help="For whom it is; admins see it.")] = "",
    days: Annotated[int, typer.Option(help="For how long the link works.", min=1, max=90)] = 7,
    url: Url = None,
    db: Database = None,
    home: Home = None,
) -> None:
    """Print a link by which one person makes an account. It works once."""
    from mfn_server.access.audit import Action, record
    from mfn_server.access.links import make_invitation

    now = datetime.now(UTC)
    with _opened(db, home) as (connection, actor):
        _, path = make_invitation(connection, role, " ".join(note.split()), None, now, timedelta(days=days))
        record(connection, Action.INVITATION_MADE, actor, note, role=role)
    typer.echo(_base(url) + path)


@users.command("list")
def list_(db: Database = None, home: Home = None) -> None:
    """List everybody who has, or had, an account."""
    from mfn_server.access.accounts import list_accounts

    with _opened(db, home) as (connection, _):
        found = list_accounts(connection)
    if not found:
        typer.echo("nobody has an account: make the first with `mfn users create-admin NAME`")
    for row in found:
        state = "" if row.deactivated_at is None else f"  out of use since {row.deactivated_at:%Y-%m-%d}"
        seen = "never" if row.seen_at is None else f"{row.seen_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"{row.role:<9}  {row.name}  seen {seen}{state}")


@users.command()
def reset_password(name: PersonName, url: Url = None, db: Database = None, home: Home = None) -> None:
    """Print a link by which a person sets a new password. It works once, for a day."""
    from mfn_server.access.audit import Action, record
    from mfn_server.access.links import make_reset

    with _opened(db, home) as (connection, actor):
        account = _account(connection, name)
        if account.deactivated_at is not None:
            raise MFNError(f"the account of {account.name} is out of use")
        _, path = make_reset(connection, account.id, None, datetime.now(UTC))
        record(connection, Action.RESET_MADE, actor, account.name)
    typer.echo(_base(url) + path)


@users.command()
def deactivate(
    name: PersonName,
    undo: Annotated[bool, typer.Option("--undo", help="Put the account back into use instead.")] = False,
    db: Database = None,
    home: Home = None,
) -> None:
    """Put an account out of use: all its logins and tokens end at once. What the person wrote stays theirs."""
    from mfn_server.access import accounts
    from mfn_server.access.audit import Action, record

    with _opened(db, home) as (connection, actor):
        account = _account(connection, name)
        if undo and accounts.reactivate(connection, account.id):
            record(connection, Action.ACCOUNT_REACTIVATED, actor, account.name)
        elif not undo and accounts.deactivate(connection, account.id, datetime.now(UTC)):
            record(connection, Action.ACCOUNT_DEACTIVATED, actor, account.name)
    typer.echo(f"the account of {account.name} is {'in' if undo else 'out of'} use")


@contextmanager
def _opened(db: str | None, home: Any) -> Iterator[tuple[Connection, Actor]]:
    """A write transaction on the database, and who is at the command line, for the audit log."""
    from mfn_server.access.audit import Actor
    from mfn_server.db.migrate import open_database

    database = open_database(settings_of(home=home, database=db).database_url)
    try:
        with _plain_errors(), database.write() as connection:
            yield connection, Actor(None, _user(), "command line", "")
    finally:
        database.close()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What the routes answer with a status is one line here."""
    from mfn_server.errors import APIError

    try:
        yield
    except APIError as error:
        hint = f"; {error.detail.hint}" if error.detail.hint else ""
        raise MFNError(error.detail.message + hint) from None


def _account(connection: Connection, name: str) -> Row[Any]:
    from mfn_server.access.accounts import account_named

    account = account_named(connection, name)
    if account is None:
        raise MFNError(f"nobody is called {name}; `mfn users list` lists everybody")
    return account


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise MFNError("these were two different passwords")
    return password


def _base(url: str | None) -> str:
    return url.rstrip("/") if url else f"http://127.0.0.1:{settings_of().port}"


def _user() -> str:
    """Who runs the command, as the system knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return ""
