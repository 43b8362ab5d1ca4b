"""Who has said something: authors of the log, as they were called last."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from mfn_server.campaigns.blind import Hidden
from mfn_server.db.tables import LabelEvent, Origin, Source


def names_of(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """Names by id, of those who have said something."""
    if not ids:
        return {}
    latest = (
        select(func.max(LabelEvent.stream))
        .where(LabelEvent.author_id.in_(sorted(ids)), LabelEvent.origin == Origin.HUMAN)
        .group_by(LabelEvent.author_id)
    )
    rows = connection.execute(select(LabelEvent.author_id, LabelEvent.author).where(LabelEvent.stream.in_(latest)))
    return {row.author_id: row.author for row in rows}


def people_of(connection: Connection, model_id: int, hidden: Hidden) -> dict[str, str]:
    """Everyone who has said something of a model's features that is not hidden: names by id."""
    by_people = (
        select(LabelEvent.author_id)
        .join(Source, Source.id == LabelEvent.source_id)
        .where(Source.model_id == model_id, LabelEvent.origin == Origin.HUMAN)
    )
    if not hidden.places:
        return names_of(connection, connection.scalars(by_people.distinct()).all())
    rows = connection.execute(by_people.add_columns(LabelEvent.source_id, LabelEvent.number).distinct())
    return names_of(
        connection,
        {
            author_id
            for author_id, source_id, number in rows
            if author_id == hidden.person_id or (source_id, number) not in hidden.places
        },
    )
