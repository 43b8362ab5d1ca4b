"""Who people are elsewhere: never silently somebody here.

A person of another server comes in under an id of their own, `imported:SERVER:ID`, with a name that says so. It is no
account, and nobody can log in as it. Programs are the same everywhere. Only whoever imports can say that somebody
there is somebody here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

PROGRAM = "program:"
IMPORTED = "imported:"
_SUFFIX = " (imported)"


@dataclass
class Newcomer:
    """Somebody of a file: who they are there, who they become here, and in how many events."""

    id: str
    name: str
    becomes: str
    becomes_name: str
    events: int = 0


@dataclass
class People:
    """Everybody of one file.

    Attributes:
        origin: which server it is from.
        known: those of whom it was said who they are here: id and name, by their id there.
        met: those that came, by their id there.
    """

    origin: uuid.UUID | str
    known: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    met: dict[str, Newcomer] = field(default_factory=dict)

    def identity(self, id: str) -> str:
        """Who somebody of the file is here."""
        if id in self.known:
            return self.known[id][0]
        return id if id.startswith((PROGRAM, IMPORTED)) else f"{IMPORTED}{self.origin}:{id}"

    def meet(self, id: str, name: str) -> Newcomer:
        """Somebody who said something. The name is as they were called then."""
        becomes = self.identity(id)
        as_before = becomes == id or id in self.known
        called = self.known[id][1] if id in self.known else name if as_before else f"{name}{_SUFFIX}"
        newcomer = self.met.setdefault(id, Newcomer(id, name, becomes, called))
        newcomer.events += 1
        newcomer.becomes_name = called
        return newcomer


def is_imported(id: str) -> bool:
    """Whether somebody is known from a file alone."""
    return id.startswith(IMPORTED)
