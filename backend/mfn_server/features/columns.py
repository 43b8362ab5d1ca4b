"""The figures of all features that a model shows, as arrays in memory: some 85 bytes a feature.

A *row* is a feature's place here: sources by layer and row of the database, features by number. Equal values are always
in the order of rows, whichever way a list is sorted.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from mfn_core.errors import MFNError
from mfn_core.indexing.arrays import ragged, run_lengths, run_starts
from mfn_server.db.blobs import F4, unpack
from mfn_server.db.browse_build import FOREMOST
from mfn_server.db.browse_store import read_columns
from mfn_server.db.tables import FeatureDetail, Source, SourceIndex
from mfn_server.db.varints import split_rows
from mfn_server.features.edition import ShownSource
from mfn_server.features.status import status_codes
from mfn_server.features.telling import telling

GREATEST_FIRST = ("rate", "max", "mean")
"""Columns whose stored order begins with the greatest; that of `token_r2` begins with the least."""

_ROWS_AT_ONCE = 10_000


class ColumnsMissingError(MFNError):
    """A run has no columns: it is from an earlier version and has not been given them, or it is just being removed."""


class Place(NamedTuple):
    """Where a source's features are.

    Attributes:
        source: the source and its run.
        begin, end: its rows.
        in_run: place of its feature 0 among all features of the run.
    """

    source: ShownSource
    begin: int
    end: int
    in_run: int

    @property
    def first_id(self) -> int:
        """`feature.id` of its feature 0; the others' count on from there."""
        return self.source.first_feature_id + self.in_run


