"""What can be done to a campaign: one class a kind of event, and what follows from them in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from mfn_server.labels.payloads import Line, Prose
from mfn_server.logged import LoggedPayload, kind_of
from mfn_server.schemas import Schema, Text

MOST_FEATURES = 10_000
"""Of one campaign: it is worked through by people, and its order is looked up anew for each item."""

MOST_OPINIONS = 20

Name = Annotated[Line, Field(max_length=200)]
Instructions = Annotated[Prose, Field(max_length=5000)]
PersonId = Annotated[Text, Field(min_length=1, max_length=200)]
People = Annotated[list[PersonId], Field(min_length=1, max_length=500)]


class CampaignPayload(LoggedPayload):
    """What all kinds share."""


class Terms(CampaignPayload):
    """What may be changed while a campaign runs."""

    name: Name
    instructions: Instructions | None = None
    people: People | None = Field(default=None, description="Who takes part, by id; null: everyone who may label.")
    due_at: AwareDatetime | None = Field(default=None, description="Until when it should be done. Nothing ends by it.")


class Item(Schema):
    """A feature of a campaign."""

    source: str
    index: int
    importance: float


class Open(Terms):
    """A campaign begins. How many opinions, and whether they are blind, stays as it is."""

    kind: Literal["open"] = "open"
    opinions: int = Field(default=2, ge=1, le=MOST_OPINIONS, description="How many independent ones each feature gets.")
    blind: bool = True
    items: list[Item] = Field(min_length=1, max_length=MOST_FEATURES)


class Change(Terms):
    """Another name, other instructions, other people or another date; all of them as they are to be."""

    kind: Literal["change"] = "change"


class Close(CampaignPayload):
    """Nobody gives opinions any more, and nothing is hidden on its account."""

    kind: Literal["close"] = "close"


class Reopen(CampaignPayload):
    """It goes on. Who has looked meanwhile has looked."""

    kind: Literal["reopen"] = "reopen"


Deed = Annotated[Change | Close | Reopen, Field(discriminator="kind")]
"""What may be done to a campaign that is there."""

_KINDS: Mapping[str, type[CampaignPayload]] = {"open": Open, "change": Change, "close": Close, "reopen": Reopen}


def read_deed(kind: str, version: int, payload: Mapping[str, Any]) -> CampaignPayload:
    """A payload of the log.

    Raises:
        PayloadError: a newer version of the app wrote it.
    """
    return kind_of(_KINDS, "campaign", kind, version).model_validate(payload)


@dataclass(frozen=True)
class CampaignEntry:
    """One event as the log of campaigns has it."""

    stream: int
    id: UUID
    campaign_id: UUID
    model_id: int
    author_id: str
    author: str
    created_at: datetime
    deed: CampaignPayload


@dataclass(frozen=True)
class CampaignState:
    """A campaign as it stands."""

    version: int
    opened: CampaignEntry
    terms: Terms
    opinions: int
    blind: bool
    closed_at: datetime | None = None
    items: Sequence[Item] = field(default_factory=list)


def fold_campaign(entries: Iterable[CampaignEntry]) -> CampaignState | None:
    """What follows from all events of one campaign, in order; None without any."""
    state: CampaignState | None = None
    for entry in entries:
        deed = entry.deed
        if isinstance(deed, Open):
            state = CampaignState(entry.stream, entry, deed, deed.opinions, deed.blind, items=deed.items)
            continue
        assert state is not None, "a campaign's first event opens it"
        state = replace(state, version=entry.stream)
        if isinstance(deed, Change):
            state = replace(state, terms=deed)
        elif isinstance(deed, Close):
            state = replace(state, closed_at=entry.created_at)
        elif isinstance(deed, Reopen):
            state = replace(state, closed_at=None)
    return state
