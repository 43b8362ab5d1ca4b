"""Which features a collection has, for lists; as whoever asks sees it."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from mfn_server.campaigns.blind import Hidden
from mfn_server.collecting.reading import seen_state
from mfn_server.db.tables import Model
from mfn_server.features.catalogue import Catalogue


class Members(NamedTuple):
    """Rows of a catalogue that a collection has, and the collection's version."""

    version: int
    rows: NDArray[np.int64]

    def mask(self, n: int) -> NDArray[np.bool_]:
        """Which of n rows they are: bool [n]."""
        mask = np.zeros(n, np.bool_)
        mask[self.rows] = True
        return mask


def members_of(connection: Connection, catalogue: Catalogue, collection: UUID) -> Members:
    """The features of a collection that are shown. Raises APIError (404)."""
    model_id = connection.scalar(select(Model.id).where(Model.fingerprint == catalogue.edition.model))
    assert model_id is not None
    state = seen_state(connection, model_id, collection, catalogue.hidden)
    ids = {place.source.key: place.source.id for place in catalogue.columns.places}
    here = [(ids[source], index) for source, index in state.items if source in ids]
    places = np.array(here, np.int64).reshape(-1, 2)
    return Members(state.version, catalogue.columns.rows_of(places[:, 0], places[:, 1]))


def version_of(connection: Connection, model_id: int, collection: UUID | None, hidden: Hidden) -> int:
    """The version of the collection that a list is restricted to; 0 without one. Raises APIError (404)."""
    return 0 if collection is None else seen_state(connection, model_id, collection, hidden).version
