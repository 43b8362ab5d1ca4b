"""Scores in the database: added, never changed, and read by feature or by run."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, insert, select
from sqlalchemy.orm import aliased

from mfn_server.db.score_tables import LabelScore, NamingRun
from mfn_server.db.tables import Label, Source
from mfn_server.labels.log import Place
from mfn_server.naming.scorers import VERSION, Scorer

if TYPE_CHECKING:
    from mfn_server.naming.figures import Figure

_IDS_AT_ONCE = 500
_IDS = uuid.UUID("6a0f7f0c-2a3b-5d51-9f4b-6a4c8f1f7f31")  # the name space of ids that follow from what is scored


@dataclass(frozen=True)
class Judged:
    """What some words of a label scored.

    Attributes:
        place: the feature, by its source's row and its number.
        label, revision: the events that proposed the label, and that its words are from.
        scorer: how it was asked.
        reader: who read the label, empty where it was carried out.
        figure: the score.
        shuffled, random: what another feature's label and a random token score instead; None where nobody asked.
        questions: by what they are known; empty where there are none.
        read, written, cost, seconds: what it took.
    """

    place: Place
    label: int
    revision: int
    scorer: Scorer
    reader: str
    figure: Figure
    shuffled: float | None = None
    random: float | None = None
    questions: str = ""
    read: int = 0
    written: int = 0
    cost: float = 0.0
    seconds: float = 0.0


def add_scores(connection: Connection, run_id: uuid.UUID, found: Sequence[Judged]) -> None:
    """Store scores of a run, but for those that it has: of a process that was taken for dead, say. Needs a write."""
    now = datetime.now(UTC)
    rows = {row["id"]: row for row in ({**_row(run_id, each), "created_at": now} for each in found)}
    ids = list(rows)
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        known = select(LabelScore.id).where(LabelScore.id.in_(ids[begin : begin + _IDS_AT_ONCE]))
        for each in connection.scalars(known).all():
            del rows[each]
    if rows:
        connection.execute(insert(LabelScore), list(rows.values()))


def scored_by(connection: Connection, run_id: uuid.UUID) -> set[tuple[int, str, str]]:
    """What a run has stored: (revision, scorer, reader)."""
    statement = select(LabelScore.revision, LabelScore.scorer, LabelScore.reader).where(LabelScore.run_id == run_id)
    return {(row.revision, row.scorer, row.reader) for row in connection.execute(statement)}


def scores_of_run(connection: Connection, run_id: uuid.UUID) -> list[Any]:
    """All scores of a run, by feature, words and scorer."""
    rows = connection.execute(_with_run().where(LabelScore.run_id == run_id).order_by(*_ORDER))
    return list(rows)


def scores_of_features(connection: Connection, places: Iterable[Place]) -> list[Any]:
    """All scores of some features that were ever stored, of words that stand or not, the latest first.

    Rows have the fields of `LabelScore` and, of their run, `told` and `data`. This is what exports read.
    """
    found: list[Any] = []
    for source_id, number in sorted(set(places)):
        of = (LabelScore.source_id == source_id) & (LabelScore.number == number)
        found += connection.execute(_with_run().where(of).order_by(LabelScore.created_at.desc(), *_ORDER)).all()
    return found


def last_scores(connection: Connection, model_id: int, scorer: Scorer, *, descending: bool) -> Iterator[Any]:
    """The last score by each reader of every label that stands, by its value; none where there is no figure.

    Rows have the fields of `scores_of_features` and, of the label, `text`, `origin`, of its source `key` and `layer`.
    """
    later = aliased(LabelScore)
    same = (
        (later.revision == LabelScore.revision)
        & (later.scorer == LabelScore.scorer)
        & (later.reader == LabelScore.reader)
        & (later.created_at > LabelScore.created_at)
    )
    statement = (
        _with_run()
        .add_columns(Label.text, Label.origin, Source.key, Source.layer)
        .join(Label, (Label.stream == LabelScore.label) & (Label.revision == LabelScore.revision))
        .join(Source, Source.id == LabelScore.source_id)
        .where(Source.model_id == model_id, LabelScore.scorer == scorer, LabelScore.value.is_not(None))
        .where(~select(later.id).where(same).exists(), Label.text != "")
        .order_by(LabelScore.value.desc() if descending else LabelScore.value, LabelScore.label, LabelScore.reader)
    )
    yield from connection.execute(statement)


_ORDER = (LabelScore.source_id, LabelScore.number, LabelScore.revision, LabelScore.scorer, LabelScore.reader)


def _with_run() -> Select[*tuple[Any, ...]]:
    of_run = (NamingRun.told, NamingRun.data, NamingRun.author.label("run_author"))
    return select(*LabelScore.__table__.columns, *of_run).join(NamingRun, NamingRun.id == LabelScore.run_id)


def _row(run_id: uuid.UUID, each: Judged) -> dict[str, Any]:
    figure = each.figure
    return {
        "id": uuid.uuid5(_IDS, f"{run_id} {each.revision} {each.scorer} {each.reader}"),
        "run_id": run_id,
        "source_id": each.place[0],
        "number": each.place[1],
        "label": each.label,
        "revision": each.revision,
        "scorer": each.scorer,
        "version": VERSION[each.scorer],
        "reader": each.reader,
        **{name: getattr(figure, name) for name in ("value", "low", "high", "n", "unread", "why")},
        "details": dict(figure.details),
        "shuffled": each.shuffled,
        "random": each.random,
        "questions": each.questions,
        "tokens_read": each.read,
        "tokens_written": each.written,
        "cost": each.cost,
        "seconds": each.seconds,
    }
