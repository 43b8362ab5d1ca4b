"""What can be done to a collection: one class a kind of event, and what follows from them in order.

As with labels, an event that was undone counts as if it had not been, and one that is about something no longer there
has no effect: any sequence of events has a meaning, and nothing that anybody wrote is ever removed from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field

from mfn_server.campaigns.blind import Hidden
from mfn_server.labels.payloads import FeatureName, Line, Prose, Target
from mfn_server.logged import LoggedPayload, kind_of
from mfn_server.schemas import Text

MOST_ITEMS = 2_000
"""Of one collection: it is read, put in order and written about by people."""

Name = Annotated[Line, Field(max_length=200)]
Description = Annotated[Prose, Field(max_length=5000)]
Note = Annotated[Prose, Field(max_length=2000)]

REDACTED = "(redacted)"
"""Stands for a name that an admin took out: a collection is never without one."""

Key = tuple[str, int]
"""A feature: its source's key and its number."""


class CollectionPayload(LoggedPayload):
    """What all kinds share."""

    def features(self) -> list[FeatureName]:
        """The features that it is about."""
        return []

    def without_words(self) -> Self:
        """What is left of it once its words were taken out."""
        return self


class Entry(FeatureName):
    """A feature that is put into a collection, and why."""

    note: Note | None = None


class Make(CollectionPayload):
    """A collection begins, empty or not."""

    kind: Literal["make"] = "make"
    name: Name
    description: Description | None = None
    items: list[Entry] = Field(default_factory=list, max_length=MOST_ITEMS)

    def features(self) -> list[FeatureName]:
        """Those that it begins with."""
        return [*self.items]

    def without_words(self) -> Self:
        """The features alone."""
        return self.model_copy(update={"name": REDACTED, "description": None, "items": _unnoted(self.items)})


class Describe(CollectionPayload):
    """Another name and description, both as they are to be."""

    kind: Literal["describe"] = "describe"
    name: Name
    description: Description | None = None

    def without_words(self) -> Self:
        """That there was another name."""
        return self.model_copy(update={"name": REDACTED, "description": None})


class Add(CollectionPayload):
    """Features are put at the end. One that is there already stays where it is; a note goes below the one it has."""

    kind: Literal["add"] = "add"
    items: list[Entry] = Field(min_length=1, max_length=MOST_ITEMS)

    def features(self) -> list[FeatureName]:
        """Those that are put in."""
        return [*self.items]

    def without_words(self) -> Self:
        """The features alone."""
        return self.model_copy(update={"items": _unnoted(self.items)})


class Remove(CollectionPayload):
    """Features are taken out, with their notes. The history keeps both."""

    kind: Literal["remove"] = "remove"
    items: list[FeatureName] = Field(min_length=1, max_length=MOST_ITEMS)

    def features(self) -> list[FeatureName]:
        """Those that are taken out."""
        return self.items


class Annotate(CollectionPayload):
    """Another note on a feature, or none."""

    kind: Literal["note"] = "note"
    item: FeatureName
    note: Note | None = None

    def features(self) -> list[FeatureName]:
        """The one that the note is on."""
        return [self.item]

    def without_words(self) -> Self:
        """That there was another note."""
        return self.model_copy(update={"note": None})


class Move(CollectionPayload):
    """A feature is put before another one, or at the end."""

    kind: Literal["move"] = "move"
    item: FeatureName
    before: FeatureName | None = None

    def features(self) -> list[FeatureName]:
        """The one that is moved, and the one that it is put before."""
        return [self.item] if self.before is None else [self.item, self.before]


class Delete(CollectionPayload):
    """The collection is no longer shown. Its history stays, and an undo brings it back."""

    kind: Literal["delete"] = "delete"


class Undo(CollectionPayload):
    """Everything as if an event had not been. An undo can be undone."""

    kind: Literal["undo"] = "undo"
    target: Target


