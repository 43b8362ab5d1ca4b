"""Keeping the best few contexts of each group, whatever order they come in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import ragged, rank_in_run

FEATURES_A_PART = 1 << 13
_COARSE = 16  # bits of the order that a coarse bound leaves out


@dataclass(frozen=True)
class Rows:
    """Contexts as columns, with their firings. R rows, nnz firings.

    Attributes:
        group: whole numbers [R], among which rows a row competes.
        order: uint32 [R], what it competes by; smaller is better.
        place: uint64 [R], `place_of` its window; decides between equal orders. No two rows of a group share a place.
        lengths: whole numbers [R], firings of each row.
        positions: uint8 [nnz], where in the window, ascending within a row.
        values: float32 [nnz], how strongly.
    """

    group: NDArray[np.integer[Any]]
    order: NDArray[np.uint32]
    place: NDArray[np.uint64]
    lengths: NDArray[np.integer[Any]]
    positions: NDArray[np.uint8]
    values: NDArray[np.float32]

    @classmethod
    def none(cls, group: type[np.integer[Any]]) -> Rows:
        """No rows, narrow, with groups of that type."""
        return cls(
            np.zeros(0, group),
            np.zeros(0, np.uint32),
            np.zeros(0, np.uint64),
            np.zeros(0, np.uint16),
            np.zeros(0, np.uint8),
            np.zeros(0, np.float32),
        )

    @classmethod
    def join(cls, parts: list[Rows]) -> Rows:
        """All rows of several."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    def __len__(self) -> int:
        return len(self.group)

    def starts(self) -> NDArray[np.int64]:
        """int64 [R]: where each row's firings begin."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def narrow(self, group: type[np.integer[Any]]) -> Rows:
        """The same rows in little room: groups of that type, lengths of 16 bits. No context has as many firings."""
        lengths = self.lengths.astype(np.uint16, copy=False)
        return replace(self, group=self.group.astype(group, copy=False), lengths=lengths)

    def take(self, which: NDArray[np.int64]) -> Rows:
        """The rows numbered `which`, in that order."""
        lengths = self.lengths[which]
        firings = ragged(self.starts()[which], lengths.astype(np.int64))
        return Rows(
            self.group[which], self.order[which], self.place[which], lengths,
            self.positions[firings], self.values[firings],
        )  # fmt: skip


def place_of(document: NDArray[Any], start: NDArray[Any]) -> NDArray[np.uint64]:
    """One number for a window, by which windows sort as by (document, start). Both below 2³²."""
    return (document.astype(np.uint64) << np.uint64(32)) | start.astype(np.uint64)


def window_of(place: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Document and start of a place."""
    return (place >> np.uint64(32)).astype(np.int32), (place & np.uint64(0xFFFFFFFF)).astype(np.int32)


class BestRows:
    """The `n` smallest rows of each group by (order, place): a function of the set of rows ever offered, not of their
    sequence, so two of these merge exactly.

    Offered rows are first compared with the group's n-th best so far (`may_enter`); the few that pass gather in a
    buffer, which is sorted into the kept rows when it has grown to half their number. Rows lie in parts, some thousand
    features each, which are sorted one by one: sorting takes several times the room of what is sorted.

    Args:
        n: rows of each group.
        n_features: how many features there are.
        per_feature: groups of each; the number of a group is feature × per_feature + something.
        coarse: remember of each group's n-th best the upper half of its order alone, in 2 bytes instead of 12. More
            rows then pass the first comparison, and are turned away later: one in 65,536 where orders are hashes.
        buffer: new rows that gather at least.

    Attributes:
        bounds: uint32 [groups], the order of each group's n-th best so far, or uint16, its upper half; the greatest
            number where there are fewer. No row of a greater order enters.
        settled: how many times `bounds` has changed.
    """

    def __init__(
        self, n: int, n_features: int, per_feature: int = 1, coarse: bool = False, buffer: int = 1 << 15
    ) -> None:
        self.n = n
        n_groups = n_features * per_feature
        order = np.uint16 if coarse else np.uint32
        self.bounds: NDArray[np.unsignedinteger[Any]] = np.full(n_groups, np.iinfo(order).max, order)
        self.settled = 0
        self._bound_place = None if coarse else np.full(n_groups, np.iinfo(np.uint64).max, np.uint64)
        self._span = FEATURES_A_PART * per_feature
        self._group: type[np.integer[Any]] = np.uint32 if n_groups <= 1 << 32 else np.int64
        self._parts = [Rows.none(self._group) for _ in range(max(1, -(-n_features // FEATURES_A_PART)))]
        self._n_kept = 0
        self._new: list[Rows] = []
        self._n_new = 0
        self._buffer = buffer

    def may_enter(
        self, group: NDArray[np.int64], order: NDArray[np.uint32], place: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """Which of these rows are not surely worse than `n` others of their group."""
        bound = self.bounds.take(group)
        if self._bound_place is None:
            return np.flatnonzero((order >> _COARSE).astype(np.uint16) <= bound)
        which = np.flatnonzero(order <= bound)
        tied = order[which] == bound[which]
        hopeful: NDArray[np.int64] = which[~tied | (place[which] <= self._bound_place[group[which]])]
        return hopeful

    def add(self, rows: Rows) -> None:
        """Offers rows."""
        self._new.append(rows.narrow(self._group))
        self._n_new += len(rows)
        if self._n_new > max(self._buffer, self._n_kept // 2):
            self._settle()

    def parts(self) -> list[Rows]:
        """The kept rows, `FEATURES_A_PART` features each, sorted by group, order and place."""
        if self._new:
            self._settle()
        return self._parts

    def rows(self) -> Rows:
        """The kept rows of all parts, in the same order."""
        parts = self.parts()
        return parts[0] if len(parts) == 1 else Rows.join(parts)

    def _settle(self) -> None:
        new = Rows.join(self._new)
        self._new, self._n_new = [], 0
        if len(self._parts) == 1:
            self._parts[0] = self._best(Rows.join([self._parts[0], new]))
        else:
            part = (new.group // self._span).astype(np.uint16)
            order = np.argsort(part, kind="stable")
            cuts = np.searchsorted(part[order], np.arange(1, len(self._parts)))
            for number, which in enumerate(np.split(order, cuts)):
                if len(which):
                    self._parts[number] = self._best(Rows.join([self._parts[number], new.take(which)]))
        self._n_kept = sum(map(len, self._parts))
        self.settled += 1

    def _best(self, every: Rows) -> Rows:
        """The `n` best rows of each group, of which these are all there are; sets the groups' bounds."""
        key = (every.group.astype(np.uint64) << np.uint64(32)) | every.order
        order = _by_key_and_place(key, every.place)
        rank = rank_in_run(every.group[order])
        last = order[rank == self.n - 1]
        if self._bound_place is None:
            self.bounds[every.group[last]] = every.order[last] >> _COARSE
        else:
            self.bounds[every.group[last]] = every.order[last]
            self._bound_place[every.group[last]] = every.place[last]
        return every.take(order[rank < self.n])


def _by_key_and_place(key: NDArray[np.uint64], place: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The ascending order by key, equal keys by place; few are equal."""
    order = np.argsort(key, kind="stable")
    in_order = key.take(order)
    same = np.append(in_order[1:] == in_order[:-1], False)
    same[1:] |= same[:-1]
    tied = np.flatnonzero(same)
    rows = order[tied]
    order[tied] = rows[np.lexsort((place[rows], key[rows]))]
    return order
