"""What may be done to collections. Each command is checked against the state that whoever sends it sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection

from mfn_server.access.roles import Permission, Person
from mfn_server.campaigns.blind import hidden_from
from mfn_server.collecting.events import (
    MOST_ITEMS,
    RESTS_ON_A_STATE,
    Add,
    Annotate,
    CollectionEntry,
    CollectionPayload,
    CollectionState,
    Delete,
    Make,
    Move,
    Redact,
    StoredRedact,
    Undo,
    fold_collection,
    key_of,
    redacted,
    rests_on,
    undone,
)
from mfn_server.collecting.log import (
    append_entry,
    entries_of,
    entry_by_id,
    lock_collections,
    redact_entry,
)
from mfn_server.collecting.reading import entry_views, seen_entries, view_of
from mfn_server.collecting.schemas import (
    CollectionConflict,
    CollectionDeedBody,
    CollectionRedactBody,
    MakeBody,
)
from mfn_server.errors import APIError
from mfn_server.features.reading import check_feature, source_named
from mfn_server.labels.payloads import FeatureName


class StaleCollectionError(APIError):
    """409: what is to be done rests on a state that is no longer so. The answer has what happened since."""

    def __init__(self, conflict: CollectionConflict) -> None:
        super().__init__(
            409,
            "stale",
            "someone else has changed this collection meanwhile",
            hint="look at `conflict`, and send again with its `version`",
            more={"conflict": conflict.model_dump(mode="json")},
        )


def make(connection: Connection, model_id: int, person: Person, body: MakeBody) -> bool:
    """Make a collection. Needs a write transaction. Gives whether it is new: a repeat changes nothing.

    Raises APIError: 404, no such feature; 409, the id was used for something else.
    """
    deed = Make(**body.model_dump(exclude={"id"}))
    lock_collections(connection)
    earlier = entry_by_id(connection, body.id)
    if earlier is not None:
        _check_same(connection, earlier, body.id, person, deed)
        return False
    _check_features(connection, model_id, deed.items)
    append_entry(connection, model_id, body.id, person, body.id, deed)
    return True


def do(
    connection: Connection,
    model_id: int,
    collection_id: UUID,
    person: Person,
    body: CollectionDeedBody,
    base_version: int | None,
) -> bool:
    """Do something to a collection. Needs a write transaction. Gives whether it is new.

    What is hidden from this person neither contradicts them, nor can it be what they mean.

    Raises:
        APIError: no such collection, feature or event (404); it makes no sense here (409, 422) or is not for this
            person to do (403); it rests on a version that is not told (428) or no longer so (StaleCollectionError).
    """
    last = lock_collections(connection)
    earlier = entry_by_id(connection, body.id)
    if earlier is not None:
        _check_same(connection, earlier, collection_id, person, body.event)
        return False
    entries = seen_entries(connection, model_id, collection_id, hidden_from(connection, person))
    state = fold_collection(entries)
    assert state is not None
    if base_version is None and isinstance(body.event, RESTS_ON_A_STATE):
        hint = "send the collection's version as If-Match, or as base_version"
        raise APIError(428, "version_required", f"{body.event.kind} needs the version that it rests on", hint=hint)
    if base_version is not None:
        if base_version > last:
            message = "base_version: there has been no such version"
            raise APIError(422, "invalid_request", message, field="base_version")
        then = fold_collection([entry for entry in entries if entry.stream <= base_version])
        if then is None or rests_on(body.event, then) != rests_on(body.event, state):
            raise StaleCollectionError(_conflict(entries, state, base_version))
    _check(connection, model_id, person, body.event, entries, state)
    append_entry(connection, model_id, collection_id, person, body.id, body.event)
    return True


def redact(
    connection: Connection, model_id: int, collection_id: UUID, person: Person, body: CollectionRedactBody
) -> bool:
    """Take the words out of an event for good; it stays in the history, marked. Needs a write transaction.

    Gives whether that is new. It rests on nothing: what was taken out is what was said, whatever was said since.

    Raises APIError: no such collection or event (404); that was done already, or the id was used otherwise (409).
    """
    lock_collections(connection)
    deed = StoredRedact(target=body.event.target, reason=body.reason)
    earlier = entry_by_id(connection, body.id)
    if earlier is not None:
        _check_same(connection, earlier, collection_id, person, deed)
        return False
    seen = seen_entries(connection, model_id, collection_id, hidden_from(connection, person))
    if body.event.target not in {entry.stream for entry in seen}:
        raise _unknown_target()
    if body.event.target in redacted(seen):
        raise APIError(409, "already_redacted", "the words of this event were taken out already")
    # whole, since what is seen of it may be without what is hidden
    (target,) = (each for each in entries_of(connection, collection_id) if each.stream == body.event.target)
    redact_entry(connection, target)
    append_entry(connection, model_id, collection_id, person, body.id, deed)
    return True


def _check_same(
    connection: Connection, earlier: CollectionEntry, collection_id: UUID, person: Person, deed: CollectionPayload
) -> None:
    """Raises APIError (409) unless a repeat says the same as the first time; what was redacted is not compared."""
    was = earlier.deed
    if type(deed) is type(was) and earlier.stream in redacted(entries_of(connection, earlier.collection_id)):
        deed = deed.without_words()
    if (earlier.author_id, earlier.collection_id, was) != (person.id, collection_id, deed):
        raise APIError(409, "id_reused", "this id was used for something else", hint="make a new UUID", field="id")


def _check(
    connection: Connection,
    model_id: int,
    person: Person,
    deed: CollectionPayload,
    entries: Sequence[CollectionEntry],
    state: CollectionState,
) -> None:
    """Raises APIError for what makes no sense in this state, or is not for this person to do."""
    if isinstance(deed, Undo):
        _check_undo(person, deed, entries)
        return
    if state.deleted is not None:
        hint = "undo its deletion first"
        raise APIError(409, "collection_deleted", "this collection was deleted meanwhile", hint=hint)
    if isinstance(deed, Delete) and state.made.author_id != person.id and not person.may(Permission.REVIEW):
        raise APIError(403, "not_yours", "only who made a collection, or a reviewer, may delete it")
    if isinstance(deed, Add):
        _check_features(connection, model_id, deed.items)
        n = len(state.items.keys() | {key_of(item) for item in deed.items})
        if n > MOST_ITEMS:
            message = f"a collection has at most {MOST_ITEMS:,} features; this one would have {n:,}"
            raise APIError(409, "collection_full", message, hint="make another one for the rest", field="event.items")
    if isinstance(deed, (Annotate, Move)):
        named = [deed.item] if isinstance(deed, Annotate) or deed.before is None else [deed.item, deed.before]
        for item in named:
            if key_of(item) not in state.items:
                message = f"{item.source}:{item.index} is not in this collection"
                raise APIError(404, "not_in_collection", message, hint="it may have been taken out", field="event.item")


def _check_undo(person: Person, deed: Undo, entries: Sequence[CollectionEntry]) -> None:
    target = next((entry for entry in entries if entry.stream == deed.target), None)
    if target is None:
        raise _unknown_target()
    if isinstance(target.deed, Redact):
        raise APIError(409, "cannot_undo", "what was redacted is gone for good")
    if isinstance(target.deed, Make):
        raise APIError(409, "cannot_undo", "that a collection was made is not undone", hint="delete it")
    if target.stream in undone(entries):
        raise APIError(409, "already_undone", "this was undone already", hint="undo the undo to have it again")
    if target.author_id != person.id and not person.may(Permission.REVIEW):
        raise APIError(403, "not_yours", "only its author or a reviewer may undo this")


def _check_features(connection: Connection, model_id: int, items: Iterable[FeatureName]) -> None:
    """Raises APIError (404) for a feature that the model does not have."""
    wanted = {key_of(item) for item in items}
    sizes = {key: source_named(connection, model_id, key).n_features for key, _ in wanted}
    for key, index in wanted:
        check_feature(key, sizes[key], index)


def _conflict(entries: Sequence[CollectionEntry], state: CollectionState, base_version: int) -> CollectionConflict:
    since = [entry for entry in entries if entry.stream > base_version]
    return CollectionConflict(
        version=state.version,
        base_version=base_version,
        changes=entry_views(since, entries),
        now=view_of(state),
    )


def _unknown_target() -> APIError:
    return APIError(404, "unknown_target", "there is no such event on this collection", field="event.target")
