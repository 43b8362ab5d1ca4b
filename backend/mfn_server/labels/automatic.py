"""What programs say about features: many events at once, recorded like people's, marked, and never above theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from mfn_server.db.tables import Origin
from mfn_server.labels.fold import fold
from mfn_server.labels.log import Event, Place, append_events, events_by_place, new_event
from mfn_server.labels.payloads import StoredPropose, Withdraw, read_payload
from mfn_server.labels.projections import project


@dataclass(frozen=True)
class Statement:
    """What a program says of one feature. `payload` has the fields of `StoredPropose`; None takes back what it said."""

    place: Place
    author: str
    payload: Mapping[str, Any] | None
    reason: str | None


def record_statements(connection: Connection, statements: Sequence[Statement]) -> list[Event]:
    """Add what a program says to the log, which must be locked, and to what follows from it."""
    if not statements:
        return []
    places = [statement.place for statement in statements]
    before = events_by_place(connection, places)
    added = append_events(connection, [_event(statement) for statement in statements])
    after = {place: list(events) for place, events in before.items()}
    for event in added:
        after[event.place].append(event)
    project(connection, ((place, fold(before[place]), fold(after[place])) for place in before))
    return added


def _event(statement: Statement) -> Event:
    kind, version = ("withdraw", Withdraw.VERSION) if statement.payload is None else ("propose", StoredPropose.VERSION)
    payload = read_payload(kind, version, statement.payload or {})
    author_id = f"program:{statement.author}"
    return new_event(
        statement.place, payload, author_id, statement.author, origin=Origin.AUTOMATIC, reason=statement.reason
    )
