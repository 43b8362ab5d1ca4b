"""The log of collections, numbered in the order of commits as that of labels is, and the tables that follow from it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mfn_server.access.roles import Person
from mfn_server.collecting.events import CollectionEntry, CollectionPayload, CollectionState, fold_collection, read_deed
from mfn_server.db.collection_tables import CollectionEvent, CollectionItem, FeatureCollection
from mfn_server.db.counters import lock_counter, take_numbers
from mfn_server.db.tables import Source, Table

COLLECTIONS = "collection_event"
"""The counter that numbers the log."""

Row = dict[str, Any]


def lock_collections(connection: Connection) -> int:
    """Keep everyone else from adding events until the transaction is over. Gives the number of the last one."""
    return lock_counter(connection, COLLECTIONS)


def entries_of(connection: Connection, collection_id: uuid.UUID) -> list[CollectionEntry]:
    """What was done to a collection, in order."""
    rows = connection.execute(
        select(CollectionEvent).where(CollectionEvent.collection_id == collection_id).order_by(CollectionEvent.stream)
    )
    return [_entry(row) for row in rows]


def all_collections(connection: Connection, model_id: int) -> Iterator[list[CollectionEntry]]:
    """Everything that was done to each collection of a model."""
    of_model = select(CollectionEvent).where(CollectionEvent.model_id == model_id)
    rows = connection.execute(of_model.order_by(CollectionEvent.collection_id, CollectionEvent.stream))
    for _, group in groupby(rows, lambda row: row.collection_id):
        yield [_entry(row) for row in group]


def entry_by_id(connection: Connection, identity: uuid.UUID) -> CollectionEntry | None:
    """The event with an id, if there is one."""
    row = connection.execute(select(CollectionEvent).where(CollectionEvent.id == identity)).one_or_none()
    return None if row is None else _entry(row)


def append_entry(
    connection: Connection,
    model_id: int,
    collection_id: uuid.UUID,
    person: Person,
    identity: uuid.UUID,
    deed: CollectionPayload,
) -> CollectionEntry:
    """Add an event to the log, which must be locked, and write what follows from it."""
    now = datetime.now(UTC)
    entry = add_entry(
        connection, CollectionEntry(0, identity, collection_id, model_id, person.id, person.name, now, deed)
    )
    project_collection(connection, collection_id)
    return entry


def add_entry(connection: Connection, entry: CollectionEntry) -> CollectionEntry:
    """Add an event to the log, which must be locked; whatever number it has, it gets the next one.

    `project_collection` has to follow in the same transaction.
    """
    stream = take_numbers(connection, COLLECTIONS)
    connection.execute(
        insert(CollectionEvent).values(
            stream=stream,
            id=entry.id,
            collection_id=entry.collection_id,
            model_id=entry.model_id,
            type=entry.deed.kind,
            author_id=entry.author_id,
            author=entry.author,
            created_at=entry.created_at,
            payload=entry.deed.kept(),
            payload_version=entry.deed.VERSION,
        )
    )
    return replace(entry, stream=stream)


def redact_entry(connection: Connection, target: CollectionEntry) -> None:
    """Take the words out of an event of the log: the one change ever made to it. `project_collection` must follow."""
    without = target.deed.without_words().kept()
    connection.execute(update(CollectionEvent).where(CollectionEvent.stream == target.stream).values(payload=without))


def source_ids(connection: Connection, model_id: int) -> dict[str, int]:
    """Rows of a model's sources by key."""
    rows = connection.execute(select(Source.key, Source.id).where(Source.model_id == model_id))
    return {row.key: row.id for row in rows}


def collection_rows(connection: Connection, state: CollectionState) -> dict[type[Table], list[Row]]:
    """The rows of a collection, as a function of its state; sources are looked up by key."""
    made, changed = state.made, state.changed
    sources = source_ids(connection, made.model_id)
    collection = {
        "id": made.collection_id,
        "model_id": made.model_id,
        "version": state.version,
        "name": state.name,
        "description": state.description,
        "n_items": len(state.items),
        "author_id": made.author_id,
        "author": made.author,
        "created_at": made.created_at,
        "changed_by_id": changed.author_id,
        "changed_by": changed.author,
        "changed_at": changed.created_at,
        "is_deleted": state.deleted is not None,
    }
    items = [
        {
            "collection_id": made.collection_id,
            "source_id": sources[source],
            "number": index,
            "position": position,
            "note": item.note,
        }
        for position, ((source, index), item) in enumerate(state.items.items())
    ]
    return {FeatureCollection: [collection], CollectionItem: items}


