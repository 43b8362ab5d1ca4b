"""What stands of a model's features as rows of tables: labels, opinions, comments; read some features at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import select

from mfn_server.campaigns.blind import Hidden
from mfn_server.campaigns.withheld import withheld_from_files
from mfn_server.db.session import Database
from mfn_server.db.tables import LabelSummary, Source
from mfn_server.labels.fold import FeatureState, LabelState, fold
from mfn_server.labels.log import Event, events_by_place
from mfn_server.labels.payloads import Opinion

AT_ONCE = 200
"""Features that are read in one snapshot."""

Row = dict[str, Any]
LABEL, OPINION, COMMENT = "label", "opinion", "comment"


class FeatureRows(NamedTuple):
    """Rows of one feature. All rows of a kind have the same fields."""

    labels: list[Row]
    opinions: list[Row]
    comments: list[Row]


def feature_rows(database: Database, model_id: int) -> Iterator[FeatureRows]:
    """Rows of each feature of which something stands, by layer and number; nothing that is hidden from anyone."""
    with database.snapshot() as connection:
        of_model = select(Source.id, Source.key, Source.layer).where(Source.model_id == model_id)
        sources = connection.execute(of_model.order_by(Source.layer, Source.key)).all()
    for source in sources:
        after = -1
        while True:
            with database.snapshot() as connection:
                hidden = withheld_from_files(connection)
                behind = (LabelSummary.source_id == source.id, LabelSummary.number > after)
                found = select(LabelSummary.number).where(*behind).order_by(LabelSummary.number).limit(AT_ONCE)
                numbers = connection.scalars(found).all()
                places = [(source.id, number) for number in numbers]
                events = events_by_place(connection, places)
            for place in places:
                yield _rows(source.key, source.layer, place[1], _seen(hidden, events[place]))
            if len(numbers) < AT_ONCE:
                break
            after = numbers[-1]


def _seen(hidden: Hidden, events: list[Event]) -> FeatureState:
    return fold(hidden.seen(events))


def _rows(source: str, layer: int, index: int, state: FeatureState) -> FeatureRows:
    here = {"source": source, "layer": layer, "index": index}
    tags = sorted(state.tags)
    labels = [
        {
            **here,
            "text": label.text,
            "standing": _standing(state, label),
            "author": label.proposed.author,
            "author_id": label.proposed.author_id,
            "origin": str(label.proposed.origin),
            "created_at": label.proposed.created_at,
            "revised_at": None if label.said is label.proposed else label.said.created_at,
            "confidence": label.confidence,
            "up": label.count(1),
            "down": label.count(-1),
            "tags": tags,
            "reason": label.said.reason,
            "event": str(label.proposed.id),
        }
        for label in state.labels.values()
        if label.text
    ]
    opinions = [
        _opinion(here, str(campaign), event) for (campaign, _), event in sorted(state.opinions.items(), key=_by_stream)
    ]
    ids = {stream: str(of.event.id) for stream, of in state.comments.items()}
    comments = [
        {
            **here,
            "text": of.comment.text,
            "author": of.event.author,
            "author_id": of.event.author_id,
            "created_at": of.event.created_at,
            "reply_to": None if of.comment.reply_to is None else ids.get(of.comment.reply_to),
            "event": str(of.event.id),
        }
        for of in state.comments.values()
        if of.comment.text and not of.retracted
    ]
    return FeatureRows(labels, opinions, comments)


def _by_stream(item: tuple[Any, Event]) -> int:
    return item[1].stream


def _standing(state: FeatureState, label: LabelState) -> str:
    if label.stream == state.accepted_label:
        return "accepted"
    if label.is_suggestion:
        return "suggestion"
    return "shown" if label.stream == state.primary else "beside"


def _opinion(here: Row, campaign: str, event: Event) -> Row:
    said = event.payload
    assert isinstance(said, Opinion)
    return {
        **here,
        "campaign": campaign,
        "text": said.text,
        "flag": said.flag,
        "one_concept": said.one_concept,
        "specificity": said.specificity,
        "confidence": said.confidence,
        "evidence": said.evidence,
        "tags": list(said.tags),
        "author": event.author,
        "author_id": event.author_id,
        "created_at": event.created_at,
        "reason": event.reason,
        "event": str(event.id),
    }
