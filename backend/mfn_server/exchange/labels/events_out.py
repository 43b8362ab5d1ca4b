"""Every event on a model's features as lines, page by page: neither the log nor a snapshot is held for long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, func, select

from mfn_server.campaigns.blind import Hidden
from mfn_server.campaigns.withheld import withheld_from_files
from mfn_server.collecting.events import CollectionEntry, key_of, redacted
from mfn_server.collecting.log import all_collections, source_ids
from mfn_server.db.installation import installation_id
from mfn_server.db.session import Database
from mfn_server.db.tables import LabelEvent, Model, Source
from mfn_server.exchange.labels.lines import (
    CollectionLine,
    EndLine,
    EventLine,
    HeaderLine,
    ModelLine,
    SourceLine,
    named_events,
)
from mfn_server.labels.log import Event, events_where

AT_ONCE = 500
"""Events that are read in one snapshot."""


def export_lines(database: Database, model_id: int) -> Iterator[str]:
    """The file, line by line; what is hidden in blind campaigns is left out.

    The log only grows, so that a page read later fits those before. A feature that was hidden when the export began
    stays out of it to the end, or its later events would name some that are not in the file.
    """
    with database.snapshot() as connection:
        hidden = withheld_from_files(connection)
        header, last = _header(connection, model_id, hidden)
        keys = {id: key for key, id in source_ids(connection, model_id).items()}
        collections = [
            line
            for entries in all_collections(connection, model_id)
            for line in _collection_lines(entries, hidden, keys)
        ]
    yield header.model_dump_json() + "\n"
    after = count = 0
    while after < last:
        with database.snapshot() as connection:
            hidden = Hidden("", hidden.places | withheld_from_files(connection).places)
            behind = (LabelEvent.stream > after, LabelEvent.stream <= last, LabelEvent.source_id.in_(keys))
            page = events_where(connection, *behind, limit=AT_ONCE)
            lines = _event_lines(connection, hidden.seen(page), keys)
        yield from (line.model_dump_json() + "\n" for line in lines)
        count += len(lines)
        if len(page) < AT_ONCE:
            break
        after = page[-1].stream
    yield from (line.model_dump_json() + "\n" for line in collections)
    yield EndLine(events=count, collection_events=len(collections)).model_dump_json() + "\n"


def _header(connection: Connection, model_id: int, hidden: Hidden) -> tuple[HeaderLine, int]:
    """The header, and the last event that the file will have."""
    model = connection.execute(select(Model.name, Model.fingerprint).where(Model.id == model_id)).one()
    rows = connection.execute(
        select(Source).where(Source.model_id == model_id).order_by(Source.layer, Source.key)
    ).all()
    last = connection.scalar(
        select(func.max(LabelEvent.stream)).where(LabelEvent.source_id.in_([row.id for row in rows]))
    )
    fields = ("key", "kind", "site", "layer", "weights_hash", "n_features")
    header = HeaderLine(
        origin=installation_id(connection),
        exported_at=datetime.now(UTC),
        model=ModelLine(name=model.name, fingerprint=model.fingerprint),
        sources=[SourceLine(**{name: getattr(row, name) for name in fields}) for row in rows],
        withheld=len({place for place in hidden.places if place[0] in {row.id for row in rows}}),
    )
    return header, last or 0


def _event_lines(connection: Connection, events: Sequence[Event], keys: Mapping[int, str]) -> list[EventLine]:
    named = {stream for event in events for _, stream in named_events(event.payload.kept())}
    ids = _ids(connection, named)
    bases = _bases(connection, events)
    return [
        EventLine(
            id=event.id,
            source=keys[event.place[0]],
            index=event.place[1],
            kind=event.kind,
            version=event.payload.VERSION,
            payload=_with_ids(event, ids),
            author_id=event.author_id,
            author=event.author,
            origin=event.origin,
            created_at=event.created_at,
            base=None if event.base_version is None else bases.get(event.stream, "none"),
            reason=event.reason,
            redacted=event.redacted_by is not None,
        )
        for event in events
    ]


def _with_ids(event: Event, ids: Mapping[int, UUID]) -> dict[str, object]:
    kept = event.payload.kept()
    return kept | {name: str(ids[stream]) for name, stream in named_events(kept)}


def _ids(connection: Connection, streams: set[int]) -> dict[int, UUID]:
    rows = connection.execute(select(LabelEvent.stream, LabelEvent.id).where(LabelEvent.stream.in_(sorted(streams))))
    return {row.stream: row.id for row in rows}


def _bases(connection: Connection, events: Sequence[Event]) -> dict[int, UUID]:
    """For each event (by number) that has one, the last event on its feature up to the version that it rests on."""
    wanted = {event.stream: (event.place, event.base_version) for event in events if event.base_version}
    asked = sorted({base for _, base in wanted.values() if base is not None})
    columns = (LabelEvent.stream, LabelEvent.id, LabelEvent.source_id, LabelEvent.number)
    rows = connection.execute(select(*columns).where(LabelEvent.stream.in_(asked)))
    exactly = {((row.source_id, row.number), row.stream): row.id for row in rows}
    found: dict[int, UUID] = {}
    for stream, (place, base) in wanted.items():
        id = exactly.get((place, base))
        if id is None:  # the version of a whole list, say, whose last event was on another feature
            here = (LabelEvent.source_id == place[0], LabelEvent.number == place[1], LabelEvent.stream <= base)
            id = connection.scalar(select(LabelEvent.id).where(*here).order_by(LabelEvent.stream.desc()).limit(1))
        if id is not None:
            found[stream] = id
    return found


def _collection_lines(
    entries: Sequence[CollectionEntry], hidden: Hidden, keys: Mapping[int, str]
) -> Iterator[CollectionLine]:
    """The events of one collection, up to the first that is about a hidden feature; later ones may rest on that."""
    ids = {entry.stream: entry.id for entry in entries}
    wordless = redacted(entries)
    names = {(keys[source_id], number) for source_id, number in hidden.places if source_id in keys}
    for entry in entries:
        if any(key_of(feature) in names for feature in entry.deed.features()):
            return
        kept = entry.deed.kept()
        yield CollectionLine(
            id=entry.id,
            collection=entry.collection_id,
            kind=entry.deed.kind,
            version=entry.deed.VERSION,
            payload=kept | {name: str(ids[stream]) for name, stream in named_events(kept)},
            author_id=entry.author_id,
            author=entry.author,
            created_at=entry.created_at,
            redacted=entry.stream in wordless,
        )
