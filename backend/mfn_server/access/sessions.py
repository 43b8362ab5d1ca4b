"""Logins of browsers. The browser has a random token, the database its hash."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from mfn_server.access.roles import Person, Role
from mfn_server.access.secrets import hash_of, new_secret
from mfn_server.db.access_tables import Account, LoginSession
from mfn_server.errors import APIError

TOUCH = timedelta(minutes=1)
"""`seen_at` is written no more often than this: reading a page should not write to the database each time."""
LONGEST_AGENT = 200


@dataclass(frozen=True)
class Lifetime:
    """How long a login lasts: unused, and at most."""

    idle: timedelta
    longest: timedelta


def open_session(
    connection: Connection, account_id: uuid.UUID, address: str, agent: str, now: datetime, lifetime: Lifetime
) -> str:
    """Make a login; gives its token. Logins of the same person that are over are cleared. Needs a write transaction."""
    connection.execute(delete(LoginSession).where(LoginSession.account_id == account_id, ~_lasts(now, lifetime)))
    token = new_secret()
    connection.execute(
        insert(LoginSession).values(
            id=uuid.uuid4(),
            token_hash=hash_of(token),
            account_id=account_id,
            created_at=now,
            seen_at=now,
            expires_at=now + lifetime.longest,
            address=address,
            agent=agent[:LONGEST_AGENT],
        )
    )
    return token


def find_session(
    connection: Connection, token: str, now: datetime, lifetime: Lifetime
) -> tuple[Person, datetime] | None:
    """Whose login a token is, and when it was seen before; None where it is over, or there never was one."""
    row = connection.execute(
        select(LoginSession.id, LoginSession.seen_at, Account.id.label("account"), Account.name, Account.role)
        .join(Account, Account.id == LoginSession.account_id)
        .where(LoginSession.token_hash == hash_of(token), _lasts(now, lifetime), Account.deactivated_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    return Person(str(row.account), row.name, Role(row.role), is_local=False, session=row.id), row.seen_at


def touch_session(connection: Connection, session: uuid.UUID, now: datetime) -> None:
    """Note that a login is used. Needs a write transaction."""
    connection.execute(
        update(LoginSession).where(LoginSession.id == session, LoginSession.seen_at < now).values(seen_at=now)
    )


def list_sessions(connection: Connection, account_id: uuid.UUID, now: datetime, lifetime: Lifetime) -> list[Row[Any]]:
    """Logins of a person that last, the one used last first."""
    mine = (LoginSession.account_id == account_id, _lasts(now, lifetime))
    return list(connection.execute(select(LoginSession).where(*mine).order_by(LoginSession.seen_at.desc())).all())


def end_session(connection: Connection, account_id: uuid.UUID, session: uuid.UUID) -> None:
    """End a login of a person. Needs a write transaction. Raises APIError, 404."""
    mine = (LoginSession.account_id == account_id, LoginSession.id == session)
    if connection.execute(delete(LoginSession).where(*mine)).rowcount == 0:
        raise APIError(404, "unknown_session", "there is no such login, or it is over")


def end_by_token(connection: Connection, token: str) -> None:
    """End the login that has a token, if any has. Needs a write transaction."""
    connection.execute(delete(LoginSession).where(LoginSession.token_hash == hash_of(token)))


def end_all(connection: Connection, account_id: uuid.UUID, but: uuid.UUID | None = None) -> int:
    """End every login of a person, but one; how many there were. Needs a write transaction."""
    statement = delete(LoginSession).where(LoginSession.account_id == account_id)
    if but is not None:
        statement = statement.where(LoginSession.id != but)
    return connection.execute(statement).rowcount


def _lasts(now: datetime, lifetime: Lifetime) -> ColumnElement[bool]:
    return (LoginSession.expires_at > now) & (LoginSession.seen_at > now - lifetime.idle)
