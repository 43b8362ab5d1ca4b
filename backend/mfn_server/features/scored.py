"""What the labels that lists show score on held-out text, for lists that are sorted by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from mfn_server.db.score_tables import LabelScore
from mfn_server.db.tables import Label
from mfn_server.features.catalogue import Catalogue
from mfn_server.naming.scorers import Scorer


def scores_version(connection: Connection) -> int:
    """Another number once there are further scores: they are only ever added."""
    return connection.scalar(select(func.count()).select_from(LabelScore)) or 0


def score_values(connection: Connection, catalogue: Catalogue, scorer: Scorer) -> NDArray[np.float32]:
    """What the label that is shown of each row scored the last time, whoever read it: float32 [n], NaN where none did.

    A score is about words: of a label that was reworded since it does not count. Of a feature of which something is
    hidden there is none, whoever named it: a score is what a program says of the feature.
    """
    columns = catalogue.columns
    shown = (Label.stream == LabelScore.label) & (Label.revision == LabelScore.revision) & Label.is_primary
    found = connection.execute(
        select(LabelScore.source_id, LabelScore.number, LabelScore.value)
        .join(Label, shown)
        .where(LabelScore.scorer == scorer, LabelScore.value.is_not(None))
        .order_by(LabelScore.created_at, LabelScore.id)
    ).all()
    last = {(row.source_id, row.number): row.value for row in found}
    values = np.full(columns.n, np.nan, np.float32)
    for place in columns.places:
        here = [(number, value) for (source, number), value in last.items() if source == place.source.id]
        inside = [each for each in here if each[0] < place.end - place.begin]
        values[[place.begin + number for number, _ in inside]] = [value for _, value in inside]
    values[catalogue.hidden_rows()] = np.nan
    return values
