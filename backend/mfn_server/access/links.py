"""Links that work once: an invitation makes an account, a reset sets a new password.

The secret stands behind a `#`, which browsers keep to themselves: it is in no server's log and in no Referer.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from mfn_server.access.roles import Role
from mfn_server.access.secrets import hash_of, new_secret
from mfn_server.db.access_tables import Account, OneTimeLink
from mfn_server.errors import APIError


class Kind(enum.StrEnum):
    """What a link is for."""

    INVITATION = "invitation"
    RESET = "reset"


LASTS = {Kind.INVITATION: timedelta(days=7), Kind.RESET: timedelta(hours=24)}
PATHS = {Kind.INVITATION: "/join", Kind.RESET: "/reset"}


def make_invitation(
    connection: Connection,
    role: Role,
    note: str,
    made_by: uuid.UUID | None,
    now: datetime,
    lasts: timedelta = LASTS[Kind.INVITATION],
) -> tuple[uuid.UUID, str]:
    """Invite somebody to be of a role. Needs a write transaction.

    Returns:
        Its id, and its path with the secret, which nobody sees again.
    """
    return _make(connection, Kind.INVITATION, now, lasts, role=role, note=note, made_by=made_by)


def make_reset(
    connection: Connection, account_id: uuid.UUID, made_by: uuid.UUID | None, now: datetime
) -> tuple[uuid.UUID, str]:
    """A link by which a person sets a new password; those made for them before stop working. As above."""
    earlier = (OneTimeLink.account_id == account_id, OneTimeLink.kind == Kind.RESET, *_unused())
    connection.execute(update(OneTimeLink).where(*earlier).values(revoked_at=now))
    return _make(connection, Kind.RESET, now, LASTS[Kind.RESET], account_id=account_id, made_by=made_by)


def _make(connection: Connection, kind: Kind, now: datetime, lasts: timedelta, **more: Any) -> tuple[uuid.UUID, str]:
    made, secret = uuid.uuid4(), new_secret()
    values = {"note": "", **more, "created_at": now, "expires_at": now + lasts}
    connection.execute(insert(OneTimeLink).values(id=made, kind=kind, token_hash=hash_of(secret), **values))
    return made, f"{PATHS[kind]}#{secret}"


def look_at(connection: Connection, kind: Kind, secret: str, now: datetime) -> Row[Any]:
    """A link that still works: the columns of `OneTimeLink`, and `name`, whose password it resets.

    Raises APIError, 404: it was used, revoked, is too old, or never was; which of these is not said.
    """
    row = connection.execute(
        select(OneTimeLink.__table__, Account.name)
        .outerjoin(Account, Account.id == OneTimeLink.account_id)
        .where(*_works(kind, secret, now))
    ).one_or_none()
    if row is None:
        raise _no_link()
    return row


def use(connection: Connection, kind: Kind, secret: str, now: datetime, account_id: uuid.UUID) -> Row[Any]:
    """Use a link up, for an account. Needs a write transaction, in which what it is for is done, too.

    Of several that use it at once, one does. Raises APIError, 404, for the others.
    """
    row = connection.execute(
        update(OneTimeLink)
        .where(*_works(kind, secret, now))
        .values(used_at=now, account_id=account_id)
        .returning(OneTimeLink.__table__)
    ).one_or_none()
    if row is None:
        raise _no_link()
    return row


def list_invitations(connection: Connection, limit: int = 200) -> list[Row[Any]]:
    """The latest invitations: the columns of `OneTimeLink`, `name` of who came, `by` of who invited."""
    came, maker = Account.__table__.alias("came"), Account.__table__.alias("maker")
    statement = (
        select(OneTimeLink.__table__, came.c.name, maker.c.name.label("by"))
        .outerjoin(came, came.c.id == OneTimeLink.account_id)
        .outerjoin(maker, maker.c.id == OneTimeLink.made_by)
        .where(OneTimeLink.kind == Kind.INVITATION)
        .order_by(OneTimeLink.created_at.desc(), OneTimeLink.id)
        .limit(limit)
    )
    return list(connection.execute(statement).all())


def revoke_invitation(connection: Connection, link_id: uuid.UUID, now: datetime) -> str:
    """Revoke one that was not used; gives its note. Needs a write transaction. Raises APIError, 404."""
    one = (OneTimeLink.id == link_id, OneTimeLink.kind == Kind.INVITATION, *_unused())
    note: str | None = connection.scalar(
        update(OneTimeLink).where(*one).values(revoked_at=now).returning(OneTimeLink.note)
    )
    if note is None:
        raise APIError(404, "unknown_invitation", "there is no such invitation, or it was used or revoked")
    return note


def _unused() -> tuple[ColumnElement[bool], ...]:
    return OneTimeLink.used_at.is_(None), OneTimeLink.revoked_at.is_(None)


def _works(kind: Kind, secret: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return OneTimeLink.token_hash == hash_of(secret), OneTimeLink.kind == kind, OneTimeLink.expires_at > now, *_unused()


def _no_link() -> APIError:
    return APIError(
        404, "link_not_valid", "this link does not work: it was used, revoked, or is too old", hint="ask for a new one"
    )