class Redact(CollectionPayload):
    """An admin takes the words out of an event for good: name, description and notes. The rest of it stays."""

    kind: Literal["redact"] = "redact"
    target: Target


class StoredRedact(Redact):
    """A redaction as the log has it: with its reason, which the first version did not ask for."""

    VERSION: ClassVar[int] = 2

    reason: Text | None = None

    def without_words(self) -> Self:
        """That words were taken out."""
        return self.model_copy(update={"reason": None})


def _unnoted(items: Sequence[Entry]) -> list[Entry]:
    return [item.model_copy(update={"note": None}) for item in items]


Deed = Annotated[Describe | Add | Remove | Annotate | Move | Delete | Undo, Field(discriminator="kind")]
"""What may be done to a collection that is there."""

_KINDS: Mapping[str, type[CollectionPayload]] = {
    str(kind.model_fields["kind"].default): kind
    for kind in (Make, Describe, Add, Remove, Annotate, Move, Delete, Undo, StoredRedact)
}


def read_deed(kind: str, version: int, payload: Mapping[str, Any]) -> CollectionPayload:
    """A payload of the log.

    Raises:
        PayloadError: a newer version of the app wrote it.
    """
    return kind_of(_KINDS, "collection", kind, version).model_validate(payload)


@dataclass(frozen=True)
class CollectionEntry:
    """One event as the log of collections has it."""

    stream: int
    id: UUID
    collection_id: UUID
    model_id: int
    author_id: str
    author: str
    created_at: datetime
    deed: CollectionPayload


@dataclass(frozen=True)
class ItemState:
    """A feature of a collection. `noted` is the event that its present note is from."""

    note: str | None
    added: CollectionEntry
    noted: CollectionEntry | None


@dataclass
class CollectionState:
    """A collection as it stands. Items are in order."""

    version: int
    made: CollectionEntry
    changed: CollectionEntry
    name: str
    description: str | None
    items: dict[Key, ItemState] = field(default_factory=dict)
    deleted: CollectionEntry | None = None


def undone(entries: Sequence[CollectionEntry]) -> dict[int, int]:
    """Which events of a collection are undone, and by which. An undo that is itself undone undoes nothing."""
    out: dict[int, int] = {}
    for entry in reversed(entries):  # what undoes is later than what it undoes
        if isinstance(entry.deed, Undo) and entry.stream not in out and entry.deed.target < entry.stream:
            out.setdefault(entry.deed.target, entry.stream)
    return out


def redacted(entries: Sequence[CollectionEntry]) -> dict[int, int]:
    """Which events of a collection have had their words taken out, and by which."""
    return {entry.deed.target: entry.stream for entry in entries if isinstance(entry.deed, Redact)}


def fold_collection(entries: Sequence[CollectionEntry]) -> CollectionState | None:
    """What follows from all events of one collection up to some moment, in order; None without any."""
    state: CollectionState | None = None
    gone = undone(entries)
    for entry in entries:
        if isinstance(entry.deed, Make):
            state = CollectionState(entry.stream, entry, entry, entry.deed.name, entry.deed.description)
            _put(state, entry, entry.deed.items)
            continue
        assert state is not None, "a collection's first event makes it"
        if entry.stream not in gone:
            _step(state, entry)
        state.version, state.changed = entry.stream, entry
    return state


def _step(state: CollectionState, entry: CollectionEntry) -> None:
    deed = entry.deed
    if isinstance(deed, Describe):
        state.name, state.description = deed.name, deed.description
    elif isinstance(deed, Add):
        _put(state, entry, deed.items)
    elif isinstance(deed, Remove):
        for item in deed.items:
            state.items.pop(key_of(item), None)
    elif isinstance(deed, Annotate) and key_of(deed.item) in state.items:
        key = key_of(deed.item)
        state.items[key] = replace(state.items[key], note=deed.note, noted=entry if deed.note else None)
    elif isinstance(deed, Move) and key_of(deed.item) in state.items:
        _move(state, key_of(deed.item), None if deed.before is None else key_of(deed.before))
    elif isinstance(deed, Delete):
        state.deleted = entry


