"""Takes the collections of a file in, after its labels: each event once, and what people here made is left as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection

from mfn_server.collecting.events import (
    CollectionEntry,
    CollectionPayload,
    Make,
    Redact,
    read_deed,
    redacted,
)
from mfn_server.collecting.log import (
    add_entry,
    entries_of,
    entry_by_id,
    lock_collections,
    project_collection,
    redact_entry,
)
from mfn_server.exchange.labels.lines import CollectionLine, named_events
from mfn_server.exchange.labels.people import People, is_imported
from mfn_server.exchange.labels.report import Tally
from mfn_server.logged import PayloadError


@dataclass
class CollectionImport:
    """One import, in a write transaction. Give it lines, then `finish`. `sources`: see `events_in.our_sources`."""

    connection: Connection
    model_id: int
    sources: Mapping[str, tuple[int, str, int]]
    people: People
    tally: Tally
    _changed: set[UUID] = field(default_factory=set)
    _skipped: set[UUID] = field(default_factory=set)
    _theirs: dict[UUID, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lock_collections(self.connection)

    def take(self, number: int, line: CollectionLine) -> None:
        """Take in a line."""
        self.tally.collection_events += 1
        deed = self._deed(number, line)
        if deed is None:
            self._skipped.add(line.id)
            return
        earlier = entry_by_id(self.connection, line.id)
        if earlier is not None:
            if not self._same(earlier, line, deed):
                message = f"event {line.id} is here already and says something else"
                self.tally.problem(number, message, "it was changed in the file, or here; nothing here is written over")
            return
        if not self._is_theirs(line.collection, deed):
            self._skipped.add(line.id)
            self.tally.leave_out(number, "changes_what_was_said_here")
            return
        who = self.people.meet(line.author_id, line.author)
        add_entry(
            self.connection,
            CollectionEntry(
                0, line.id, line.collection, self.model_id, who.becomes, who.becomes_name, line.created_at, deed
            ),
        )
        if isinstance(deed, Redact):
            self._redact(line.collection, deed.target)
        self._changed.add(line.collection)
        self.tally.new_collection_events += 1

    def finish(self) -> None:
        """Write what follows from what was taken in."""
        for collection in sorted(self._changed):
            project_collection(self.connection, collection)

    def _same(self, here: CollectionEntry, line: CollectionLine, deed: CollectionPayload) -> bool:
        """An event that is here already says the same; what was redacted, on either side, is not compared."""
        was = here.deed
        if line.redacted or here.stream in redacted(entries_of(self.connection, here.collection_id)):
            was, deed = was.without_words(), deed.without_words()
        return (here.collection_id, was) == (line.collection, deed)

    def _redact(self, collection: UUID, stream: int) -> None:
        (target,) = (each for each in entries_of(self.connection, collection) if each.stream == stream)
        redact_entry(self.connection, target)

    def _is_theirs(self, collection: UUID, deed: CollectionPayload) -> bool:
        """Whether a collection is the file's to change: it begins there, or came from there before."""
        if collection not in self._theirs:
            entries = entries_of(self.connection, collection)
            here = bool(entries) and not is_imported(entries[0].author_id)
            self._theirs[collection] = not here and (bool(entries) or isinstance(deed, Make))
        return self._theirs[collection]

    def _deed(self, number: int, line: CollectionLine) -> CollectionPayload | None:
        kept: dict[str, Any] = {**line.payload}
        for name, value in named_events(line.payload):
            target = next(
                (each for each in entries_of(self.connection, line.collection) if str(each.id) == value), None
            )
            if target is None:
                if value in {str(id) for id in self._skipped}:
                    self.tally.leave_out(number, "rests_on_left_out")
                else:
                    said = f"{name}: there is no event {value!r} on this collection before this line"
                    self.tally.problem(number, said, "import the file whole, in its order")
                return None
            kept[name] = target.stream
        try:
            deed = read_deed(line.kind, line.version, kept)
        except PayloadError as error:
            self.tally.problem(number, str(error), "update MFN Studio here first")
            return None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "payload"
            self.tally.problem(
                number, f"{where}: {first['msg'].removeprefix('Value error, ')}", "correct it, or leave it out"
            )
            return None
        for feature in deed.features():
            source = self.sources.get(feature.source)
            if source is None or feature.index >= source[2]:
                said = f"there is no feature {feature.source}:{feature.index} here"
                self.tally.problem(number, said, "is the file of this model? Leave the line out")
                return None
            feature.source = source[1]
        return deed
