"""What the feature list looks things up in, out of a finished index: columns, orders, and which features a term is in.

Pure functions: nothing here touches a database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import ragged
from mfn_core.indexing.types import Contexts, LayerIndex
from mfn_server.db.blobs import F4, F8, I8, U4, pack
from mfn_server.db.context_rows import Windows
from mfn_server.db.term_sets import BLOCK, TermSet, term_sets

OFTEN = 0.25
"""A word belongs to a feature strongly if so large a share of its contexts holds it, and two at least (ours)."""

UNKNOWN = -1
"""In the column `half_firings`: not known."""

FOREMOST = 3
"""How many of the tokens that a feature fires on most stand for it where it has no label."""

_AT_ONCE = 4096  # features whose words are counted together: some 10 million pairs


class TermKind(IntEnum):
    """What a term is: a search word of its contexts, or a tag of the documents these are from."""

    WORD = 0
    TAG = 1


@dataclass(frozen=True)
class Terms:
    """Distinct terms of each window (or document), in CSR form.

    Attributes:
        names: of each term, in ascending order.
        offsets: int64 [W + 1], where each window's terms begin.
        ids: int32 [.], places in `names`.
    """

    names: list[str]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]

    @classmethod
    def of(cls, sets: Iterable[Iterable[str]]) -> Terms:
        """From the terms of each window; repeats count once."""
        number: dict[str, int] = {}
        parts: list[NDArray[np.int32]] = []
        for names in sets:
            parts.append(np.array([number.setdefault(name, len(number)) for name in set(names)], np.int32))
        ordered = sorted(number)
        place = np.empty(len(number), np.int32)
        place[[number[name] for name in ordered]] = np.arange(len(ordered), dtype=np.int32)
        lengths = [len(part) for part in parts]
        ids = np.concatenate([np.zeros(0, np.int32), *parts])
        return cls(ordered, np.cumsum([0, *lengths], dtype=np.int64), place[ids] if len(ids) else ids)

    def names_of(self, which: int) -> set[str]:
        """The terms of one window."""
        return {self.names[number] for number in self.ids[self.offsets[which] : self.offsets[which + 1]].tolist()}

    def of_many(self, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """How many terms each of these windows has, and the terms, end to end."""
        begin = self.offsets[which]
        counts = self.offsets[which + 1] - begin
        return counts, self.ids[ragged(begin, counts)]


def columns_of(layer: LayerIndex, n_tokens: int) -> dict[str, bytes]:
    """A source's columns and orders, each [F], as blobs. `COLUMNS` has their types.

    `foremost_ids` and `foremost_shares` are [F, 3]: the tokens that a feature fires on most, with their shares of its
    firings; 0 where there are fewer.

    Orders are feature numbers: of `rate`, `max` and `mean` the greatest first, of `token_r2` the least, unknown ones
    last; equal ones by number.
    """
    rate = layer.firing_count / max(n_tokens, 1)
    unknown = np.full(layer.n_features, UNKNOWN)
    r2 = np.full(layer.n_features, np.nan, np.float32) if layer.token_r2 is None else layer.token_r2
    ids, shares = (foremost(array) for array in (layer.top_token_ids, layer.top_token_share))
    columns: Mapping[str, NDArray[Any]] = {
        "firing_count": layer.firing_count,
        "rate": rate,
        "max": layer.maximum,
        "mean": layer.mean,
        "token_r2": r2,
        "half_firings": unknown if layer.half_firings is None else layer.half_firings,
        "foremost_ids": np.where(shares > 0, ids, 0),
        "foremost_shares": np.maximum(shares, 0),
    }
    orders = {
        f"by_{name}": np.argsort(values, kind="stable")
        for name, values in (("rate", -rate), ("max", -layer.maximum), ("mean", -layer.mean), ("token_r2", r2))
    }
    return {name: pack(array, COLUMNS[name].base) for name, array in (*columns.items(), *orders.items())}


COLUMNS = {
    "firing_count": I8, "rate": F8, "max": F4, "mean": F4, "token_r2": F4, "half_firings": I8,
    "by_rate": U4, "by_max": U4, "by_mean": U4, "by_token_r2": U4,
    "foremost_ids": np.dtype((U4, (FOREMOST,))), "foremost_shares": np.dtype((F4, (FOREMOST,))),
}  # fmt: skip
"""Names and types of what `columns_of` gives."""


def foremost(listed: NDArray[Any]) -> NDArray[Any]:
    """The first three of each row, [F, 3], with 0 for what is missing."""
    kept = listed[:, :FOREMOST]
    return np.pad(kept, ((0, 0), (0, FOREMOST - kept.shape[1])))


def word_sets(layers: Sequence[LayerIndex], windows: Windows, words: Terms) -> Iterator[TermSet]:
    """Which features have a word in their stored contexts. Level 1: often, 0: now and then.

    Args:
        layers: of one run; features are numbered across them, in this order.
        windows: of the run.
        words: of all windows.
    """

    def pairs(number: int, low: int, high: int) -> Iterator[_Pairs]:
        contexts = layers[number].contexts
        for begin in range(low, high, _AT_ONCE):
            end = min(begin + _AT_ONCE, high)
            stored = np.bincount(
                contexts.feature[contexts.rows_of(begin, end)].astype(np.int64) - begin, minlength=end - begin
            )
            row, term, times = _terms_of(contexts, lambda rows: windows.of(contexts, rows), begin, end, words)
            yield row, term, (times >= 2) & (times >= OFTEN * stored[row - begin])

    return _blocks(layers, pairs)


def tag_sets(layers: Sequence[LayerIndex], tags: Terms) -> Iterator[TermSet]:
    """Which features have a stored context in a document with a tag; `tags` are those of all documents."""

    def pairs(number: int, low: int, high: int) -> Iterator[_Pairs]:
        contexts = layers[number].contexts
        row, term, _ = _terms_of(contexts, lambda rows: contexts.document[rows].astype(np.int64), low, high, tags)
        yield row, term, np.zeros(len(row), np.bool_)

    return _blocks(layers, pairs)


_Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]
"""A feature's number in its source, a term, and the level, [P] each."""


