"""An atlas becomes label events: at every start, whatever of it is new.

Compared with what stands, not with what was once loaded, so that a second load adds nothing and a file that has changed
brings its changes: an event for each feature that it names anew or otherwise, one that withdraws for each that it no
longer names. What people wrote is not touched.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from mfn_core.errors import ConfigError
from mfn_server.atlas.file import Atlas, AtlasEntry, read_atlas
from mfn_server.db.search import add_to_search, remove_from_search
from mfn_server.db.session import Database
from mfn_server.db.tables import Counter, Label, LabelEvent, Origin, Source
from mfn_server.features.labelling import PROPOSE, STREAM
from mfn_server.model_facts import ModelFacts

logger = logging.getLogger(__name__)

AUTHOR = "atlas"
WITHDRAW = "withdraw"
PAYLOAD_VERSION = 2
"""What version 1 of a proposal holds (`text`), and `confidence` and `unclear`. What was seen is the event's reason."""

_AT_ONCE = 5_000  # ids in one statement; SQLite allows some 32,000 parameters

Place = tuple[int, int]
"""A feature: its source's row and its number."""


class Said(NamedTuple):
    """What an atlas says of one feature."""

    text: str
    seen: str
    confidence: str | None
    unclear: bool


class Loaded(NamedTuple):
    """What loading has changed: features with a new or another entry, and features that lost theirs."""

    written: int
    withdrawn: int


def load_atlas(database: Database, model_id: int, facts: ModelFacts, path: Path) -> Loaded | None:
    """Bring the labels of an atlas into the database, in one transaction.

    A file that cannot be used takes nothing away from the model: the log says why, and the answer is None.
    """
    try:
        atlas = read_atlas(path)
        if atlas.header.model != facts.fingerprint:
            logger.warning(
                "%s is the atlas of another model (%.12s) than %s (%.12s): its labels are not loaded",
                *(path, atlas.header.model, facts.name, facts.fingerprint),
            )
            return None
        atlas.check({source.layer: source.n_features for source in facts.sources})
    except ConfigError as error:
        logger.warning("no automatic labels loaded: %s", error)
        return None
    with database.write() as connection:
        loaded = install_atlas(connection, model_id, facts, atlas)
    if any(loaded):
        logger.info("%s: %d automatic labels written, %d withdrawn", path, *loaded)
    return loaded


def install_atlas(connection: Connection, model_id: int, facts: ModelFacts, atlas: Atlas) -> Loaded:
    """Record what an atlas of this model says that does not stand yet. Needs a write transaction."""
    # the lock that every label event takes: nobody writes between what is read here and what follows from it
    connection.execute(select(Counter).where(Counter.name == STREAM).with_for_update())
    rows = connection.execute(select(Source.key, Source.id).where(Source.model_id == model_id))
    ids = {row.key: row.id for row in rows}
    source_of = {source.layer: ids[source.key] for source in facts.sources}
    wanted = {(source_of[entry.layer], entry.feature): _said(entry) for entry in atlas.entries.values()}
    standing = _standing(connection, source_of.values())
    written = {place: said for place, said in wanted.items() if place not in standing or standing[place][1] != said}
    withdrawn = [place for place in standing if place not in wanted]
    _remove(connection, [standing[place][0] for place in (*written, *withdrawn) if place in standing])
    _append(connection, WITHDRAW, dict.fromkeys(withdrawn, Said("", "the atlas no longer names it", None, False)))
    proposals = _append(connection, PROPOSE, written)
    _project(connection, proposals, _named_by_people(connection, source_of.values()))
    return Loaded(len(written), len(withdrawn))


def _said(entry: AtlasEntry) -> Said:
    return Said(entry.label, entry.seen, entry.confidence, entry.unclear)


def _standing(connection: Connection, sources: Collection[int]) -> dict[Place, tuple[int, Said]]:
    """The automatic labels that stand: their rows, and what they say."""
    statement = (
        select(Label.id, Label.source_id, Label.number, Label.text, LabelEvent.reason, LabelEvent.payload)
        .join(LabelEvent, LabelEvent.stream == Label.stream)
        .where(Label.origin == Origin.AUTOMATIC, Label.source_id.in_(sources))
    )
    return {
        (row.source_id, row.number): (
            row.id,
            Said(row.text, row.reason or "", row.payload.get("confidence"), row.payload.get("unclear", False)),
        )
        for row in connection.execute(statement)
    }


def _named_by_people(connection: Connection, sources: Collection[int]) -> set[Place]:
    statement = select(Label.source_id, Label.number).where(
        Label.origin == Origin.HUMAN, Label.is_primary, Label.source_id.in_(sources)
    )
    return {(row.source_id, row.number) for row in connection.execute(statement)}


def _remove(connection: Connection, labels: Sequence[int]) -> None:
    """Take labels out of the projection and the search; their events stay."""
    for begin in range(0, len(labels), _AT_ONCE):
        connection.execute(delete(Label).where(Label.id.in_(labels[begin : begin + _AT_ONCE])))
    for first, last in _runs(labels):
        remove_from_search(connection, "label_search", first, last)


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Whole numbers as stretches without gaps.

    >>> _runs([4, 1, 2, 7, 3])
    [(1, 4), (7, 7)]
    """
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _append(connection: Connection, kind: str, said: Mapping[Place, Said]) -> list[dict[str, Any]]:
    """Append an event for each feature, in order. Returns the rows."""
    if not said:
        return []
    last = connection.scalar(
        update(Counter).where(Counter.name == STREAM).values(value=Counter.value + len(said)).returning(Counter.value)
    )
    assert last is not None, "the first migration makes the counter"
    now = datetime.now(UTC)
    events: list[dict[str, Any]] = [
        {
            "stream": stream,
            "id": uuid.uuid4(),
            "type": kind,
            "source_id": source_id,
            "number": number,
            "author": AUTHOR,
            "origin": Origin.AUTOMATIC,
            "created_at": now,
            "payload": {"text": what.text, "confidence": what.confidence, "unclear": what.unclear},
            "payload_version": PAYLOAD_VERSION,
            "reason": what.seen,
        }
        for stream, ((source_id, number), what) in enumerate(said.items(), last - len(said) + 1)
    ]
    connection.execute(insert(LabelEvent), events)
    return events


def _project(connection: Connection, events: Sequence[Mapping[str, Any]], taken: Collection[Place]) -> None:
    """Labels for reading and for search, out of proposals; not the ones to show where people have `taken` a feature."""
    if not events:
        return
    same = ("stream", "source_id", "number", "author", "origin", "created_at")
    labels = [
        {
            **{name: event[name] for name in same},
            "text": event["payload"]["text"],
            "is_primary": not event["payload"]["unclear"] and (event["source_id"], event["number"]) not in taken,
        }
        for event in events
    ]
    connection.execute(insert(Label), labels)
    streams = Label.stream.between(events[0]["stream"], events[-1]["stream"])
    named = connection.execute(select(Label.id, Label.text).where(streams, Label.text != ""))
    add_to_search(connection, "label_search", [(row.id, row.text) for row in named])
