"""The audit log: what was done to accounts, and by admins. It only grows, and holds no secrets."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select
from starlette.requests import Request

from mfn_server.access.roles import Person
from mfn_server.db.access_tables import AuditEvent

Via = Literal["local", "session", "token", "link", "command line", "nobody"]


class Action(enum.StrEnum):
    """What is recorded. New kinds may come; none changes its meaning."""

    ACCOUNT_CREATED = "account.created"
    ACCOUNT_ROLE = "account.role"
    ACCOUNT_DEACTIVATED = "account.deactivated"
    ACCOUNT_REACTIVATED = "account.reactivated"
    INVITATION_MADE = "invitation.made"
    INVITATION_REVOKED = "invitation.revoked"
    LOGGED_IN = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGIN_THROTTLED = "login.throttled"
    LOGGED_OUT = "logout"
    SESSION_ENDED = "session.ended"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    RESET_MADE = "reset.made"
    PASSWORD_RESET = "password.reset"  # noqa: S105
    TOKEN_MADE = "token.made"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    LABELS_IMPORTED = "labels.imported"


@dataclass(frozen=True)
class Actor:
    """Who did something, and from where.

    Attributes:
        id: the account; None for the command line, and for whoever is not known.
        name: as it was.
        via: how they came.
        address: the client's, or what a trusted proxy says it is; empty for the command line.
    """

    id: uuid.UUID | None
    name: str
    via: Via
    address: str

    @classmethod
    def of(cls, request: Request, person: Person | None = None) -> Actor:
        """Whoever sent a request."""
        address = address_of(request)
        if person is None:
            return cls(None, "", "nobody", address)
        if person.is_local:
            return cls(None, person.name, "local", address)
        return cls(uuid.UUID(person.id), person.name, "session" if person.session else "token", address)


def address_of(request: Request) -> str:
    """The client's address, or what a trusted proxy says it is."""
    return request.client.host if request.client is not None else ""


def record(connection: Connection, action: str, actor: Actor, subject: str = "", **details: Any) -> None:
    """Add to the log. Needs a write transaction: what is done and its record are there together, or neither is.

    Args:
        connection: in a write transaction.
        action: one of `Action`, or another part's own.
        actor: who did it.
        subject: to whom or what, as a person would call it.
        details: more, as JSON; no passwords, tokens or links.
    """
    connection.execute(
        insert(AuditEvent).values(
            at=datetime.now(UTC),
            action=str(action),
            actor_id=actor.id,
            actor=actor.name,
            via=actor.via,
            address=actor.address,
            subject=subject,
            details=details,
        )
    )


def read_log(connection: Connection, before: int | None, action: str | None, limit: int) -> list[Row[Any]]:
    """The log from its end, or from before an id: `limit` rows of `AuditEvent`, the latest first."""
    statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditEvent.id < before)
    if action is not None:
        statement = statement.where(AuditEvent.action == action)
    return list(connection.execute(statement).all())
