"""The labels that lists show, one a feature at most, in memory: whose they are, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, select, tuple_

from mfn_server.campaigns.blind import Hidden
from mfn_server.db.tables import Label, LabelEvent, Origin
from mfn_server.features.columns import Columns, turned
from mfn_server.labels.fold import FeatureState
from mfn_server.labels.own import own_states

ORIGINS = (None, Origin.HUMAN, Origin.AUTOMATIC)
"""What the numbers in `Names.origin` mean."""

_TURNS = np.array([2, 0, 1], np.uint8)
_PATCHED = 2000  # so many changed features are looked up one by one; beyond, all labels are read again
_AT_ONCE = 500


@dataclass(frozen=True)
class Names:
    """Shown labels of n features.

    Attributes:
        stream: the last label event that is in.
        origin: uint8 [n], places in `ORIGINS`.
        entries: (text in lower case, row) of each, in order.
        place: int32 [n], which of `texts` a feature's label is, -1 without one.
        texts: the different texts in lower case, ascending.
        shown: the label as it was written, by row.
    """

    stream: int
    origin: NDArray[np.uint8]
    entries: list[tuple[str, int]]
    place: NDArray[np.int32]
    texts: list[str]
    shown: dict[int, str]

    @classmethod
    def of(cls, stream: int, origin: NDArray[np.uint8], entries: list[tuple[str, int]], shown: dict[int, str]) -> Names:
        """From entries in order."""
        texts: list[str] = []
        places: list[int] = []
        for text, _ in entries:
            if not texts or texts[-1] != text:
                texts.append(text)
            places.append(len(texts) - 1)
        place = np.full(len(origin), -1, np.int32)
        place[[row for _, row in entries]] = places
        return cls(stream, origin, entries, place, texts, shown)

    def label(self, row: int) -> tuple[str | None, Origin | None]:
        """A feature's label and who wrote it; None and None without one."""
        return self.shown.get(row), ORIGINS[self.origin[row]]

    def order(self, descending: bool) -> NDArray[np.int32]:
        """All rows by label: int32 [n]. Those without one come last, either way; case does not count."""
        named = np.array([row for _, row in self.entries], np.int32)
        if descending:
            named = turned(named, self.place[named])
        return np.concatenate([named, np.flatnonzero(self.place < 0).astype(np.int32)])

    def named_first(self, order: NDArray[np.int32]) -> NDArray[np.int32]:
        """An order of all rows, parted: what people have named, what programs have named, the rest."""
        parted: NDArray[np.int32] = order[np.argsort(self.turn[order], kind="stable")]
        return parted

    @property
    def turn(self) -> NDArray[np.uint8]:
        """uint8 [n]: 0 for what a person has named, 1 for what a program has, 2 for the rest."""
        return _TURNS[self.origin]

    def changed(self, stream: int, labels: Mapping[int, tuple[str, str] | None]) -> Names:
        """With other labels on some rows: (text, origin), or None where there is no longer any."""
        origin, shown = self.origin.copy(), self.shown.copy()
        for row, label in labels.items():
            if label is None:
                origin[row] = 0
                shown.pop(row, None)
            else:
                shown[row], origin[row] = label[0], ORIGINS.index(Origin(label[1]))
        entries = [entry for entry in self.entries if entry[1] not in labels]
        entries += [(label[0].lower(), row) for row, label in labels.items() if label is not None]
        entries.sort()
        return Names.of(stream, origin, entries, shown)


def load_names(connection: Connection, columns: Columns, stream: int) -> Names:
    """Read all shown labels. `stream` is that of the edition they are read under: they may be newer."""
    sources = [place.source.id for place in columns.places]
    labels = _labels(connection, columns, _shown().where(Label.source_id.in_(sources)))
    nothing = Names.of(stream, np.zeros(columns.n, np.uint8), [], {})
    return nothing.changed(stream, labels) if labels else nothing


def refresh_names(connection: Connection, columns: Columns, names: Names, stream: int) -> Names:
    """Bring labels up to an event: only features that events since then are about are read again."""
    about = (
        select(LabelEvent.source_id, LabelEvent.number)
        .where(LabelEvent.stream > names.stream)
        .distinct()
        .limit(_PATCHED + 1)
    )
    features = connection.execute(about).all()
    if stream < names.stream or len(features) > _PATCHED:
        return load_names(connection, columns, stream)
    array = np.array([tuple(feature) for feature in features], np.int64).reshape(-1, 2)
    labels: dict[int, tuple[str, str] | None] = dict.fromkeys(columns.rows_of(array[:, 0], array[:, 1]).tolist())
    for begin in range(0, len(features), _AT_ONCE):
        these = [tuple(feature) for feature in features[begin : begin + _AT_ONCE]]
        labels |= _labels(connection, columns, _shown().where(tuple_(Label.source_id, Label.number).in_(these)))
    return names.changed(stream, labels)


def own_names(connection: Connection, columns: Columns, names: Names, hidden: Hidden) -> Names:
    """As somebody sees them from whom something is hidden: of those features, what they said themselves."""
    labels: dict[int, tuple[str, str] | None] = {}
    mine = own_states(connection, hidden)
    begins = {place.source.id: place for place in columns.places}
    for source_id, number in hidden.places:
        place = begins.get(source_id)
        if place is None or number >= place.end - place.begin:
            continue
        state = mine.get((source_id, number), FeatureState())
        label = None if state.primary is None else state.labels[state.primary]
        labels[place.begin + number] = None if label is None else (label.text, label.proposed.origin)
    return names.changed(names.stream, labels)


def _shown() -> Select[*tuple[Any, ...]]:
    return select(Label.source_id, Label.number, Label.text, Label.origin).where(Label.is_primary)


def _labels(
    connection: Connection, columns: Columns, statement: Select[*tuple[Any, ...]]
) -> dict[int, tuple[str, str] | None]:
    begins = {place.source.id: place for place in columns.places}
    found: dict[int, tuple[str, str] | None] = {}
    for source_id, number, text, origin in connection.execute(statement):
        place = begins.get(source_id)
        if place is not None and number < place.end - place.begin:
            found[place.begin + number] = (text, origin)
    return found
