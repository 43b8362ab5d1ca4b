"""What the logs of labels, campaigns and collections have in common: what an event says, as a log keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from mfn_server.schemas import Schema


class LoggedPayload(Schema):
    """What all kinds of events share.

    A class may change by fields with defaults, and counts its `VERSION` up then: the same class reads old payloads.
    """

    VERSION: ClassVar[int] = 1

    kind: str

    def kept(self) -> dict[str, Any]:
        """As the log keeps it; the kind has a column of its own."""
        return self.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True)


class PayloadError(ValueError):
    """A log holds an event that this version of the app cannot read."""


P = TypeVar("P", bound=LoggedPayload)


def kind_of(kinds: Mapping[str, type[P]], log: str, kind: str, version: int) -> type[P]:
    """The class that reads an event of a log.

    Raises:
        PayloadError: a newer version of the app wrote it.
    """
    if kind not in kinds or version > kinds[kind].VERSION:
        raise PayloadError(f"a {log} event ({kind}, version {version}) was written by a newer version of MFN Studio")
    return kinds[kind]
