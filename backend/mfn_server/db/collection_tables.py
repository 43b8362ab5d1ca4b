"""Tables of collections: named lists of features with notes.

collection_event                append-only: a collection is made, added to, annotated, put in order, deleted
collection 1──n collection_item what follows from those events, for reading: see `collecting/log.py`
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from mfn_server.db.tables import Table


class CollectionEvent(Table):
    """Something that was done to a collection. Rows are only ever added; what they may be: `collecting/events.py`."""

    __tablename__ = "collection_event"
    __table_args__ = (Index(None, "collection_id", "stream"), Index(None, "model_id"))

    stream: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[uuid.UUID] = mapped_column(unique=True)
    collection_id: Mapped[uuid.UUID]
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    type: Mapped[str]
    author_id: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime]
    payload: Mapped[dict[str, Any]]
    payload_version: Mapped[int] = mapped_column(SmallInteger)


class FeatureCollection(Table):
    """A collection as it stands. `version` is its last event, and `changed_at` when, `changed_by` whose that was."""

    __tablename__ = "collection"
    __table_args__ = (Index(None, "model_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    version: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str]
    description: Mapped[str | None]
    n_items: Mapped[int]
    author_id: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime]
    changed_by_id: Mapped[str]
    changed_by: Mapped[str]
    changed_at: Mapped[datetime]
    is_deleted: Mapped[bool]


class CollectionItem(Table):
    """A feature of a collection; `position` counts from 0."""

    __tablename__ = "collection_item"
    __table_args__ = (Index(None, "source_id", "number"),)

    collection_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("collection.id"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]
    note: Mapped[str | None]
