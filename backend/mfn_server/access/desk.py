"""What the routes over people have in common: time, transactions, and the proof that a password is right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Row
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from mfn_server.access.accounts import account_named
from mfn_server.access.audit import Action, Actor, address_of, record
from mfn_server.access.person import no_accounts
from mfn_server.access.throttle import ThrottledError, count_try
from mfn_server.errors import APIError
from mfn_server.studio import Studio

T = TypeVar("T")


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


async def reading(studio: Studio, work: Callable[[Connection], T]) -> T:
    """`work` on one state of the database, in a thread."""

    def run() -> T:
        with studio.database.snapshot() as connection:
            return work(connection)

    return await run_in_threadpool(run)


async def writing(studio: Studio, work: Callable[[Connection], T]) -> T:
    """`work` in a write transaction, in a thread."""
    return await studio.write(work)


def check_accounts(studio: Studio) -> None:
    """Raises APIError, 404, on a server without accounts."""
    if not studio.settings.accounts:
        raise no_accounts()


async def proven(studio: Studio, request: Request, name: str, password: str) -> tuple[Row[Any], str | None]:
    """The account whose name and password these are, and a better hash of it where there is one.

    A wrong name, a wrong password and an account out of use cannot be told apart, neither by the answer nor by how long
    it takes. Failures are recorded, with the account's name where there is one, else without: what was typed may be a
    password in the wrong field.

    Raises:
        APIError: 401; 429, too many tries.
    """
    address, actor = address_of(request), Actor.of(request)

    def count(connection: Connection) -> tuple[ThrottledError | None, Row[Any] | None]:
        refusal = count_try(connection, name, address, now(), studio.allowance)
        account = account_named(connection, name)
        if refusal is not None and refusal.first:
            record(connection, Action.LOGIN_THROTTLED, actor, account.name if account else "")
        return refusal, account

    refusal, account = await writing(studio, count)
    if refusal is not None:
        raise refusal
    right, newer = await studio.passwords.verify_aside(password, account.password_hash if account else None)
    if account is not None and right and account.deactivated_at is None:
        return account, newer
    await writing(studio, lambda c: record(c, Action.LOGIN_FAILED, actor, account.name if account else ""))
    raise APIError(401, "wrong_login", "name or password is wrong", headers={"WWW-Authenticate": "Bearer"})
