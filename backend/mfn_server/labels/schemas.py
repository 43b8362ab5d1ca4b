"""Bodies of the label routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from mfn_server.db.tables import Origin
from mfn_server.errors import ErrorBody
from mfn_server.labels.payloads import Decision, Redact, Said
from mfn_server.schemas import Schema, Text


class Command(Schema):
    """Something to be recorded. `id` is made by the client: sending the same again changes nothing."""

    id: UUID
    base_version: int | None = Field(
        default=None, ge=0, lt=2**63, description="The feature's version that its author saw; or `If-Match` says it."
    )
    reason: Text | None = Field(default=None, min_length=1, max_length=2000)


class SayBody(Command):
    """What a person who labels says."""

    event: Said


class DecideBody(Command):
    """What a reviewer decides."""

    event: Decision


class RedactBody(Command):
    """What an admin takes out."""

    event: Redact
    reason: Text = Field(min_length=1, max_length=2000)


class PersonView(Schema):
    """Someone, or a program, that said something."""

    id: str
    name: str


class EventView(Schema):
    """An event as it was recorded. `payload` is what was said, as it was sent, with the kind."""

    id: UUID
    stream: int
    source: str
    index: int
    kind: str
    payload: dict[str, Any]
    author: PersonView
    origin: Origin
    created_at: datetime
    base_version: int | None
    reason: str | None
    redacted_by: int | None = Field(description="The event by which an admin took out its words.")


class HistoryEntry(EventView):
    """An event in a history."""

    undone_by: int | None = Field(description="The event that undid it.")


class History(Schema):
    """A page of events, the latest first."""

    items: list[HistoryEntry]
    next_before: int | None = Field(description="`before` of the next page; null on the last.")


class VoteView(Schema):
    """A person's vote. `stale`: given on earlier words of the label, so it does not count."""

    person: PersonView
    value: Literal[1, -1]
    stale: bool


class RatingView(Schema):
    """A person's answers to the rubric."""

    stream: int
    person: PersonView
    one_concept: Literal["yes", "partly", "no"] | None
    specificity: int | None
    confidence: Literal["high", "medium", "low"] | None
    evidence: str | None
    stale: bool


class StandingLabel(Schema):
    """A label that stands."""

    stream: int = Field(description="What it is known by: the event that proposed it.")
    revision: int = Field(description="The event that its present words are from.")
    text: str
    origin: Origin
    author: PersonView
    created_at: datetime
    revised_by: PersonView | None
    revised_at: datetime | None
    n_revisions: int
    reason: str | None
    confidence: Literal["high", "medium", "low"] | None
    unclear: bool
    redacted: bool
    accepted: bool
    shown: bool = Field(description="Whether it is the one that lists show.")
    suggestion: bool = Field(description="Whether a program wrote it to be adopted by somebody; no list shows it.")
    up: int
    down: int
    votes: list[VoteView]
    ratings: list[RatingView]


class TagView(Schema):
    """A tag and who put it there."""

    tag: str
    person: PersonView
    stream: int


class CommentView(Schema):
    """A comment; one that was taken back, or whose words were, is empty."""

    stream: int
    person: PersonView
    created_at: datetime
    text: str
    reply_to: int | None
    label: int | None
    mentions: list[PersonView]
    retracted: bool
    redacted: bool


class FlagView(Schema):
    """Something that stands against naming a feature."""

    stream: int
    person: PersonView
    created_at: datetime
    flag: Literal["dead", "unclear", "duplicate", "polysemantic"]
    of_source: str | None
    of_index: int | None
    parts: list[str]
    reason: str | None


class Discussion(Schema):
    """What stands of a feature now, or stood behind the event `at`."""

    source: str
    index: int
    version: int = Field(description="The last event on this feature that is in it; 0 without any.")
    at: int | None
    labels: list[StandingLabel] = Field(description="The one that is shown first, then the latest first.")
    accepted: int | None
    decided_by: int | None = Field(description="The event by which a reviewer decided.")
    ratings: list[RatingView] = Field(description="Of the feature; those of labels stand with them.")
    tags: list[TagView]
    comments: list[CommentView]
    flags: list[FlagView]
    n_skips: int


class WayOn(Schema):
    """What can be sent instead of what was stale, with the new version: an ordinary event."""

    name: Literal["merge", "replace", "keep_both"]
    event: dict[str, Any]


class Conflict(Schema):
    """What happened since the version that a stale request was based on."""

    version: int
    base_version: int
    changes: list[HistoryEntry]
    now: Discussion
    ways_on: list[WayOn]


class StaleBody(ErrorBody):
    """The answer to what was said of a state that is no longer so."""

    conflict: Conflict


class PeopleList(Schema):
    """Who has said something about this model's features."""

    items: list[PersonView]
