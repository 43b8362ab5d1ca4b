"""How many features have a label, as far as whoever asks may know."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from sqlalchemy import Connection, case, func, select

from mfn_server.campaigns.blind import Hidden
from mfn_server.db.tables import Label, Origin, Source
from mfn_server.labels.own import own_states


class Labelled(NamedTuple):
    """Features of a source that have a label, and those among them that only a program has labelled."""

    all: int = 0
    automatic: int = 0


def count_labelled(connection: Connection, model_id: int, hidden: Hidden) -> defaultdict[int, Labelled]:
    """Counts by source. Of features of which something is hidden, one's own labels count alone."""
    counts: defaultdict[int, Labelled] = defaultdict(Labelled)
    automatic = func.sum(case((Label.origin == Origin.AUTOMATIC, 1), else_=0))
    of_model = select(Source.id).where(Source.model_id == model_id)
    shown = (Label.is_primary, Label.source_id.in_(of_model))
    if not hidden.places:
        every = select(Label.source_id, func.count(), automatic).where(*shown).group_by(Label.source_id)
        counts.update((source_id, Labelled(n, of_programs)) for source_id, n, of_programs in connection.execute(every))
        return counts
    for source_id, number, origin in connection.execute(
        select(Label.source_id, Label.number, Label.origin).where(*shown)
    ):
        if (source_id, number) not in hidden.places:
            n, of_programs = counts[source_id]
            counts[source_id] = Labelled(n + 1, of_programs + (origin == Origin.AUTOMATIC))
    for (source_id, _), state in own_states(connection, hidden).items():
        if state.primary is not None:
            n, of_programs = counts[source_id]
            counts[source_id] = Labelled(n + 1, of_programs)
    return counts