class Columns:
    """Columns of n features; arrays are not to be written to.

    Attributes:
        places: the sources, in order.
        n: how many features.
        runs: which runs they are of, and how many features each has, in sources that are shown or not.
        firing_count: int64 [n].
        rate: float64 [n].
        max, mean: float32 [n].
        token_r2: float32 [n], NaN where unknown.
        half_firings: int64 [n], -1 where unknown.
        status: uint8 [n], places in `status.STATUSES`.
        telling: float32 [n], how much a firing says: see `telling`.
        foremost_ids: uint32 [n, 3], the tokens that it fires on most.
        foremost_shares: float32 [n, 3], which share of its firings falls on each; 0 where there are fewer.
    """

    def __init__(self, places: list[Place], parts: list[dict[str, NDArray[Any]]]) -> None:
        self.places = places
        self.n = places[-1].end if places else 0
        self.runs = {place.source.run_id: place.source.n_features_of_run for place in places}

        def joined(name: str, dtype: type[Any], *shape: int) -> NDArray[Any]:
            return np.concatenate([np.zeros((0, *shape), dtype), *(part[name] for part in parts)])

        self.firing_count: NDArray[np.int64] = joined("firing_count", np.int64)
        self.rate: NDArray[np.float64] = joined("rate", np.float64)
        self.max: NDArray[np.float32] = joined("max", np.float32)
        self.mean: NDArray[np.float32] = joined("mean", np.float32)
        self.token_r2: NDArray[np.float32] = joined("token_r2", np.float32)
        self.half_firings: NDArray[np.int64] = joined("half_firings", np.int64)
        self.telling = telling(self.firing_count, self.rate, self.max, self.mean, self.token_r2)
        self.foremost_ids: NDArray[np.uint32] = joined("foremost_ids", np.uint32, FOREMOST)
        self.foremost_shares: NDArray[np.float32] = joined("foremost_shares", np.float32, FOREMOST)
        self.status = np.concatenate(
            [
                np.zeros(0, np.uint8),
                *(
                    status_codes(part["firing_count"], place.source.n_tokens)
                    for place, part in zip(places, parts, strict=True)
                ),
            ]
        )
        self._lock = threading.Lock()
        self._orders: dict[tuple[str, bool], NDArray[np.int32]] = {}
        for name in (*GREATEST_FIRST, "token_r2"):
            each = (part[f"by_{name}"] + place.begin for place, part in zip(places, parts, strict=True))
            rows = np.concatenate([np.zeros(0, np.int32), *each]).astype(np.int32)
            values = getattr(self, name)[rows]
            # a few ascending stretches, which a stable sort (timsort) merges
            merged = rows[np.argsort(-values if name in GREATEST_FIRST else values, kind="stable")]
            self._orders[name, name in GREATEST_FIRST] = merged

    def order(self, name: str, descending: bool) -> NDArray[np.int32]:
        """All rows in the order of a column (or of `index`): int32 [n]. Unknown values come last, either way."""
        with self._lock:
            known = self._orders.get((name, descending))
            if known is None:
                known = self._order(name, descending)
                self._orders[name, descending] = known
            return known

    def _order(self, name: str, descending: bool) -> NDArray[np.int32]:
        if name == "index":
            number = np.concatenate([np.zeros(0, np.int32), *(np.arange(p.end - p.begin) for p in self.places)])
            by_number: NDArray[np.int32] = np.argsort(-number if descending else number, kind="stable").astype(np.int32)
            return by_number
        if name == "telling":
            values = -self.telling if descending else self.telling
            by_telling: NDArray[np.int32] = np.argsort(values, kind="stable").astype(np.int32)
            return by_telling
        forward = self._orders[name, not descending]
        values = getattr(self, name)[forward]
        known = len(values) - int(np.isnan(values).sum())
        backwards: NDArray[np.int32] = np.concatenate([turned(forward[:known], values[:known]), forward[known:]])
        return backwards

    def place_of(self, key: str) -> Place | None:
        """Where a source is, if it is shown."""
        return next((place for place in self.places if place.source.key == key), None)

    def place_at(self, layer: int) -> Place | None:
        """Where the source at a layer is, if one is shown."""
        return next((place for place in self.places if place.source.layer == layer), None)

    def locate(self, row: int) -> tuple[Place, int]:
        """The source of a row, and the feature's number in it."""
        place = next(place for place in self.places if row < place.end)
        return place, row - place.begin

    def rows_of(self, source_ids: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of features by source and number, without those that are not shown."""
        rows = np.full(len(numbers), -1, np.int64)
        for place in self.places:
            mine = (source_ids == place.source.id) & (numbers >= 0) & (numbers < place.end - place.begin)
            rows[mine] = numbers[mine] + place.begin
        return rows[rows >= 0]

    def ids(self, rows: NDArray[Any]) -> list[int]:
        """`feature.id` of rows."""
        found = np.empty(len(rows), np.int64)
        for place in self.places:
            mine = (rows >= place.begin) & (rows < place.end)
            found[mine] = rows[mine].astype(np.int64) - place.begin + place.first_id
        return [int(number) for number in found]

    def spread(self, run_id: int, figures: NDArray[Any], out: NDArray[Any]) -> None:
        """Write figures of a run's features, in the run's own order, to their rows in `out`."""
        for place in self.places:
            if place.source.run_id == run_id:
                out[place.begin : place.end] = figures[place.in_run : place.in_run + place.end - place.begin]


def turned(order: NDArray[np.int32], values: NDArray[Any]) -> NDArray[np.int32]:
    """The order backwards, with equal values as they were. `values` are those of `order`, in its order."""
    begins = run_starts(values)
    backwards: NDArray[np.int32] = order[ragged(begins[::-1], run_lengths(begins, len(order))[::-1])]
    return backwards


def load_columns(connection: Connection, sources: tuple[ShownSource, ...]) -> Columns:
    """Read the columns of what is shown.

    Raises:
        ColumnsMissingError: a run has none.
    """
    starts = _starts(connection, {source.run_id for source in sources})
    places: list[Place] = []
    parts: list[dict[str, NDArray[Any]]] = []
    begin = 0
    for source in sources:
        part = read_columns(connection, source.run_id, source.id)
        in_run = starts.get((source.run_id, source.id))
        if not part or in_run is None:
            raise ColumnsMissingError(f"run {source.run_id} has no columns for lists")
        end = begin + len(part["rate"])
        place = Place(source, begin, end, in_run)
        if "foremost_ids" not in part:
            part |= _foremost_of_rows(connection, place)
        places.append(place)
        parts.append(part)
        begin = end
    return Columns(places, parts)


def _foremost_of_rows(connection: Connection, place: Place) -> dict[str, NDArray[Any]]:
    """The columns of foremost tokens of a run from before it had them, out of its rows: seconds for a million."""
    n = place.end - place.begin
    ids, shares = np.zeros((n, FOREMOST), np.uint32), np.zeros((n, FOREMOST), np.float32)
    of = select(FeatureDetail.feature_id, FeatureDetail.token_ids, FeatureDetail.token_shares).where(
        FeatureDetail.feature_id.between(place.first_id, place.first_id + n - 1)
    )
    rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(of)
    for some in rows.partitions():
        for row, listed in zip(some, split_rows([row.token_ids for row in some]), strict=True):
            number, kept = row.feature_id - place.first_id, listed[:FOREMOST]
            ids[number, : len(kept)] = kept
            shares[number, : len(kept)] = unpack(row.token_shares, F4)[:FOREMOST]
    return {"foremost_ids": ids, "foremost_shares": shares}


def _starts(connection: Connection, runs: set[int]) -> dict[tuple[int, int], int]:
    """Where each source's features begin among those of its run, by run and source."""
    statement = (
        select(SourceIndex.run_id, Source.id, Source.n_features)
        .join(Source, Source.id == SourceIndex.source_id)
        .where(SourceIndex.run_id.in_(runs))
        .order_by(SourceIndex.run_id, Source.layer, Source.id)
    )
    starts: dict[tuple[int, int], int] = {}
    ends: dict[int, int] = defaultdict(int)
    for run_id, source_id, n in connection.execute(statement):
        starts[run_id, source_id] = ends[run_id]
        ends[run_id] += n
    return starts
