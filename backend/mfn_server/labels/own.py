"""What somebody said themselves of features of which all else is hidden from them."""

from __future__ import annotations

from sqlalchemy import Connection, select

from mfn_server.campaigns.blind import Hidden
from mfn_server.db.tables import LabelEvent
from mfn_server.labels.fold import FeatureState, fold
from mfn_server.labels.log import Place, events_by_place


def own_states(connection: Connection, hidden: Hidden) -> dict[Place, FeatureState]:
    """How hidden features stand for whoever sees nothing but their own words; those of which they said something."""
    by_me = select(LabelEvent.source_id, LabelEvent.number).where(LabelEvent.author_id == hidden.person_id).distinct()
    mine = hidden.places & {(source_id, number) for source_id, number in connection.execute(by_me)}
    return {place: fold(hidden.seen(events)) for place, events in events_by_place(connection, mine).items()}
