"""All that is shown of a model's features, kept in memory for as long as it is what the database says."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from mfn_server.campaigns.blind import NOTHING, Hidden
from mfn_server.features.columns import Columns, load_columns
from mfn_server.features.edition import Edition, read_edition
from mfn_server.features.meaning import Meanings
from mfn_server.features.names import Names, load_names, own_names, refresh_names

Scalar = TypeVar("Scalar", bound=np.generic)

KEPT_BYTES = 64 << 20
"""How much room the lists of one catalogue may take that were asked for last."""

VIEWS = 16
"""How many people from whom something is hidden have their own view of a catalogue in memory."""

_FEW = 16  # of so many parts of all rows, at most one passes


class Kept:
    """Arrays by key, those used last, up to a number of bytes. Threads may share one."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most = most
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], NDArray[Scalar]]) -> NDArray[Scalar]:
        """The array under a key, made if it is not there. Two threads that ask at once may both make it."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        made = make()
        with self._lock:
            if key not in self._arrays and made.nbytes <= self._most:
                self._arrays[key] = made
                self._bytes += made.nbytes
                while self._bytes > self._most:
                    self._bytes -= self._arrays.popitem(last=False)[1].nbytes
        return made


@dataclass(frozen=True)
class Catalogue:
    """Features of one edition.

    Attributes:
        edition: which.
        columns: figures.
        names: shown labels.
        meanings: what search by meaning needs, once it is asked for.
        kept: lists that were asked for.
        hidden: what is left out of the names, and must be out of everything else that labels say.
    """

    edition: Edition
    columns: Columns
    names: Names
    meanings: Meanings
    kept: Kept = field(default_factory=Kept)
    hidden: Hidden = NOTHING

    def hidden_rows(self) -> NDArray[np.int64]:
        """Rows of features of which something is hidden."""
        places = np.array(sorted(self.hidden.places), np.int64).reshape(-1, 2)
        return self.columns.rows_of(places[:, 0], places[:, 1])

    def order(self, sort: str, descending: bool) -> NDArray[np.int32]:
        """All rows in an order: int32 [n]."""
        if sort == "label":
            return self.kept.get(("label", descending), lambda: self.names.order(descending))
        if sort == "telling":
            return self.kept.get(
                ("telling", descending), lambda: self.names.named_first(self.columns.order(sort, descending))
            )
        return self.columns.order(sort, descending)

    def chosen(self, passes: NDArray[np.bool_], sort: str, descending: bool) -> NDArray[np.int32]:
        """The rows that pass, in an order: int32 [.]."""
        order = self.order(sort, descending)
        if np.count_nonzero(passes) * _FEW > len(passes):
            return order[passes[order]]
        # few are quicker put in order by themselves than found by leafing through all
        rank = self.kept.get(("rank", sort, descending), lambda: _inverse(order))
        rows = np.flatnonzero(passes)
        few: NDArray[np.int32] = rows[np.argsort(rank[rows])].astype(np.int32)
        return few


def _inverse(order: NDArray[np.int32]) -> NDArray[np.int32]:
    """The rank of each row."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank


class Catalogues:
    """The catalogue of a server's model. It is looked up anew for each request and read anew when it has changed."""

    def __init__(self) -> None:
        self._last: Catalogue | None = None
        self._meanings = Meanings()
        self._lock = threading.Lock()
        self._views: OrderedDict[Hidden, Catalogue] = OrderedDict()

    def current(self, connection: Connection, model_id: int, model: str, hidden: Hidden) -> Catalogue:
        """The catalogue of the present edition."""
        return self.of(connection, read_edition(connection, model_id, model), hidden)

    def of(self, connection: Connection, edition: Edition, hidden: Hidden) -> Catalogue:
        """The catalogue of an edition that has just been read, without what is hidden from whoever asks.

        Raises:
            ColumnsMissingError: a run has no columns.
        """
        whole = self._whole(connection, edition)
        if not hidden.places:
            return whole
        with self._lock:
            view = self._views.get(hidden)
            if view is not None and view.edition == edition:
                self._views.move_to_end(hidden)
                return view
        names = own_names(connection, whole.columns, whole.names, hidden)
        view = replace(whole, names=names, kept=Kept(KEPT_BYTES // VIEWS), hidden=hidden)
        with self._lock:
            self._views[hidden] = view
            while len(self._views) > VIEWS:
                self._views.popitem(last=False)
        return view

    def _whole(self, connection: Connection, edition: Edition) -> Catalogue:
        """The catalogue of an edition with everything in it.

        Raises:
            ColumnsMissingError: a run has no columns.
        """
        last = self._last
        if last is not None and last.edition == edition:
            return last
        with self._lock:  # whoever comes meanwhile would read the same
            last = self._last
            if last is not None and last.edition == edition:
                return last
            if last is not None and last.edition.sources == edition.sources:
                names = refresh_names(connection, last.columns, last.names, edition.stream)
                made = Catalogue(edition, last.columns, names, self._meanings)
            else:
                columns = load_columns(connection, edition.sources)
                made = Catalogue(edition, columns, load_names(connection, columns, edition.stream), self._meanings)
            self._last = made
            return made
