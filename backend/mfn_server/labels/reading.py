"""What is shown of the log, but for what is hidden from whoever asks: features at any moment, and histories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from mfn_server.access.roles import Person
from mfn_server.campaigns.blind import Hidden, hidden_from
from mfn_server.db.tables import LabelEvent, Source
from mfn_server.errors import APIError
from mfn_server.features.reading import check_feature, source_named
from mfn_server.labels.fold import fold, undone
from mfn_server.labels.log import LAST, Event, Place, events_by_place, events_of, events_where
from mfn_server.labels.people import names_of
from mfn_server.labels.schemas import Discussion, EventView, History, HistoryEntry
from mfn_server.labels.views import discussion_view, event_view, history_entry


def discussion(
    connection: Connection, model_id: int, key: str, index: int, at: int | None, person: Person
) -> Discussion:
    """What stands of a feature, or stood behind event `at`. Raises APIError (404)."""
    place = _place(connection, model_id, key, index)
    hidden = hidden_from(connection, person, [place])
    state = fold(hidden.seen(events_of(connection, place, LAST if at is None else at)))
    mentioned = {person for of in state.comments.values() for person in of.comment.mentions}
    return discussion_view(state, key, index, names_of(connection, mentioned), at)


def feature_history(
    connection: Connection, model_id: int, key: str, index: int, before: int | None, limit: int, person: Person
) -> History:
    """A page of what was said of a feature, the latest first. Raises APIError (404)."""
    place = _place(connection, model_id, key, index)
    events = hidden_from(connection, person, [place]).seen(events_of(connection, place))
    gone = undone(events)
    page = [event for event in reversed(events) if before is None or event.stream < before][: limit + 1]
    return _page([history_entry(event, key, gone) for event in page], limit)


def person_history(
    connection: Connection, model_id: int, author: str, before: int | None, limit: int, person: Person
) -> History:
    """A page of what one person, or program, said of a model's features, the latest first."""
    keys = source_keys(connection, model_id)
    hidden = hidden_from(connection, person)
    of_author: list[Any] = [LabelEvent.author_id == author, LabelEvent.source_id.in_(keys)]
    page: list[Event] = []
    more = True
    while more and len(page) <= limit:
        earlier = [] if before is None else [LabelEvent.stream < before]
        read = events_where(connection, *of_author, *earlier, limit=limit + 1, newest_first=True)
        page += hidden.seen(read)
        before, more = read[-1].stream if read else None, len(read) > limit
    page = page[: limit + 1]
    gone = _undone_in(connection, {event.place for event in page}, hidden)
    return _page([history_entry(event, keys[event.place[0]], gone) for event in page], limit)


def events_after(connection: Connection, model_id: int, stream: int, limit: int) -> list[tuple[Event, EventView]]:
    """What was said of a model's features behind an event, in order, and how it is shown. Some may be hidden."""
    keys = source_keys(connection, model_id)
    conditions = (LabelEvent.stream > stream, LabelEvent.source_id.in_(keys))
    found = events_where(connection, *conditions, limit=limit)
    return [(event, event_view(event, keys[event.place[0]])) for event in found]


def source_keys(connection: Connection, model_id: int) -> dict[int, str]:
    """Keys of a model's sources by their rows."""
    rows = connection.execute(select(Source.id, Source.key).where(Source.model_id == model_id))
    return {row.id: row.key for row in rows}


def _undone_in(connection: Connection, places: Iterable[Place], hidden: Hidden) -> dict[int, int]:
    by_place = events_by_place(connection, places)
    return {stream: by for events in by_place.values() for stream, by in undone(hidden.seen(events)).items()}


def _page(entries: Sequence[HistoryEntry], limit: int) -> History:
    """Of one entry too many, if there are more."""
    items = list(entries[:limit])
    return History(items=items, next_before=items[-1].stream if len(entries) > limit else None)


def _place(connection: Connection, model_id: int, key: str, index: int) -> Place:
    source = source_named(connection, model_id, key)
    check_feature(source.key, source.n_features, index)
    return source.id, index


def parse_version(if_match: str | None, base_version: int | None) -> int | None:
    """The version that a request rests on, from `If-Match` or its body.

    Raises APIError (422): the header is no version, or says another one than the body.
    """
    if if_match is None or if_match.strip() == "*":
        return base_version
    digits = if_match.strip().removeprefix('"').removesuffix('"')
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
        message = 'If-Match: must be a version of the feature as its ETag has it, such as "17"'
        raise APIError(422, "invalid_request", message, field="If-Match")
    version = int(digits)
    if base_version is not None and base_version != version:
        message = "If-Match and base_version say different versions"
        raise APIError(422, "invalid_request", message, field="base_version")
    return version
