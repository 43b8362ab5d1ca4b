"""What is shown of collections, but for what is hidden from whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, select

from mfn_server.access.roles import Person
from mfn_server.campaigns.blind import Hidden, hidden_from
from mfn_server.collecting.events import (
    CollectionEntry,
    CollectionState,
    Key,
    StoredRedact,
    fold_collection,
    redacted,
    seen_by,
    undone,
)
from mfn_server.collecting.log import all_collections, entries_of, source_ids
from mfn_server.collecting.schemas import (
    CollectionEntryView,
    CollectionHistory,
    CollectionList,
    CollectionSummary,
    CollectionView,
    ItemView,
)
from mfn_server.db.collection_tables import CollectionItem, FeatureCollection
from mfn_server.errors import APIError
from mfn_server.labels.schemas import PersonView


def seen_entries(
    connection: Connection, model_id: int, collection_id: UUID, hidden: Hidden
) -> Sequence[CollectionEntry]:
    """What was done to a collection of a model, as somebody may see it, in order. Raises APIError (404)."""
    entries = entries_of(connection, collection_id)
    if not entries or entries[0].model_id != model_id:
        raise APIError(404, "unknown_collection", "there is no such collection", hint="it may be on another server")
    return seen_by(entries, hidden, source_ids(connection, model_id) if hidden.places else {})


def seen_state(connection: Connection, model_id: int, collection_id: UUID, hidden: Hidden) -> CollectionState:
    """A collection as it stands for somebody. Raises APIError (404)."""
    state = fold_collection(seen_entries(connection, model_id, collection_id, hidden))
    assert state is not None
    return state


def collection_list(
    connection: Connection, model_id: int, person: Person, feature: Key | None, *, deleted: bool
) -> CollectionList:
    """Collections that are there, or (`deleted`) those that were deleted; of one feature, if it is told which."""
    hidden = hidden_from(connection, person)
    if hidden.places:
        ids = source_ids(connection, model_id)
        folded = (fold_collection(seen_by(each, hidden, ids)) for each in all_collections(connection, model_id))
        states = [state for state in folded if state is not None and (state.deleted is not None) == deleted]
        found = [summary(state) for state in states if feature is None or feature in state.items]
    else:
        of_model = select(FeatureCollection).where(
            FeatureCollection.model_id == model_id, FeatureCollection.is_deleted == deleted
        )
        if feature is not None:
            source_id = source_ids(connection, model_id).get(feature[0], -1)
            has_it = (CollectionItem.source_id == source_id, CollectionItem.number == feature[1])
            of_model = of_model.where(
                select(CollectionItem.number)
                .where(CollectionItem.collection_id == FeatureCollection.id, *has_it)
                .exists()
            )
        found = [
            CollectionSummary(
                id=row.id,
                version=row.version,
                name=row.name,
                description=row.description,
                n_items=row.n_items,
                author=PersonView(id=row.author_id, name=row.author),
                created_at=row.created_at,
                changed_by=PersonView(id=row.changed_by_id, name=row.changed_by),
                changed_at=row.changed_at,
                deleted=row.is_deleted,
            )
            for row in connection.execute(of_model)
        ]
    return CollectionList(items=sorted(found, key=lambda each: -each.version))


def summary(state: CollectionState) -> CollectionSummary:
    """A state, as a list has it."""
    return CollectionSummary(
        id=state.made.collection_id,
        version=state.version,
        name=state.name,
        description=state.description,
        n_items=len(state.items),
        author=_author(state.made),
        created_at=state.made.created_at,
        changed_by=_author(state.changed),
        changed_at=state.changed.created_at,
        deleted=state.deleted is not None,
    )


def collection_view(
    connection: Connection, model_id: int, collection_id: UUID, person: Person, at: int | None = None
) -> CollectionView:
    """A collection now, or as it stood behind an event. Raises APIError (404), also for a moment before it was made."""
    entries = seen_entries(connection, model_id, collection_id, hidden_from(connection, person))
    state = fold_collection([entry for entry in entries if at is None or entry.stream <= at])
    if state is None:
        raise APIError(404, "unknown_collection", "this collection was made later", field="at")
    return view_of(state, at)


def view_of(state: CollectionState, at: int | None = None) -> CollectionView:
    """A state with its features."""
    items = [
        ItemView(
            source=source,
            index=index,
            note=item.note,
            added_by=_author(item.added),
            added_at=item.added.created_at,
            noted_by=None if item.noted is None else _author(item.noted),
        )
        for (source, index), item in state.items.items()
    ]
    return CollectionView(**vars(summary(state)), at=at, items=items)


def collection_history(
    connection: Connection, model_id: int, collection_id: UUID, person: Person, before: int | None, limit: int
) -> CollectionHistory:
    """A page of what was done to a collection, the latest first. Raises APIError (404)."""
    entries = seen_entries(connection, model_id, collection_id, hidden_from(connection, person))
    page = [entry for entry in reversed(entries) if before is None or entry.stream < before][: limit + 1]
    items = entry_views(page[:limit], entries)
    return CollectionHistory(items=items, next_before=items[-1].stream if len(page) > limit else None)


def entry_views(entries: Sequence[CollectionEntry], every: Sequence[CollectionEntry]) -> list[CollectionEntryView]:
    """Some of all events of a collection, with what undid them and what took out their words."""
    gone, wordless = undone(every), redacted(every)
    return [
        CollectionEntryView(
            id=entry.id,
            stream=entry.stream,
            kind=entry.deed.kind,
            payload=entry.deed.model_dump(mode="json", exclude={"reason"}, exclude_defaults=True)
            | {"kind": entry.deed.kind},
            author=_author(entry),
            created_at=entry.created_at,
            reason=entry.deed.reason if isinstance(entry.deed, StoredRedact) else None,
            undone_by=gone.get(entry.stream),
            redacted_by=wordless.get(entry.stream),
        )
        for entry in entries
    ]


def _author(entry: CollectionEntry) -> PersonView:
    return PersonView(id=entry.author_id, name=entry.author)
