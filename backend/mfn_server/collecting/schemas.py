"""Bodies of the collection routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from mfn_server.collecting.events import MOST_ITEMS, Deed, Description, Entry, Name, Redact
from mfn_server.errors import ErrorBody
from mfn_server.labels.schemas import PersonView
from mfn_server.schemas import Schema, Text


class MakeBody(Schema):
    """A collection to be made. `id` is made by the client, and is the collection's: the same again changes nothing."""

    id: UUID
    name: Name
    description: Description | None = None
    items: list[Entry] = Field(default_factory=list, max_length=MOST_ITEMS)


class CollectionDeedBody(Schema):
    """Something to be done to a collection. `id` is made by the client: the same again changes nothing."""

    id: UUID
    base_version: int | None = Field(
        default=None, ge=0, lt=2**63, description="The collection's version that its author saw; or `If-Match` says it."
    )
    event: Deed


class CollectionRedactBody(Schema):
    """Words to be taken out of an event for good. `id` is made by the client: the same again changes nothing."""

    id: UUID
    event: Redact
    reason: Text = Field(min_length=1, max_length=2000)


class CollectionSummary(Schema):
    """A collection in a list."""

    id: UUID
    version: int = Field(description="The last event that is in it, counted over all collections.")
    name: str
    description: str | None
    n_items: int
    author: PersonView
    created_at: datetime
    changed_by: PersonView
    changed_at: datetime
    deleted: bool


class ItemView(Schema):
    """A feature of a collection, who put it there, and a note with who wrote it last."""

    source: str
    index: int
    note: str | None
    added_by: PersonView
    added_at: datetime
    noted_by: PersonView | None


class CollectionView(CollectionSummary):
    """A collection now, or as it stood behind the event `at`, with its features in order."""

    at: int | None
    items: list[ItemView]


class CollectionList(Schema):
    """Collections of the model, those that were changed last first."""

    items: list[CollectionSummary]


class CollectionEntryView(Schema):
    """An event as it was recorded; `payload` with the kind."""

    id: UUID
    stream: int
    kind: str
    payload: dict[str, Any]
    author: PersonView
    created_at: datetime
    reason: str | None = Field(description="Why words were taken out.")
    undone_by: int | None = Field(description="The event that undid it.")
    redacted_by: int | None = Field(description="The event by which an admin took out its words.")


class CollectionHistory(Schema):
    """A page of events, the latest first."""

    items: list[CollectionEntryView]
    next_before: int | None = Field(description="`before` of the next page; null on the last.")


class CollectionConflict(Schema):
    """What happened since the version that a stale request was based on."""

    version: int
    base_version: int
    changes: list[CollectionEntryView]
    now: CollectionView


class StaleCollectionBody(ErrorBody):
    """The answer to what rests on a state that is no longer so."""

    conflict: CollectionConflict
