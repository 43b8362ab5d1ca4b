"""The one place where a route learns who is asking, and whether they may.

Without accounts there is one person, at this computer, who may do everything.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from fastapi import Depends, Request

from mfn_server.access.local_name import local_name
from mfn_server.errors import APIError
from mfn_server.settings import Settings

LOCAL_ID = "local"
"""The id of the one person of a server without accounts."""


class Permission(enum.StrEnum):
    """What a route may ask for."""

    READ = "read"
    LABEL = "label"  # propose, vote, tag, comment, flag: whatever says something about a feature
    REVIEW = "review"  # decide which label holds, and take back what others said
    ADMINISTER = "administer"  # hide what was written, and manage people


class Role(enum.StrEnum):
    """What a person is here. Each may do what the one before may, and more."""

    VIEWER = "viewer"
    LABELLER = "labeller"
    REVIEWER = "reviewer"
    ADMIN = "admin"


PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.LABELLER: frozenset({Permission.READ, Permission.LABEL}),
    Role.REVIEWER: frozenset({Permission.READ, Permission.LABEL, Permission.REVIEW}),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True)
class Person:
    """Who is asking.

    Attributes:
        id: theirs for good, whatever they are called; what they write is stored under it.
        name: how they are called now.
        role: what they are here.
        is_local: whether this is the one person of a server without accounts.
    """

    id: str
    name: str
    role: Role
    is_local: bool

    def may(self, permission: Permission) -> bool:
        """Whether their role allows something."""
        return permission in PERMISSIONS[self.role]


async def current_person(request: Request) -> Person:
    """Who sent a request."""
    settings: Settings = request.app.state.studio.settings
    return Person(LOCAL_ID, local_name(request) or settings.person, Role.ADMIN, is_local=True)


CurrentPerson = Annotated[Person, Depends(current_person)]


@cache
def require(permission: Permission) -> Callable[[Person], Awaitable[Person]]:
    """A dependency that gives who is asking, and refuses (403) those who may not. The same one for each permission."""

    async def allowed(person: CurrentPerson) -> Person:
        if not person.may(permission):
            message = f"a {person.role} may not do this"
            hint = "an admin can give you another role"
            raise APIError(403, "not_allowed", message, hint=hint)
        return person

    return allowed
