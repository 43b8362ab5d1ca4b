"""What may be done, who may do it, and what is known of whoever asks."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

LOCAL_ID = "local"
"""The id of the one person of a server without accounts."""


class Permission(enum.StrEnum):
    """What a route may ask for. A token's scopes are some of these."""

    READ = "read"  # look at the model, its features, what was said of them
    GENERATE = "generate"  # have the model compute: write, inspect, measure effects
    SAVE = "save"  # save and change presets, which all see
    LABEL = "label"  # propose, vote, tag, comment, flag: whatever says something about a feature
    REVIEW = "review"  # decide which label holds, and take back what others said
    MEASURE = "measure"  # read the server's metrics
    ADMINISTER = "administer"  # hide what was written, and manage people


class Role(enum.StrEnum):
    """What a person is here. Each may do what the one before may, and more."""

    VIEWER = "viewer"
    LABELLER = "labeller"
    REVIEWER = "reviewer"
    ADMIN = "admin"


_VIEW = frozenset({Permission.READ, Permission.GENERATE})
_WRITE = _VIEW | {Permission.SAVE, Permission.LABEL}
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEW,
    Role.LABELLER: _WRITE,
    Role.REVIEWER: _WRITE | {Permission.REVIEW},
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
        session: the login by which they come, if they come by one.
        scopes: what the token by which they come is good for; None without a token.
    """

    id: str
    name: str
    role: Role
    is_local: bool
    session: uuid.UUID | None = None
    scopes: frozenset[Permission] | None = None

    def may(self, permission: Permission) -> bool:
        """Whether their role allows something, and so does the token by which they come."""
        return permission in PERMISSIONS[self.role] and (self.scopes is None or permission in self.scopes)
