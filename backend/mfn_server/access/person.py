"""The one place where a route learns who is asking, and whether they may.

Without accounts there is one person, at this computer, who may do everything. With them a program shows a token, a
browser its cookie.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool

from mfn_server.access.cookies import session_token
from mfn_server.access.local_name import local_name
from mfn_server.access.roles import LOCAL_ID, PERMISSIONS, Permission, Person, Role
from mfn_server.access.sessions import TOUCH, Lifetime, find_session, touch_session
from mfn_server.access.tokens import find_token, touch_token
from mfn_server.db.session import Database
from mfn_server.errors import APIError
from mfn_server.security import SAFE_METHODS, comes_from_here
from mfn_server.settings import Settings

if TYPE_CHECKING:
    from mfn_server.studio import Studio

logger = logging.getLogger(__name__)

__all__ = [
    "LOCAL_ID",
    "PERMISSIONS",
    "CurrentPerson",
    "KnownPerson",
    "Permission",
    "Person",
    "Role",
    "StillIn",
    "anybody",
    "current_person",
    "declared",
    "needs",
    "own_login",
    "require",
]

LOOK_AGAIN_SECONDS = 5.0
ANYBODY, KNOWN, OWN_LOGIN = "anybody", "known", "own login"
_DECLARED: dict[Callable[..., Any], str] = {}


def lifetime_of(settings: Settings) -> Lifetime:
    """How long a login lasts here."""
    return Lifetime(timedelta(hours=settings.session_idle_hours), timedelta(days=settings.session_days))


async def known_person(request: Request) -> Person | None:
    """Who sent a request, or None for somebody unknown.

    Raises:
        APIError: 401, a token that is good for nothing; 403, a cookie with a change that no page of ours asks for.
    """
    studio: Studio = request.app.state.studio
    settings = studio.settings
    if not settings.accounts:
        return Person(LOCAL_ID, local_name(request) or settings.person, Role.ADMIN, is_local=True)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        person = await run_in_threadpool(_by_token, studio.database, token.strip())
        if person is None:
            raise _unknown("invalid_token", "this token is not, or no longer, good for anything")
        return person
    cookie = session_token(request)
    if cookie is None:
        return None
    if request.method not in SAFE_METHODS:
        check_same_origin(request)
    return await run_in_threadpool(_by_session, studio.database, cookie, lifetime_of(settings))


KnownPerson = Annotated[Person | None, Depends(known_person)]


async def current_person(person: KnownPerson) -> Person:
    """Who sent a request. Raises APIError, 401, for somebody unknown."""
    if person is None:
        raise _unknown("not_logged_in", "this server asks who you are: log in")
    return person


CurrentPerson = Annotated[Person, Depends(current_person)]


def check_same_origin(request: Request) -> None:
    """What takes or gives a cookie must come from a page of this server, and say so.

    The gate refuses what says that it comes from elsewhere; this refuses what does not say. Browsers do say it.
    Raises APIError, 403.
    """
    if not comes_from_here(request.headers):
        raise APIError(
            403,
            "cross_site",
            "with a cookie, only pages of this server may change anything",
            hint="a program sends a token instead: Authorization: Bearer mfn_...",
        )


@cache
def require(permission: Permission) -> Callable[[Person], Awaitable[Person]]:
    """A dependency that gives who is asking, and refuses (403) those who may not. The same one for each permission."""

    async def allowed(person: CurrentPerson) -> Person:
        if person.may(permission):
            return person
        if person.scopes is not None and permission in PERMISSIONS[person.role]:
            raise APIError(403, "out_of_scope", f"this token may not {permission}", hint="make one with that scope")
        hint = "an admin can give you another role"
        raise APIError(403, "not_allowed", f"a {person.role} may not do this", hint=hint)

    _DECLARED[allowed] = permission
    return allowed


class StillIn:
    """For answers that go on for long: whether whoever asked may still read them. It looks again every few seconds."""

    def __init__(self, request: Request, person: Person, permission: Permission, *, same_role: bool = False) -> None:
        """With `same_role`, what is read depends on the role: with another one they have to ask again."""
        self._request, self._person, self._permission, self._same_role = request, person, permission, same_role
        self._looked = time.monotonic()

    async def __call__(self) -> bool:
        """Ask before each part of the answer."""
        if self._person.is_local or time.monotonic() - self._looked < LOOK_AGAIN_SECONDS:
            return True
        self._looked = time.monotonic()
        try:
            person = await known_person(self._request)
        except APIError:
            return False
        if person is None or person.id != self._person.id or not person.may(self._permission):
            return False
        return person.role == self._person.role or not self._same_role


async def own_login(request: Request, person: CurrentPerson) -> Person:
    """A dependency for what people do with their own account: by a login, never by a token.

    Raises APIError: 404, the server has no accounts; 401; 403.
    """
    if person.is_local:
        raise no_accounts()
    if person.session is None:
        raise APIError(403, "login_needed", "a token may not do this: log in with name and password")
    return person


async def anybody() -> None:
    """A dependency that says that a route is for everybody, known or not. It refuses nobody."""


_DECLARED.update({current_person: KNOWN, own_login: OWN_LOGIN, anybody: ANYBODY})


def needs(permission: Permission) -> Any:
    """`require`, for the `dependencies` of a route or a router."""
    return Depends(require(permission))


def declared(route: APIRoute) -> frozenset[str]:
    """What a route asks of whoever comes: permissions, `KNOWN`, `OWN_LOGIN`, `ANYBODY`. Empty where nobody has said."""
    found, left = set(), [route.dependant]
    while left:
        dependant = left.pop()
        left += dependant.dependencies
        if dependant.call in _DECLARED:
            found.add(_DECLARED[dependant.call])
    return frozenset(found)


def no_accounts() -> APIError:
    """For what makes sense with accounts alone."""
    return APIError(404, "no_accounts", "this server has no accounts", hint="start it with --accounts")


def _by_token(database: Database, token: str) -> Person | None:
    now = datetime.now(UTC)
    with database.read() as connection:
        found = find_token(connection, token, now)
    if found is None:
        return None
    person, token_id, used_at = found
    if used_at is None or now - used_at > TOUCH:
        _note(database, touch_token, token_id, now)
    return person


def _by_session(database: Database, token: str, lifetime: Lifetime) -> Person | None:
    now = datetime.now(UTC)
    with database.read() as connection:
        found = find_session(connection, token, now, lifetime)
    if found is None:
        return None
    person, seen_at = found
    if now - seen_at > TOUCH and person.session is not None:
        _note(database, touch_session, person.session, now)
    return person


def _note(
    database: Database, touch: Callable[[Connection, uuid.UUID, datetime], None], id: uuid.UUID, now: datetime
) -> None:
    """That it was used. A full disk, or a database that is busy for long, is no reason not to let somebody read."""
    try:
        with database.write() as connection:
            touch(connection, id, now)
    except DBAPIError as error:
        logger.warning("a login's last use could not be noted: %s", error.orig)


def _unknown(code: str, message: str) -> APIError:
    return APIError(401, code, message, headers={"WWW-Authenticate": "Bearer"})
