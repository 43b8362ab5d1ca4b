"""Labels that programs wrote: recorded as events like people's, marked, and shown only where no person wrote one."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.orm import aliased

from mfn_server.db.search import add_to_search, remove_from_search
from mfn_server.db.tables import Counter, Label, LabelEvent, Origin
from mfn_server.features.labelling import STREAM

_AT_ONCE = 5_000  # ids in one statement; SQLite allows some 32,000 parameters


@dataclass(frozen=True)
class Statement:
    """What a program says of one feature, in the event's own fields. `payload` has the text, too."""

    source_id: int
    number: int
    author: str
    payload: Mapping[str, Any]
    reason: str | None


def lock_events(connection: Connection) -> None:
    """Keep everyone else from adding label events until the transaction is over.

    Then nobody writes between what is read from here on and what follows from it.
    """
    connection.execute(select(Counter).where(Counter.name == STREAM).with_for_update())


def append_events(
    connection: Connection, kind: str, version: int, statements: Sequence[Statement]
) -> list[dict[str, Any]]:
    """Append an event for each statement, in order. Returns the rows."""
    if not statements:
        return []
    count = len(statements)
    last = connection.scalar(
        update(Counter).where(Counter.name == STREAM).values(value=Counter.value + count).returning(Counter.value)
    )
    assert last is not None, "the first migration makes the counter"
    now = datetime.now(UTC)
    events: list[dict[str, Any]] = [
        {
            "stream": stream,
            "id": uuid.uuid4(),
            "type": kind,
            "source_id": statement.source_id,
            "number": statement.number,
            "author": statement.author,
            "origin": Origin.AUTOMATIC,
            "created_at": now,
            "payload": dict(statement.payload),
            "payload_version": version,
            "reason": statement.reason,
        }
        for stream, statement in enumerate(statements, last - count + 1)
    ]
    connection.execute(insert(LabelEvent), events)
    return events


def project_labels(connection: Connection, events: Sequence[Mapping[str, Any]]) -> None:
    """Labels for reading and for search, out of proposals. None is the one to show before `choose_labels`."""
    if not events:
        return
    same = ("stream", "source_id", "number", "author", "origin", "created_at")
    labels = [
        {**{name: event[name] for name in same}, "text": event["payload"]["text"], "is_primary": False}
        for event in events
    ]
    connection.execute(insert(Label), labels)
    streams = Label.stream.between(events[0]["stream"], events[-1]["stream"])
    named = connection.execute(select(Label.id, Label.text).where(streams, Label.text != ""))
    add_to_search(connection, "label_search", [(row.id, row.text) for row in named])


def remove_labels(connection: Connection, labels: Sequence[int]) -> None:
    """Take labels out of the projection and the search; their events stay."""
    for begin in range(0, len(labels), _AT_ONCE):
        connection.execute(delete(Label).where(Label.id.in_(labels[begin : begin + _AT_ONCE])))
    for first, last in runs_of(labels):
        remove_from_search(connection, "label_search", first, last)


def choose_labels(connection: Connection, sources: Collection[int]) -> None:
    """Of each feature's automatic labels, show the last that has a text; none where a person has named the feature."""
    above = aliased(Label)
    better = (
        select(above.id)
        .where(
            above.source_id == Label.source_id,
            above.number == Label.number,
            or_(above.origin == Origin.HUMAN, (above.text != "") & (above.stream > Label.stream)),
        )
        .correlate(Label)
        .exists()
    )
    mine = (Label.origin == Origin.AUTOMATIC, Label.source_id.in_(sources))
    connection.execute(update(Label).where(*mine).values(is_primary=(Label.text != "") & ~better))


def runs_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Whole numbers as stretches without gaps.

    >>> runs_of([4, 1, 2, 7, 3])
    [(1, 4), (7, 7)]
    """
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