def _put(state: CollectionState, entry: CollectionEntry, items: Iterable[Entry]) -> None:
    for item in items:
        there = state.items.get(key_of(item))
        if there is None:
            state.items[key_of(item)] = ItemState(item.note, entry, entry if item.note else None)
        elif item.note and item.note not in (there.note or "").split("\n\n"):
            both = f"{there.note}\n\n{item.note}" if there.note else item.note
            state.items[key_of(item)] = replace(there, note=both, noted=entry)


def _move(state: CollectionState, key: Key, before: Key | None) -> None:
    if before == key:
        return
    moved = state.items.pop(key)
    if before not in state.items:
        state.items[key] = moved
        return
    state.items = {
        each: item
        for there, its in state.items.items()
        for each, item in (((key, moved), (there, its)) if there == before else ((there, its),))
    }


def key_of(name: FeatureName) -> Key:
    """The feature that is named."""
    return name.source, name.index


RESTS_ON_A_STATE = (Describe, Remove, Annotate, Delete, Undo)
"""What changes what others wrote: whoever sends it has to say which version they saw."""


def rests_on(deed: CollectionPayload, state: CollectionState) -> Hashable:
    """The part of a state that whoever does this must have seen. Where it has changed, what they do is stale.

    Adding and moving rest on nothing: two who add at the same time do not get in each other's way.
    """
    if isinstance(deed, Describe):
        return state.name, state.description
    if isinstance(deed, Annotate):
        return _note_of(state, deed.item)
    if isinstance(deed, Remove):
        return tuple(_note_of(state, item) for item in deed.items)
    if isinstance(deed, (Delete, Undo)):
        notes = frozenset((key, item.note) for key, item in state.items.items())
        return state.name, state.description, notes, state.deleted is None
    return None


def _note_of(state: CollectionState, name: FeatureName) -> Hashable:
    item = state.items.get(key_of(name))
    return None if item is None else (item.note,)


def seen_by(
    entries: Sequence[CollectionEntry], hidden: Hidden, source_ids: Mapping[str, int]
) -> Sequence[CollectionEntry]:
    """Events as somebody may see them: that others put a hidden feature into a collection says something of it.

    Args:
        entries: of one collection, in order.
        hidden: from whom, and what.
        source_ids: rows of sources by key.
    """
    if not hidden.places:
        return entries

    def shown(name: FeatureName) -> bool:
        return (source_ids.get(name.source, -1), name.index) not in hidden.places

    found: list[CollectionEntry] = []
    dropped: set[int] = set()
    partial: set[int] = set()
    for entry in entries:
        deed = entry.deed if entry.author_id == hidden.person_id else _without(entry.deed, shown, dropped)
        if deed is None:
            dropped.add(entry.stream)
        else:
            if deed is not entry.deed:
                partial.add(entry.stream)
            elif isinstance(deed, Redact) and deed.target in partial and entry.author_id != hidden.person_id:
                deed = deed.without_words()  # why words were taken out may tell what they were on
            found.append(entry if deed is entry.deed else replace(entry, deed=deed))
    return found


def _without(
    deed: CollectionPayload, shown: Callable[[FeatureName], bool], dropped: Collection[int]
) -> CollectionPayload | None:
    """An event without what it says of hidden features; None where nothing is left."""
    if isinstance(deed, (Make, Add, Remove)):
        items = [item for item in deed.items if shown(item)]
        if len(items) == len(deed.items):
            return deed
        return deed.model_copy(update={"items": items}) if items or isinstance(deed, Make) else None
    if isinstance(deed, Annotate):
        return deed if shown(deed.item) else None
    if isinstance(deed, Move):
        if not shown(deed.item):
            return None
        return deed if deed.before is None or shown(deed.before) else deed.model_copy(update={"before": None})
    if isinstance(deed, (Undo, Redact)):
        return None if deed.target in dropped else deed
    return deed
