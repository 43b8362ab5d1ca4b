"""Tables of campaigns: which features a team names together, and who is at which of them.

    campaign_event                      append-only: a campaign is opened, changed, closed
    campaign 1──n campaign_member       what follows from those events, for reading: see `campaigns/store.py`
    campaign 1──n campaign_item
    campaign_lease                      who has a feature before them just now; it runs out by itself
    label_opinion                       opinions that were given, by campaign: follows from the log of label events

Opinions are label events, since that is what they are: their campaign is a field of theirs.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from mfn_server.db.tables import Table


class CampaignEvent(Table):
    """Something that was done to a campaign. Rows are only ever added; what they may be: `campaigns/events.py`."""

    __tablename__ = "campaign_event"
    __table_args__ = (Index(None, "campaign_id", "stream"),)

    stream: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[uuid.UUID] = mapped_column(unique=True)
    campaign_id: Mapped[uuid.UUID]
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    type: Mapped[str]
    author_id: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime]
    payload: Mapped[dict[str, Any]]
    payload_version: Mapped[int] = mapped_column(SmallInteger)


class Campaign(Table):
    """A campaign as it stands. `version` is its last event; `opinions`, how many independent ones each feature gets.

    `is_blind`: nobody sees what others say of a feature before they have given their opinion. `for_all`: everyone who
    may label takes part, else its members do.
    """

    __tablename__ = "campaign"
    __table_args__ = (Index(None, "model_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    version: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str]
    instructions: Mapped[str]
    opinions: Mapped[int] = mapped_column(SmallInteger)
    is_blind: Mapped[bool]
    for_all: Mapped[bool]
    due_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    author_id: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime]


class CampaignMember(Table):
    """Someone who takes part in a campaign that is not for all."""

    __tablename__ = "campaign_member"

    campaign_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    person_id: Mapped[str] = mapped_column(primary_key=True)


class CampaignItem(Table):
    """A feature of a campaign. `importance`, from 0 to 1, is its rank among the campaign's features."""

    __tablename__ = "campaign_item"
    __table_args__ = (Index(None, "source_id", "number"),)

    campaign_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    importance: Mapped[float]


class CampaignLease(Table):
    """A feature that someone has before them. `id` is made by their page: two tabs of one person hold two."""

    __tablename__ = "campaign_lease"
    __table_args__ = (UniqueConstraint("campaign_id", "source_id", "number", "author_id"), Index(None, "expires_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("campaign.id"))
    source_id: Mapped[int]
    number: Mapped[int]
    author_id: Mapped[str]
    expires_at: Mapped[datetime]


class LabelOpinion(Table):
    """What one person made of a feature in a campaign, as they said it then. It never changes; one a person."""

    __tablename__ = "label_opinion"
    __table_args__ = (Index(None, "source_id", "number"),)

    campaign_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    author_id: Mapped[str] = mapped_column(primary_key=True)
    stream: Mapped[int] = mapped_column(BigInteger)
    text: Mapped[str | None]
    flag: Mapped[str | None]
    one_concept: Mapped[str | None]
    specificity: Mapped[int | None] = mapped_column(SmallInteger)
    confidence: Mapped[str | None]
