"""Accounts: made, changed, put out of use. None is ever deleted, so that what was written keeps its author."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mfn_server.access.names import name_key
from mfn_server.access.roles import Role
from mfn_server.db.access_tables import Account, ApiToken, LoginSession, OneTimeLink
from mfn_server.errors import APIError


def add_account(connection: Connection, name: str, role: Role, password_hash: str, now: datetime) -> uuid.UUID:
    """Make an account. Needs a write transaction.

    Args:
        connection: in a write transaction, which is of no more use when this raises.
        name: see `clean_name`.
        role: what they are here.
        password_hash: see `Passwords`.
        now: when.

    Raises:
        APIError: 409, somebody has this name.
    """
    made = uuid.uuid4()
    try:
        connection.execute(
            insert(Account).values(
                id=made, name=name, name_key=name_key(name), role=role, password_hash=password_hash, created_at=now
            )
        )
    except IntegrityError:
        raise APIError(409, "name_taken", "somebody has this name already", field="name") from None
    return made


def account_named(connection: Connection, name: str) -> Row[Any] | None:
    """The account with a name, in use or not."""
    return connection.execute(select(Account).where(Account.name_key == name_key(name))).one_or_none()


def account_of(connection: Connection, account_id: uuid.UUID) -> Row[Any]:
    """An account by its id. Raises APIError, 404."""
    row = connection.execute(select(Account).where(Account.id == account_id)).one_or_none()
    if row is None:
        raise APIError(404, "unknown_account", "there is no such account")
    return row


def list_accounts(connection: Connection) -> list[Row[Any]]:
    """All of them, by name: the columns of `Account`, and `seen_at`, when a login of theirs was last used."""
    seen = select(LoginSession.account_id, func.max(LoginSession.seen_at).label("seen_at")).group_by(
        LoginSession.account_id
    )
    latest = seen.subquery()
    statement = (
        select(Account.__table__, latest.c.seen_at)
        .outerjoin(latest, latest.c.account_id == Account.id)
        .order_by(Account.name_key)
    )
    return list(connection.execute(statement).all())


def set_role(connection: Connection, account_id: uuid.UUID, role: Role, now: datetime) -> bool:
    """Give another role; whether it is another. It counts from the next request on. Needs a write transaction.

    Who is no admin any more leaves no invitations behind. Raises APIError: 404; 409, they are the last admin.
    """
    admins = _admins(connection)
    account = account_of(connection, account_id)
    if account.role == role:
        return False
    if account_id in admins:
        _check_others(admins, account_id)
        _revoke_links(connection, account_id, now, leaves=False)
    connection.execute(update(Account).where(Account.id == account_id).values(role=role))
    return True


def deactivate(connection: Connection, account_id: uuid.UUID, now: datetime) -> bool:
    """Put out of use: no login, session, token or link of theirs works any more. Needs a write transaction.

    Returns:
        Whether it was in use.

    Raises:
        APIError: 404; 409, they are the last admin.
    """
    admins = _admins(connection)
    if account_of(connection, account_id).deactivated_at is not None:
        return False
    if account_id in admins:
        _check_others(admins, account_id)
    connection.execute(update(Account).where(Account.id == account_id).values(deactivated_at=now))
    connection.execute(delete(LoginSession).where(LoginSession.account_id == account_id))
    tokens = (ApiToken.account_id == account_id, ApiToken.revoked_at.is_(None))
    connection.execute(update(ApiToken).where(*tokens).values(revoked_at=now))
    _revoke_links(connection, account_id, now, leaves=True)
    return True


def reactivate(connection: Connection, account_id: uuid.UUID) -> bool:
    """Put back into use, with the role and the password there were; whether it was out of use. Raises APIError, 404."""
    if account_of(connection, account_id).deactivated_at is None:
        return False
    connection.execute(update(Account).where(Account.id == account_id).values(deactivated_at=None))
    return True


def set_password(connection: Connection, account_id: uuid.UUID, password_hash: str) -> None:
    """Replace a password, and end every login that was made with the one before. Needs a write transaction."""
    connection.execute(update(Account).where(Account.id == account_id).values(password_hash=password_hash))
    connection.execute(delete(LoginSession).where(LoginSession.account_id == account_id))


def _admins(connection: Connection) -> set[uuid.UUID]:
    """Those in use. The rows stay locked: two admins who take each other's role at once do not both succeed."""
    statement = select(Account.id).where(Account.role == Role.ADMIN, Account.deactivated_at.is_(None))
    return set(connection.scalars(statement.order_by(Account.id).with_for_update()))


def _check_others(admins: set[uuid.UUID], account_id: uuid.UUID) -> None:
    if admins == {account_id}:
        raise APIError(409, "last_admin", "this is the last admin", hint="make somebody else an admin first")


def _revoke_links(connection: Connection, account_id: uuid.UUID, now: datetime, leaves: bool) -> None:
    """Open links that they made and, where they leave, those made for them."""
    whose = OneTimeLink.made_by == account_id
    if leaves:
        whose |= OneTimeLink.account_id == account_id
    still_open = (OneTimeLink.used_at.is_(None), OneTimeLink.revoked_at.is_(None))
    connection.execute(update(OneTimeLink).where(whose, *still_open).values(revoked_at=now))
