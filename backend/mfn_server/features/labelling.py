"""Label events: recorded once, in order, and projected into labels for reading."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select, update

from mfn_server.db.search import add_to_search
from mfn_server.db.tables import Counter, Label, LabelEvent, Origin, Source
from mfn_server.errors import APIError
from mfn_server.features.reading import check_feature, source_named
from mfn_server.features.schemas import LabelEventView, ProposeLabel

STREAM = "label_event"
PROPOSE, PROPOSE_VERSION = "propose", 1


def propose(
    connection: Connection, model_id: int, key: str, index: int, proposal: ProposeLabel
) -> tuple[LabelEventView, bool]:
    """Record a proposed label. Needs a write transaction.

    Returns:
        The event, and whether it is new: a repeat of an earlier request gives that request's event.

    Raises:
        APIError: no such feature; an empty label; an id that was used for something else (409).
    """
    source = source_named(connection, model_id, key)
    check_feature(source.key, source.n_features, index)
    text = " ".join(proposal.text.split())
    if not text:
        raise APIError(422, "invalid_request", "text: must not be blank", field="text")
    # the lock comes first, so that a repeat that arrives at the same time waits and then sees this one
    connection.execute(select(Counter).where(Counter.name == STREAM).with_for_update())
    earlier = _event(connection, proposal)
    if earlier is not None:
        if (earlier.source, earlier.index, earlier.text) != (key, index, text):
            raise APIError(409, "id_reused", "this id was used for another label", hint="make a new UUID", field="id")
        return earlier, False
    stream = connection.scalar(
        update(Counter).where(Counter.name == STREAM).values(value=Counter.value + 1).returning(Counter.value)
    )
    assert stream is not None, "the first migration makes the counter"
    now = datetime.now(UTC)
    connection.execute(
        insert(LabelEvent).values(
            stream=stream,
            id=proposal.id,
            type=PROPOSE,
            source_id=source.id,
            number=index,
            author=proposal.author,
            origin=Origin.HUMAN,
            created_at=now,
            base_version=proposal.base_version,
            payload={"text": text},
            payload_version=PROPOSE_VERSION,
            reason=proposal.reason,
        )
    )
    same = (Label.source_id == source.id, Label.number == index)
    connection.execute(update(Label).where(*same).values(is_primary=False))
    label_id = connection.scalar(
        insert(Label)
        .values(
            stream=stream,
            source_id=source.id,
            number=index,
            text=text,
            author=proposal.author,
            origin=Origin.HUMAN,
            created_at=now,
            is_primary=True,
        )
        .returning(Label.id)
    )
    assert label_id is not None
    add_to_search(connection, "label_search", [(label_id, text)])
    event = _event(connection, proposal)
    assert event is not None
    return event, True


def _event(connection: Connection, proposal: ProposeLabel) -> LabelEventView | None:
    """The event with the proposal's id, if there is one."""
    row = connection.execute(
        select(LabelEvent, Source.key)
        .join(Source, Source.id == LabelEvent.source_id)
        .where(LabelEvent.id == proposal.id)
    ).one_or_none()
    if row is None:
        return None
    return LabelEventView(
        id=row.id,
        stream=row.stream,
        type="propose",
        source=row.key,
        index=row.number,
        text=row.payload["text"],
        author=row.author,
        reason=row.reason,
        base_version=row.base_version,
        created_at=row.created_at,
    )