def project_collection(connection: Connection, collection_id: uuid.UUID) -> None:
    """Write what follows from all events of a collection, as far as it is not what stands there."""
    state = fold_collection(entries_of(connection, collection_id))
    assert state is not None
    rows = collection_rows(connection, state)
    (collection,) = rows[FeatureCollection]
    changed = {"_id": collection_id, **{k: v for k, v in collection.items() if k != "id"}}
    if connection.execute(_UPDATE, changed).rowcount == 0:
        connection.execute(insert(FeatureCollection).values(collection))
    found = {(row["source_id"], row["number"]): row for row in _items(connection, collection_id)}
    wanted = {(row["source_id"], row["number"]): row for row in rows[CollectionItem]}
    gone = [{"_source": source_id, "_number": number} for source_id, number in found.keys() - wanted.keys()]
    new = [row for key, row in wanted.items() if key not in found]
    other = [row for key, row in wanted.items() if key in found and found[key] != row]
    if gone:
        connection.execute(_REMOVE, [{"_id": collection_id, **key} for key in gone])
    if other:
        renamed = [
            {"_id": collection_id, "_source": row["source_id"], "_number": row["number"], "p": row["position"]}
            | {"n": row["note"]}
            for row in other
        ]
        connection.execute(_CHANGE, renamed)
    if new:
        connection.execute(insert(CollectionItem), new)


_UPDATE = (
    update(FeatureCollection)
    .where(FeatureCollection.id == bindparam("_id"))
    .values({c.name: bindparam(c.name) for c in FeatureCollection.__table__.columns if c.name != "id"})
)
_HERE = (
    CollectionItem.collection_id == bindparam("_id"),
    CollectionItem.source_id == bindparam("_source"),
    CollectionItem.number == bindparam("_number"),
)
_REMOVE = delete(CollectionItem).where(*_HERE)
_CHANGE = update(CollectionItem).where(*_HERE).values(position=bindparam("p"), note=bindparam("n"))


def _items(connection: Connection, collection_id: uuid.UUID) -> list[Row]:
    of_collection = select(CollectionItem.__table__).where(CollectionItem.collection_id == collection_id)
    return [dict(row._mapping) for row in connection.execute(of_collection.order_by(CollectionItem.position))]


class CollectionDifference(NamedTuple):
    """Rows of a collection in one table that are not what its log says: as they are, and as they should be."""

    collection_id: uuid.UUID
    table: str
    found: list[Row]
    expected: list[Row]


def collection_differences(connection: Connection) -> list[CollectionDifference]:
    """Where the tables of collections are not what follows from the log. Read in a snapshot."""
    known = set(connection.scalars(select(CollectionEvent.collection_id).distinct()))
    out = []
    for collection_id in sorted(known | set(connection.scalars(select(FeatureCollection.id)))):
        state = fold_collection(entries_of(connection, collection_id))
        expected = {} if state is None else collection_rows(connection, state)
        itself = select(FeatureCollection.__table__).where(FeatureCollection.id == collection_id)
        found = {
            FeatureCollection: [dict(row._mapping) for row in connection.execute(itself)],
            CollectionItem: _items(connection, collection_id),
        }
        for table, rows in found.items():
            if rows != expected.get(table, []):
                difference = CollectionDifference(collection_id, table.__tablename__, rows, expected.get(table, []))
                out.append(difference)
    return out


def _entry(row: Any) -> CollectionEntry:
    return CollectionEntry(
        stream=row.stream,
        id=row.id,
        collection_id=row.collection_id,
        model_id=row.model_id,
        author_id=row.author_id,
        author=row.author,
        created_at=row.created_at,
        deed=read_deed(row.type, row.payload_version, row.payload),
    )
