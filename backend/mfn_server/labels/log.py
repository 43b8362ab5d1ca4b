"""The log of label events: reading it, and adding to it in the order of commits."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, insert, select, tuple_, update

from mfn_server.db.counters import lock_counter, take_numbers
from mfn_server.db.tables import LabelEvent, Origin
from mfn_server.labels.payloads import Payload, read_payload

STREAM = "label_event"
"""The counter that numbers the log."""

Place = tuple[int, int]
"""A feature: its source's row and its number."""

_AT_ONCE = 500


@dataclass(frozen=True)
class Event:
    """One event as the log has it. `redacted_by` is the event that took its words out."""

    stream: int
    id: uuid.UUID
    place: Place
    author_id: str
    author: str
    origin: Origin
    created_at: datetime
    base_version: int | None
    payload: Payload
    reason: str | None
    redacted_by: int | None = None

    @property
    def kind(self) -> str:
        """What it is."""
        return self.payload.kind


_EVENTS: Select[*tuple[Any, ...]] = select(
    LabelEvent.stream,
    LabelEvent.id,
    LabelEvent.type,
    LabelEvent.source_id,
    LabelEvent.number,
    LabelEvent.author_id,
    LabelEvent.author,
    LabelEvent.origin,
    LabelEvent.created_at,
    LabelEvent.base_version,
    LabelEvent.payload,
    LabelEvent.payload_version,
    LabelEvent.reason,
    LabelEvent.redacted_by,
)
_OF_FEATURE = _EVENTS.where(
    LabelEvent.source_id == bindparam("source_id"),
    LabelEvent.number == bindparam("number"),
    LabelEvent.stream <= bindparam("at"),
).order_by(LabelEvent.stream)
_BY_ID = _EVENTS.where(LabelEvent.id == bindparam("id"))
_INSERT = insert(LabelEvent)
LAST = 2**63 - 1
"""Behind every event."""


def lock_log(connection: Connection) -> int:
    """Keep everyone else from adding events until the transaction is over. Gives the number of the last one."""
    return lock_counter(connection, STREAM)


def append_events(connection: Connection, events: Sequence[Event]) -> list[Event]:
    """Add events to the log, which must be locked. Whatever number they have, they get the next ones."""
    if not events:
        return []
    last = take_numbers(connection, STREAM, len(events))
    numbered = [
        Event(**{**vars(event), "stream": stream}) for stream, event in enumerate(events, last - len(events) + 1)
    ]
    connection.execute(_INSERT, [_row(event) for event in numbered])
    return numbered


def _row(event: Event) -> dict[str, Any]:
    return {
        "stream": event.stream,
        "id": event.id,
        "type": event.kind,
        "source_id": event.place[0],
        "number": event.place[1],
        "author_id": event.author_id,
        "author": event.author,
        "origin": event.origin,
        "created_at": event.created_at,
        "base_version": event.base_version,
        "payload": event.payload.kept(),
        "payload_version": event.payload.VERSION,
        "reason": event.reason,
    }


def new_event(
    place: Place,
    payload: Payload,
    author_id: str,
    author: str,
    *,
    origin: Origin = Origin.HUMAN,
    identity: uuid.UUID | None = None,
    base_version: int | None = None,
    reason: str | None = None,
) -> Event:
    """An event that is not in the log yet."""
    now = datetime.now(UTC)
    return Event(0, identity or uuid.uuid4(), place, author_id, author, origin, now, base_version, payload, reason)


def redact_event(connection: Connection, event: Event, by: int) -> None:
    """Take the words out of an event of the log: the one change that is ever made to it."""
    connection.execute(
        update(LabelEvent)
        .where(LabelEvent.stream == event.stream)
        .values(payload=event.payload.without_words(), reason=None, redacted_by=by)
    )


def events_of(connection: Connection, place: Place, at: int = LAST) -> list[Event]:
    """What was said of a feature, up to an event, in order."""
    rows = connection.execute(_OF_FEATURE, {"source_id": place[0], "number": place[1], "at": at})
    return [_event(row) for row in rows]


def events_by_place(connection: Connection, places: Iterable[Place]) -> dict[Place, list[Event]]:
    """What was said of each of some features, in order."""
    wanted = sorted(set(places))
    found: dict[Place, list[Event]] = {place: [] for place in wanted}
    for begin in range(0, len(wanted), _AT_ONCE):
        these = tuple_(LabelEvent.source_id, LabelEvent.number).in_(wanted[begin : begin + _AT_ONCE])
        for row in connection.execute(_EVENTS.where(these).order_by(LabelEvent.stream)):
            found[row.source_id, row.number].append(_event(row))
    return found


def all_features(connection: Connection, source_id: int) -> Iterator[tuple[Place, list[Event]]]:
    """Every feature of a source of which anything was said, by number, with all of it. Needs a transaction."""
    of_source = _EVENTS.where(LabelEvent.source_id == source_id).order_by(LabelEvent.number, LabelEvent.stream)
    rows = connection.execute(of_source, execution_options={"yield_per": 1000})
    for place, group in groupby(rows, lambda row: (row.source_id, row.number)):
        yield place, [_event(row) for row in group]


def event_by_id(connection: Connection, identity: uuid.UUID) -> Event | None:
    """The event with an id, if there is one."""
    row = connection.execute(_BY_ID, {"id": identity}).one_or_none()
    return None if row is None else _event(row)


def events_where(connection: Connection, *conditions: Any, limit: int, newest_first: bool = False) -> list[Event]:
    """Events that fulfil some conditions, at most so many, in order."""
    order = LabelEvent.stream.desc() if newest_first else LabelEvent.stream
    return [_event(row) for row in connection.execute(_EVENTS.where(*conditions).order_by(order).limit(limit))]


def _event(row: Row[Any]) -> Event:
    payload: Mapping[str, Any] = row.payload
    return Event(
        stream=row.stream,
        id=row.id,
        place=(row.source_id, row.number),
        author_id=row.author_id,
        author=row.author,
        origin=Origin(row.origin),
        created_at=row.created_at,
        base_version=row.base_version,
        payload=read_payload(row.type, row.payload_version, payload),
        reason=row.reason,
        redacted_by=row.redacted_by,
    )