def _terms_of(
    contexts: Contexts, place_of: Callable[[slice], NDArray[np.int64]], low: int, high: int, terms: Terms
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Which terms the contexts of features [low, high) hold: feature, term, and how many contexts; [P] each."""
    rows = contexts.rows_of(low, high)
    counts, ids = terms.of_many(place_of(rows))
    key = ids.astype(np.int64) * (high - low) + np.repeat(contexts.feature[rows].astype(np.int64) - low, counts)
    found, times = np.unique(key, return_counts=True)
    return found % (high - low) + low, found // (high - low), times


def _blocks(layers: Sequence[LayerIndex], pairs: Callable[[int, int, int], Iterator[_Pairs]]) -> Iterator[TermSet]:
    """Sets by block, term and level. `pairs(layer's place, low, high)` gives those of its features [low, high)."""
    starts = np.cumsum([0, *(layer.n_features for layer in layers)]).tolist()
    for block, first in enumerate(range(0, starts[-1], BLOCK)):
        last = min(first + BLOCK, starts[-1])
        found: list[_Pairs] = []
        for number, (start, end) in enumerate(pairwise(starts)):
            low, high = max(first, start), min(last, end)
            if low < high:
                shift = start - first
                found += [(row + shift, term, level) for row, term, level in pairs(number, low - start, high - start)]
        row, term, level = (np.concatenate(part) for part in zip(*found, strict=True))
        yield from term_sets(term, row, level, block, last - first)


def tags_of(meta: Mapping[str, Any]) -> list[str]:
    """A document's tags or concepts."""
    tags = meta.get("tags") or meta.get("concepts") or []
    return [str(tag) for tag in tags] if isinstance(tags, list | tuple) else [str(tags)]
