"""Tokens of programs: made by a person, good for some of what that person may do, and never for longer than a year."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from mfn_server.access.roles import PERMISSIONS, Permission, Person, Role
from mfn_server.access.secrets import TOKEN_PREFIX, hash_of, new_secret
from mfn_server.db.access_tables import Account, ApiToken
from mfn_server.errors import APIError

LONGEST_DAYS = 366
AT_MOST = 50
SHOWN = len(TOKEN_PREFIX) + 6
"""Characters of a token that its owner is shown: of its 256 random bits some 220 are left."""


def make_token(
    connection: Connection, person: Person, name: str, scopes: Collection[Permission], days: int, now: datetime
) -> tuple[uuid.UUID, str]:
    """Make a token for a person; gives its id and itself, which nobody sees again. Needs a write transaction.

    Raises APIError: 422, a scope that the person's role does not have; 409, they have too many.
    """
    beyond = sorted(set(scopes) - PERMISSIONS[person.role])
    if beyond:
        raise APIError(422, "invalid_scope", f"a {person.role} may not {beyond[0]}", field="scopes")
    account = uuid.UUID(person.id)
    if len(list_tokens(connection, account, now)) >= AT_MOST:
        raise APIError(409, "too_many_tokens", f"you have {AT_MOST} tokens already", hint="revoke one that is not used")
    made, token = uuid.uuid4(), TOKEN_PREFIX + new_secret()
    connection.execute(
        insert(ApiToken).values(
            id=made,
            token_hash=hash_of(token),
            account_id=account,
            name=name,
            prefix=token[:SHOWN],
            scopes=sorted(scopes),
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
    )
    return made, token


def find_token(connection: Connection, token: str, now: datetime) -> tuple[Person, uuid.UUID, datetime | None] | None:
    """For whom a token acts, its id, and when it was used before; None where it is good for nothing (any more)."""
    row = connection.execute(
        select(ApiToken.id, ApiToken.scopes, ApiToken.used_at, ApiToken.account_id, Account.name, Account.role)
        .join(Account, Account.id == ApiToken.account_id)
        .where(
            ApiToken.token_hash == hash_of(token),
            ApiToken.revoked_at.is_(None),
            ApiToken.expires_at > now,
            Account.deactivated_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    known = {permission.value for permission in Permission}
    scopes = frozenset(Permission(scope) for scope in row.scopes if scope in known)
    return Person(str(row.account_id), row.name, Role(row.role), is_local=False, scopes=scopes), row.id, row.used_at


def touch_token(connection: Connection, token_id: uuid.UUID, now: datetime) -> None:
    """Note that a token is used. Needs a write transaction."""
    earlier = or_(ApiToken.used_at.is_(None), ApiToken.used_at < now)
    connection.execute(update(ApiToken).where(ApiToken.id == token_id, earlier).values(used_at=now))


def list_tokens(connection: Connection, account_id: uuid.UUID, now: datetime) -> list[Row[Any]]:
    """A person's tokens that are good for something, the newest first."""
    mine = (ApiToken.account_id == account_id, ApiToken.revoked_at.is_(None), ApiToken.expires_at > now)
    statement = select(ApiToken).where(*mine).order_by(ApiToken.created_at.desc(), ApiToken.id)
    return list(connection.execute(statement).all())


def revoke_token(connection: Connection, account_id: uuid.UUID, token_id: uuid.UUID, now: datetime) -> str:
    """Revoke a person's token; gives its name. Needs a write transaction. Raises APIError, 404."""
    mine = (ApiToken.account_id == account_id, ApiToken.id == token_id, ApiToken.revoked_at.is_(None))
    name: str | None = connection.scalar(update(ApiToken).where(*mine).values(revoked_at=now).returning(ApiToken.name))
    if name is None:
        raise APIError(404, "unknown_token", "there is no such token, or it was revoked")
    return name
