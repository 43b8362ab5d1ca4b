"""Agreement of everyone in a scope, and taken apart: by tag, by two people, over time."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from sqlalchemy import Connection

from mfn_server.agreement.alpha import Agreement, agreement, agreement_by_pair
from mfn_server.agreement.opinions import ASKED, Given, QuestionName, Scope, opinions_of, tags_of
from mfn_server.labels.people import names_of

Period = Literal["day", "week", "month"]
MOST_TAGS, MOST_PAIRS, MOST_PERIODS = 50, 100, 100


@dataclass(frozen=True)
class Report:
    """How far people agree on one question.

    Attributes:
        total: on everything in the scope.
        by_tag: on features with each tag, the tags with most shared units first.
        by_pair: of every two, those with most shared units first.
        by_time: by the first day of a period, ascending. A unit counts in the period of the last opinion on it.
        names: of people, by id.
    """

    total: Agreement
    by_tag: Mapping[str, Agreement]
    by_pair: Mapping[tuple[str, str], Agreement]
    by_time: Mapping[date, Agreement]
    names: Mapping[str, str]


def total_of(connection: Connection, question: QuestionName, scope: Scope) -> Agreement:
    """How far everyone agrees on one question."""
    return _agreement(opinions_of(connection, question, scope), question)


def report_of(connection: Connection, question: QuestionName, scope: Scope, period: Period) -> Report:
    """How far people agree on one question, also taken apart."""
    said = opinions_of(connection, question, scope)
    asked = ASKED[question]
    pairs = agreement_by_pair(said, asked.level, asked.values, MOST_PAIRS)
    return Report(
        total=_agreement(said, question),
        by_tag=_by_tag(connection, said, question),
        by_pair={(str(one), str(other)): found for (one, other), found in pairs.items()},
        by_time=_by_time(said, question, period),
        names=names_of(connection, {str(given.rater) for given in said}),
    )


def _agreement(said: Sequence[Given], question: QuestionName) -> Agreement:
    return agreement(said, ASKED[question].level, ASKED[question].values)


def _by_tag(connection: Connection, said: Sequence[Given], question: QuestionName) -> dict[str, Agreement]:
    tags = tags_of(connection, {given.place for given in said})
    of: dict[str, list[Given]] = {}
    for given in said:
        for tag in tags.get(given.place, ()):
            of.setdefault(tag, []).append(given)
    foremost = sorted(of, key=lambda tag: (-_shared(of[tag]), tag))[:MOST_TAGS]
    return {tag: _agreement(of[tag], question) for tag in foremost}


def _by_time(said: Sequence[Given], question: QuestionName, period: Period) -> dict[date, Agreement]:
    last = {given.unit: given.at for given in said}  # they are in order
    of: dict[date, list[Given]] = {}
    for given in said:
        of.setdefault(first_day(last[given.unit].date(), period), []).append(given)
    return {day: _agreement(of[day], question) for day in sorted(of)[-MOST_PERIODS:]}


def first_day(day: date, period: Period) -> date:
    """Of the day, week (from Monday) or month that a day is in."""
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def _shared(said: Iterable[Given]) -> int:
    """Units with two opinions or more."""
    met: set[Hashable] = set()
    shared: set[Hashable] = set()
    for given in said:
        (shared if given.unit in met else met).add(given.unit)
    return len(shared)
