"""The lines of a file of labels (`.jsonl`): a header, every event once in the log's order, and a line that ends it.

Numbers of events are this database's own. So a line names other events by their ids, which are the same everywhere: the
file can be read beside another log, and in parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, TypeAdapter

from mfn_server.db.tables import Origin
from mfn_server.schemas import JsonObject, Schema, Text

FORMAT = "mfn-labels"
VERSION = 1

REFERENCES = ("label", "target", "reply_to")
"""Fields of payloads that name an event."""

Id = Annotated[Text, Field(min_length=1, max_length=400)]
Called = Annotated[Text, Field(max_length=400)]


class ModelLine(Schema):
    """A model, as the header names it."""

    name: Text
    fingerprint: Text


class SourceLine(Schema):
    """A source of its features."""

    key: Text
    kind: Text
    site: Text
    layer: int
    weights_hash: Text
    n_features: int


class HeaderLine(Schema):
    """The first line. `origin` is the database's name; `withheld`, of how many features all is left out as hidden."""

    type: Literal["header"] = "header"
    format: Literal["mfn-labels"] = "mfn-labels"
    version: int = VERSION
    origin: UUID
    exported_at: AwareDatetime
    model: ModelLine
    sources: list[SourceLine]
    withheld: int = 0


class EventLine(Schema):
    """A label event. `payload` is as the log has it, but for events that it names: those by their ids.

    `base`: the last event on the feature that its author saw, "none" if they saw that there was none, null if they did
    not say. `redacted`: its words were taken out; the event that did so is in the file, too.
    """

    type: Literal["event"] = "event"
    id: UUID
    source: Text
    index: int = Field(ge=0, lt=2**31)
    kind: Text
    version: int = Field(ge=1)
    payload: JsonObject
    author_id: Id
    author: Called
    origin: Origin
    created_at: AwareDatetime
    base: UUID | Literal["none"] | None = None
    reason: Annotated[Text, Field(max_length=5000)] | None = None
    redacted: bool = False


class CollectionLine(Schema):
    """An event on a collection. `redacted`: its words were taken out."""

    type: Literal["collection_event"] = "collection_event"
    id: UUID
    collection: UUID
    kind: Text
    version: int = Field(ge=1)
    payload: JsonObject
    author_id: Id
    author: Called
    created_at: AwareDatetime
    redacted: bool = False


class EndLine(Schema):
    """The last line: without it the file was cut off."""

    type: Literal["end"] = "end"
    events: int
    collection_events: int = 0


Line = Annotated[HeaderLine | EventLine | CollectionLine | EndLine, Field(discriminator="type")]
LINE: TypeAdapter[HeaderLine | EventLine | CollectionLine | EndLine] = TypeAdapter(Line)


def named_events(payload: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a payload that name an event, and what they say."""
    for name in REFERENCES:
        if payload.get(name) is not None:
            yield name, payload[name]


def utc(moment: datetime) -> str:
    """A moment as files have it."""
    return moment.isoformat()
