"""Tables of people: who has an account, by what they come in, and what was done to any of it.

    account 1──n login_session      a browser that is logged in
    account 1──n api_token          a program that acts for a person
    account 1──n one_time_link      an invitation that became the account, or a password's reset
    login_try                       how often a password was tried lately
    audit_event                     append-only; triggers refuse changes

Secrets stand nowhere: of a password its Argon2id hash, of everything random its SHA-256. Accounts are never deleted,
since what was written stays its author's.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from mfn_server.db.tables import BigKey, Table


class Account(Table):
    """A person. `name_key` is the name without what looks alike (case, width, blanks), by which it is unique."""

    __tablename__ = "account"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str]
    created_at: Mapped[datetime]
    deactivated_at: Mapped[datetime | None]


class LoginSession(Table):
    """A browser that is logged in. Its end is the end of the row; `expires_at` is never moved, `seen_at` is."""

    __tablename__ = "login_session"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    address: Mapped[str]
    agent: Mapped[str]


class ApiToken(Table):
    """What a program shows instead of a login. `prefix` is its beginning, by which its owner knows it again."""

    __tablename__ = "api_token"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class OneTimeLink(Table):
    """An `invitation` (of `role`; `account_id` is who came) or a `reset` (of the password of `account_id`).

    `made_by` is the admin who made it; null for the command line.
    """

    __tablename__ = "one_time_link"
    __table_args__ = (Index(None, "kind", "created_at"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    role: Mapped[str | None]
    note: Mapped[str]
    account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("account.id"))
    made_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class LoginTry(Table):
    """How often a password was tried since `since`, by name and address, by address, or by name."""

    __tablename__ = "login_try"

    key: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int]
    since: Mapped[datetime]


class AuditEvent(Table):
    """Something that was done to accounts or by an admin: who, how (`via`), from where, to whom or what.

    `actor` and `subject` are names as they were; `actor_id` is null for the command line and for nobody known.
    """

    __tablename__ = "audit_event"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    at: Mapped[datetime]
    action: Mapped[str]
    actor_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("account.id"))
    actor: Mapped[str]
    via: Mapped[str]
    address: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, Any]]
