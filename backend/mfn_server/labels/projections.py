"""The tables that follow from the log of label events, for everything that is looked up over many features.

They are what `rows_of` makes of the state of each feature, and nothing else: whoever adds to the log writes the
difference in the same transaction, `rebuild` makes them anew, and `differences` says where they are not what they
should be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, tuple_, update

from mfn_server.db.campaign_tables import LabelOpinion
from mfn_server.db.search import add_to_search, remove_from_search
from mfn_server.db.tables import (
    Label,
    LabelComment,
    LabelEvent,
    LabelFlag,
    LabelRating,
    LabelSummary,
    LabelTag,
    LabelVote,
    Table,
)
from mfn_server.labels.fold import FeatureState, fold
from mfn_server.labels.log import Event, Place, all_features

TABLES: tuple[type[Table], ...] = (
    Label,
    LabelVote,
    LabelRating,
    LabelTag,
    LabelComment,
    LabelFlag,
    LabelOpinion,
    LabelSummary,
)
KEYS: Mapping[type[Table], tuple[str, ...]] = {
    table: tuple(column.name for column in table.__table__.primary_key.columns)  # type: ignore[attr-defined]
    for table in TABLES
}
_AT_ONCE = 5_000

Key = tuple[Any, ...]
Row = dict[str, Any]
Rows = dict[type[Table], dict[Key, Row]]
"""Rows of each table by primary key."""


def rows_of(place: Place, state: FeatureState) -> Rows:
    """The rows of one feature, as a function of its state."""
    source_id, number = place
    here = {"source_id": source_id, "number": number}
    accepted, primary = state.accepted_label, state.primary
    labels: list[Row] = []
    votes: list[Row] = []
    for label in state.labels.values():
        proposed = label.proposed
        labels.append(
            {
                **here,
                "stream": label.stream,
                "text": label.text,
                "author": proposed.author,
                "author_id": proposed.author_id,
                "origin": str(proposed.origin),
                "created_at": proposed.created_at,
                "reason": label.said.reason,
                "confidence": label.confidence,
                "unclear": label.unclear,
                "revision": label.revision,
                "up": label.count(1),
                "down": label.count(-1),
                "is_accepted": label.stream == accepted,
                "is_primary": label.stream == primary,
            }
        )
        for author_id, vote in label.votes.items():
            said = {"value": vote.value, "revision": vote.revision, "stream": vote.event.stream}
            votes.append({**here, "label": label.stream, "author_id": author_id, **said})
    ratings = [
        {
            **here,
            "label": label,
            "author_id": author_id,
            "one_concept": of.rating.one_concept,
            "specificity": of.rating.specificity,
            "confidence": of.rating.confidence,
            "evidence": of.rating.evidence,
            "revision": of.revision,
            "stream": of.event.stream,
        }
        for (label, author_id), of in state.ratings.items()
    ]
    tags = [
        {**here, "tag": tag, "author_id": event.author_id, "stream": event.stream} for tag, event in state.tags.items()
    ]
    comments = [
        {
            **here,
            "stream": stream,
            "author_id": of.event.author_id,
            "text": "" if of.retracted else of.comment.text,
            "reply_to": of.comment.reply_to,
            "label": of.comment.label,
            "mentions": list(of.comment.mentions),
            "is_retracted": of.retracted,
        }
        for stream, of in state.comments.items()
    ]
    flags = [{**here, "stream": stream, **_flag(event)} for stream, event in state.flags.items()]
    opinions = [
        {"campaign_id": campaign, **here, "author_id": author_id, "stream": event.stream, **_opinion(event)}
        for (campaign, author_id), event in state.opinions.items()
    ]
    summary = {
        **here,
        "version": state.version,
        "accepted": accepted,
        "decided_by": state.decided_by,
        "n_labels": len(state.labels),
        "n_people": len(state.people()),
        "n_comments": sum(not of.retracted for of in state.comments.values()),
        "n_skips": len(state.skips),
    }
    of_all = [summary] if state.version else []
    made: tuple[list[Row], ...] = (labels, votes, ratings, tags, comments, flags, opinions, of_all)
    return {
        table: {tuple(row[name] for name in KEYS[table]): row for row in rows}
        for table, rows in zip(TABLES, made, strict=True)
    }


def _flag(event: Event) -> Row:
    said: Any = event.payload
    return {
        "flag": said.flag,
        "author_id": event.author_id,
        "of_source": said.of and said.of.source,
        "of_number": said.of and said.of.index,
        "parts": list(said.parts),
    }


def _opinion(event: Event) -> Row:
    said: Any = event.payload
    return {name: getattr(said, name) for name in ("text", "flag", "one_concept", "specificity", "confidence")}


def project(connection: Connection, changes: Iterable[tuple[Place, FeatureState, FeatureState]]) -> None:
    """Write what has changed of some features: each with its state before and after."""
    gone: dict[type[Table], list[Key]] = {table: [] for table in TABLES}
    new: dict[type[Table], list[Row]] = {table: [] for table in TABLES}
    other: dict[type[Table], list[Row]] = {table: [] for table in TABLES}
    unnamed: list[int] = []
    named: list[tuple[int, str]] = []
    for place, before, after in changes:
        old, now = rows_of(place, before), rows_of(place, after)
        for table in TABLES:
            was, is_ = old[table], now[table]
            gone[table] += was.keys() - is_.keys()
            new[table] += [row for key, row in is_.items() if key not in was]
            other[table] += [row for key, row in is_.items() if key in was and was[key] != row]
        texts, words = ({key[0]: row["text"] for key, row in rows[Label].items()} for rows in (old, now))
        unnamed += [stream for stream, text in texts.items() if text and words.get(stream) != text]
        named += [(stream, text) for stream, text in words.items() if text and texts.get(stream) != text]
    for table in TABLES:
        if gone[table]:
            _remove(connection, table, gone[table])
        if new[table]:
            connection.execute(_INSERT[table], new[table])
        if other[table]:
            rows = [{f"_{name}": value for name, value in row.items()} for row in other[table]]
            connection.execute(_UPDATE[table], rows)
    for first, last in runs_of(unnamed):
        remove_from_search(connection, "label_search", first, last)
    if named:
        add_to_search(connection, "label_search", named)


_INSERT = {table: insert(table) for table in TABLES}
_UPDATE = {
    table: update(table)
    .where(*(table.__table__.c[name] == bindparam(f"_{name}") for name in KEYS[table]))
    .values({c.name: bindparam(f"_{c.name}") for c in table.__table__.columns if c.name not in KEYS[table]})
    for table in TABLES
}


def _remove(connection: Connection, table: type[Table], keys: list[Key]) -> None:
    columns = tuple_(*(table.__table__.c[name] for name in KEYS[table]))
    for begin in range(0, len(keys), _AT_ONCE):
        connection.execute(delete(table).where(columns.in_(keys[begin : begin + _AT_ONCE])))


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


@dataclass(frozen=True)
class Difference:
    """Rows of one feature in one table that are not what the log says: as they are, and as they should be."""

    place: Place
    table: str
    found: list[Row]
    expected: list[Row]


def differences(connection: Connection) -> Iterator[Difference]:
    """Where the tables are not what follows from the log. Read in a snapshot."""
    for source_id in _sources(connection):
        found = _read(connection, source_id)
        for place, events in all_features(connection, source_id):
            expected = rows_of(place, fold(events))
            for table in TABLES:
                is_ = found[table].pop(place, {})
                if is_ != expected[table]:
                    yield Difference(place, table.__tablename__, [*is_.values()], [*expected[table].values()])
        for table, left in found.items():  # of features of which nobody said anything
            for place, rows in left.items():
                yield Difference(place, table.__tablename__, [*rows.values()], [])


def count_log(connection: Connection) -> tuple[int, int]:
    """How many events there are, and of how many features."""
    features = select(LabelEvent.source_id, LabelEvent.number).distinct().subquery()
    events = connection.scalar(select(func.count()).select_from(LabelEvent))
    return events or 0, connection.scalar(select(func.count()).select_from(features)) or 0


def rebuild(connection: Connection) -> int:
    """Make the tables anew from the log alone. Needs a write transaction with the log locked.

    Returns:
        Of how many features.
    """
    for table in TABLES:
        connection.execute(delete(table))
    remove_from_search(connection, "label_search", 0, 2**63 - 1)
    n = 0
    nothing = FeatureState()
    for source_id in _sources(connection):
        states = [(place, nothing, fold(events)) for place, events in all_features(connection, source_id)]
        project(connection, states)
        n += len(states)
    return n


def _sources(connection: Connection) -> list[int]:
    """Sources of which anything was said, or seems to have been."""
    found: set[int] = set()
    tables: tuple[type[Table], ...] = (LabelEvent, *TABLES)
    for table in tables:
        found.update(connection.scalars(select(table.__table__.c.source_id).distinct()))
    return sorted(found)


def _read(connection: Connection, source_id: int) -> dict[type[Table], dict[Place, dict[Key, Row]]]:
    out: dict[type[Table], dict[Place, dict[Key, Row]]] = {}
    for table in TABLES:
        of_table = out[table] = {}
        for row in connection.execute(select(table.__table__).where(table.__table__.c.source_id == source_id)):
            fields = dict(row._mapping)
            key = tuple(fields[name] for name in KEYS[table])
            of_table.setdefault((row.source_id, row.number), {})[key] = fields
    return out
