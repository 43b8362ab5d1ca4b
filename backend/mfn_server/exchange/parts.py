"""An index as blocks of features, so that one need not hold all of it to write it or look through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.indexing.arrays import slices
from mfn_core.indexing.types import Contexts, CorpusIndex, IndexSettings, LayerIndex
from mfn_server.exchange.table_names import FIRINGS, Column, arrays_of, columns_of

BLOCK = 4096
"""Features of a block."""


@dataclass(frozen=True)
class LayerParts:
    """A layer.

    Attributes:
        layer: its number.
        n_features: F.
        whole: what is known of the layer as a whole: numbers, text, and arrays that are not of features.
        shapes: of each array that it has, those of features with F first.
        blocks: gives its features in order, some at a time, each time it is called. A block is a `LayerIndex` of these
            features alone, except that `contexts.feature` counts from the layer's first.
    """

    layer: int
    n_features: int
    whole: Mapping[str, Any]
    shapes: Mapping[str, list[int]]
    blocks: Callable[[], Iterator[LayerIndex]]


@dataclass(frozen=True)
class IndexParts:
    """An index. `columns` has each array of a layer, `contexts` the types of each of `Contexts`; see `CorpusIndex`."""

    columns: Mapping[str, Column]
    contexts: Mapping[str, np.dtype[Any]]
    layers: Sequence[LayerParts]
    documents: Sequence[NDArray[np.uint32]]
    meta: Sequence[dict[str, Any]]
    n_tokens: int
    settings: IndexSettings
    model_fingerprint: str


def parts_of(index: CorpusIndex) -> IndexParts:
    """An index that is held in memory."""
    columns = columns_of(index)
    firsts = [layer.contexts for layer in index.layers[:1]]
    return IndexParts(
        columns=columns,
        contexts={name.name: getattr(contexts, name.name).dtype for contexts in firsts for name in fields(Contexts)},
        layers=[_parts_of_layer(layer, columns) for layer in index.layers],
        documents=index.documents,
        meta=index.meta,
        n_tokens=index.n_tokens,
        settings=index.settings,
        model_fingerprint=index.model_fingerprint,
    )


def _parts_of_layer(layer: LayerIndex, columns: Mapping[str, Column]) -> LayerParts:
    arrays = arrays_of(layer)
    of_features = [name for name in arrays if columns[name].table != "layers"]
    known = {field.name: getattr(layer, field.name) for field in fields(layer)}
    whole = {name: value for name, value in known.items() if name not in (*of_features, "contexts")}

    def blocks() -> Iterator[LayerIndex]:
        return blocks_of(layer, of_features)

    return LayerParts(layer.layer, layer.n_features, whole, {n: list(a.shape) for n, a in arrays.items()}, blocks)


def blocks_of(layer: LayerIndex, of_features: Sequence[str], size: int | None = None) -> Iterator[LayerIndex]:
    """A layer's features, `BLOCK` or so many at a time; of these arrays their part, all others whole."""
    for part in slices(layer.n_features, size or BLOCK):
        rows = layer.contexts.rows_of(part.start, part.stop)
        yield replace(
            layer,
            n_features=part.stop - part.start,
            contexts=some_contexts(layer.contexts, rows.start, rows.stop),
            **{name: getattr(layer, name)[part] for name in of_features},
        )


def some_contexts(contexts: Contexts, begin: int, end: int) -> Contexts:
    """Rows begin to end - 1."""
    offsets = contexts.offsets[begin : end + 1]
    first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
    columns = {
        field.name: getattr(contexts, field.name)[slice(first, last) if field.name in FIRINGS else slice(begin, end)]
        for field in fields(Contexts)
        if field.name != "offsets"
    }
    return Contexts(**columns, offsets=offsets - first)
