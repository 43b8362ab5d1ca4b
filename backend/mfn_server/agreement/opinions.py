"""What people said that can be compared: their present answers to the rubric, votes and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import Connection, Select, and_, or_, select

from mfn_server.agreement.alpha import Level, Opinion
from mfn_server.db.campaign_tables import LabelOpinion
from mfn_server.db.tables import Label, LabelEvent, LabelFlag, LabelRating, LabelTag, LabelVote, Origin
from mfn_server.labels.log import Place

QuestionName = Literal["one_concept", "specificity", "confidence", "vote", "verdict", "name"]
QUESTIONS: tuple[QuestionName, ...] = get_args(QuestionName)


@dataclass(frozen=True)
class Question:
    """Something that people answer of the same units: its level, and all answers that there are, in order."""

    level: Level
    values: tuple[str, ...]


ASKED: Mapping[QuestionName, Question] = {
    "one_concept": Question("ordinal", ("no", "partly", "yes")),
    "specificity": Question("ordinal", ("1", "2", "3", "4", "5")),
    "confidence": Question("ordinal", ("low", "medium", "high")),
    "vote": Question("nominal", ("down", "up")),
    "verdict": Question("nominal", ("named", "dead", "unclear", "duplicate", "polysemantic")),
    "name": Question("words", ()),
}
"""Votes are on a label, in its present words. A verdict is on a feature: that it was named, or what was held against
it. A name is the words that a person said last of a feature, and that stand. The rest is the rubric, on a feature or on
the present words of a label.
"""

Hidden = Callable[[Place, str], bool]
"""Whether what someone (an author's id) said of a feature is kept from whoever asks."""


def nothing_is_hidden(place: Place, author: str) -> bool:
    """Everybody may know what anybody said."""
    return False


@dataclass(frozen=True)
class Scope:
    """Of what and of whom. What is None or empty does not restrict.

    Attributes:
        sources: rows of the sources whose features count.
        places: features that count.
        campaign: opinions that were given in it count, as they were given then: nobody had seen the others'.
        people: authors who count.
        tag: features must have it.
        since, until: when the opinion was given; `until` itself does not count.
        hidden: opinions that count in nothing.
    """

    sources: Collection[int]
    places: Collection[Place] | None = None
    campaign: UUID | None = None
    people: Collection[str] = ()
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    hidden: Hidden = field(default=nothing_is_hidden)


@dataclass(frozen=True)
class Given(Opinion):
    """An opinion, on which feature it is, and when it was given."""

    place: Place
    at: datetime


def opinions_of(connection: Connection, question: QuestionName, scope: Scope) -> list[Given]:
    """What people say now, one opinion a person and unit, the earliest first."""
    places = None if scope.places is None else set(scope.places)
    found: dict[tuple[Hashable, Hashable], Given] = {}
    read = _READERS[question] if scope.campaign is None else _in_campaign(question)
    for given in read(connection, scope):
        if (places is None or given.place in places) and not scope.hidden(given.place, str(given.rater)):
            found[given.unit, given.rater] = given  # the last that the reader gives
    return sorted(found.values(), key=lambda each: each.at)


def tags_of(connection: Connection, places: Collection[Place]) -> dict[Place, list[str]]:
    """Tags of those of some features that have any, in order."""
    found: dict[Place, list[str]] = {}
    sources = {source for source, _ in places}
    rows = connection.execute(
        select(LabelTag.source_id, LabelTag.number, LabelTag.tag)
        .where(LabelTag.source_id.in_(sources))
        .order_by(LabelTag.tag)
    )
    wanted = set(places)
    for row in rows:
        if (row.source_id, row.number) in wanted:
            found.setdefault((row.source_id, row.number), []).append(row.tag)
    return found


def _ratings(column: Any) -> Callable[[Connection, Scope], Iterator[Given]]:
    """Reads one question of the rubric."""

    def read(connection: Connection, scope: Scope) -> Iterator[Given]:
        statement = (
            select(LabelRating.label, column.label("value"), *_about(LabelRating))
            .join(LabelEvent, LabelEvent.stream == LabelRating.stream)
            .outerjoin(Label, Label.stream == LabelRating.label)
            .where(column.is_not(None))
            # an answer about words that were changed since is about something else
            .where(or_(LabelRating.label == 0, Label.revision == LabelRating.revision))
        )
        for row in connection.execute(_within(statement, LabelRating, scope)):
            place = (row.source_id, row.number)
            yield Given((*place, row.label), row.author_id, str(row.value), place, row.created_at)

    return read


def _votes(connection: Connection, scope: Scope) -> Iterator[Given]:
    statement = (
        select(LabelVote.label, LabelVote.value, *_about(LabelVote))
        .join(LabelEvent, LabelEvent.stream == LabelVote.stream)
        .join(Label, and_(Label.stream == LabelVote.label, Label.revision == LabelVote.revision))
    )
    for row in connection.execute(_within(statement, LabelVote, scope)):
        place = (row.source_id, row.number)
        value = "up" if row.value > 0 else "down"
        yield Given((*place, row.label), row.author_id, value, place, row.created_at)


def _verdicts(connection: Connection, scope: Scope) -> Iterator[Given]:
    """Names and then flags, each in order: a flag counts before a name, and the last of several."""
    named = (
        select(*_about(Label))
        .join(LabelEvent, LabelEvent.stream == Label.stream)
        .where(Label.text != "")
        .order_by(Label.stream)
    )
    for row in connection.execute(_within(named, Label, scope)):
        place = (row.source_id, row.number)
        yield Given(place, row.author_id, "named", place, row.created_at)
    flagged = (
        select(LabelFlag.flag.label("value"), *_about(LabelFlag))
        .join(LabelEvent, LabelEvent.stream == LabelFlag.stream)
        .order_by(LabelFlag.stream)
    )
    for row in connection.execute(_within(flagged, LabelFlag, scope)):
        place = (row.source_id, row.number)
        yield Given(place, row.author_id, row.value, place, row.created_at)


def _names(connection: Connection, scope: Scope) -> Iterator[Given]:
    """By those whose words they are: whoever reworded a label said what it says now."""
    worded = (
        select(Label.text, Label.source_id, Label.number, LabelEvent.author_id, LabelEvent.created_at)
        .join(LabelEvent, LabelEvent.stream == Label.revision)
        .where(Label.text != "")
        .order_by(Label.revision)
    )
    for row in connection.execute(_within(worded, Label, scope, LabelEvent.author_id)):
        place = (row.source_id, row.number)
        yield Given(place, row.author_id, row.text, place, row.created_at)


def _in_campaign(question: QuestionName) -> Callable[[Connection, Scope], Iterator[Given]]:
    """Reads what was said to a question in the scope's campaign. Nobody votes there."""

    def read(connection: Connection, scope: Scope) -> Iterator[Given]:
        if question == "vote":
            return
        said = (LabelOpinion.text, LabelOpinion.flag, LabelOpinion.one_concept, LabelOpinion.specificity)
        statement = (
            select(*said, LabelOpinion.confidence, *_about(LabelOpinion))
            .join(LabelEvent, LabelEvent.stream == LabelOpinion.stream)
            .where(LabelOpinion.campaign_id == scope.campaign)
        )
        for row in connection.execute(_within(statement, LabelOpinion, scope)):
            value = _value(question, row)
            if value is not None:
                place = (row.source_id, row.number)
                yield Given(place, row.author_id, str(value), place, row.created_at)

    return read


def _value(question: QuestionName, opinion: Any) -> Any:
    if question == "verdict":
        return opinion.flag or "named"
    return getattr(opinion, "text" if question == "name" else question)


def _about(table: Any) -> tuple[Any, ...]:
    return table.source_id, table.number, table.author_id, LabelEvent.created_at


def _within(
    statement: Select[*tuple[Any, ...]], table: Any, scope: Scope, author: Any = None
) -> Select[*tuple[Any, ...]]:
    """Of people alone, and of the scope as far as the database can tell. `author` is the column that says whose."""
    statement = statement.where(LabelEvent.origin == Origin.HUMAN, table.source_id.in_(scope.sources))
    if scope.people:
        statement = statement.where((table.author_id if author is None else author).in_(scope.people))
    if scope.since is not None:
        statement = statement.where(LabelEvent.created_at >= scope.since)
    if scope.until is not None:
        statement = statement.where(LabelEvent.created_at < scope.until)
    if scope.tag is not None:
        tagged = and_(LabelTag.source_id == table.source_id, LabelTag.number == table.number, LabelTag.tag == scope.tag)
        statement = statement.where(select(LabelTag.tag).where(tagged).exists())
    return statement


_READERS: Mapping[QuestionName, Callable[[Connection, Scope], Iterator[Given]]] = {
    "one_concept": _ratings(LabelRating.one_concept),
    "specificity": _ratings(LabelRating.specificity),
    "confidence": _ratings(LabelRating.confidence),
    "vote": _votes,
    "verdict": _verdicts,
    "name": _names,
}
