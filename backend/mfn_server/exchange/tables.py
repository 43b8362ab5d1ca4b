"""Which table and column each array of an index becomes: the schema of a parquet folder.

An array's first axis is the table's rows; each further axis becomes a list, so [F, 10] is a column of lists of ten.
Half precision is widened to float32, which more readers know; the manifest keeps the true type. A column's description
is what the docstring of its class says of the attribute.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mfn_core.indexing.types import Contexts, CorpusIndex, LayerIndex

TABLES: Mapping[str, str] = {
    "layers": "One row a layer of features, in order.",
    "features": "One row a feature. (layer, feature) is its key here and in every table of features.",
    "histograms": "How often each feature fires how strongly. The edges of the bins, common to a layer, are in layers.",
    "bands": "Each feature's contexts by strength, in bands of about equal count.",
    "tokens": "The tokens that each feature fires on most.",
    "logits": "The tokens whose logits each feature's direction raises and lowers most.",
    "neighbours": "The features of the same layer with the most similar directions.",
    "cofiring": "The features of the same layer that a feature fires together with, on a sample of tokens.",
    "weights": "What else the weights alone say of each feature: the shape of its logits, other features, its place.",
    "contexts": "Windows of documents in which a feature fires, with its firings as lists.",
    "documents": "The corpus: token ids, each document once.",
    "vocabulary": "The text of each token id.",
}

OF_FEATURES = ("features", "histograms", "bands", "tokens", "logits", "neighbours", "cofiring")
"""Tables with a row a feature, all in the same order."""

_TABLE_OF = {
    "bin_edges": "layers",
    "histogram": "histograms",
    "band_edges": "bands",
    "band_count": "bands",
    "top_token_ids": "tokens",
    "top_token_share": "tokens",
    "promoted_ids": "logits",
    "promoted_logits": "logits",
    "suppressed_ids": "logits",
    "suppressed_logits": "logits",
    "neighbour_ids": "neighbours",
    "neighbour_cos": "neighbours",
    "cofiring_ids": "cofiring",
    "cofiring_lift": "cofiring",
    "cofiring_joint": "cofiring",
    "next_token_ids": "tokens",
    "next_token_share": "tokens",
}
"""Arrays that are not named here go into `features` where their first axis is the features', else into `layers`."""

FIRINGS = ("positions", "values")
"""Arrays of `Contexts` that have one entry a firing, cut by its `offsets`; all others have one a context."""

_STORED = {np.dtype(np.float16): np.dtype(np.float32)}


class Column(NamedTuple):
    """An array's place: its table, and its type and number of axes, which are the same in every layer."""

    table: str
    dtype: np.dtype[Any]
    ndim: int


def arrays_of(layer: LayerIndex) -> dict[str, NDArray[Any]]:
    """All arrays of a layer by name, its contexts' apart."""
    named = ((field.name, getattr(layer, field.name)) for field in fields(layer))
    return {name: value for name, value in named if isinstance(value, np.ndarray)}


def scalars_of(layer: LayerIndex) -> dict[str, int | float | str | bool | None]:
    """All else that is known of a layer by name, None where it is not."""
    rest = {field.name: getattr(layer, field.name) for field in fields(layer) if field.name != "contexts"}
    scalars = {name: value for name, value in rest.items() if not isinstance(value, np.ndarray)}
    odd = [name for name, value in scalars.items() if not isinstance(value, int | float | str | None)]
    assert not odd, f"no column is known for {odd}: only arrays, numbers and text are carried"
    return scalars


def columns_of(index: CorpusIndex) -> dict[str, Column]:
    """Where each array of the index's layers goes."""
    found: dict[str, Column] = {}
    for layer in index.layers:
        for name, array in arrays_of(layer).items():
            of_features = array.ndim > 0 and len(array) == layer.n_features
            table = _TABLE_OF.get(name) or ("features" if of_features else "layers")
            column = Column(table, array.dtype, array.ndim)
            before = found.setdefault(name, column)
            assert before[1:] == column[1:], f"{name} is not of one type in all layers"
            if before.table == "features" and table == "layers":
                found[name] = column  # the lengths agreed by chance
    return found


def to_column(array: NDArray[Any]) -> pa.Array:
    """An array [n, ...] as n rows."""
    assert array.dtype.kind in "biuf", f"no column is known for {array.dtype}"
    column = pa.array(np.ascontiguousarray(array, stored(array.dtype)).reshape(-1))
    for axis in range(array.ndim - 1, 0, -1):
        count, size = math.prod(array.shape[:axis]), array.shape[axis]
        column = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * np.int32(size)), column)
    return column


def from_column(column: pa.ChunkedArray, dtype: np.dtype[Any], shape: Sequence[int]) -> NDArray[Any]:
    """The array [n, ...] that `to_column` wrote. Raises ValueError where the rows are not of that type and shape."""
    if len(column) != shape[0]:
        raise ValueError(f"{len(column)} rows, not {shape[0]}")
    inner = column.combine_chunks()
    for size in shape[1:]:
        if not pa.types.is_list(inner.type) or pc.any(pc.not_equal(pc.list_value_length(inner), size)).as_py():
            raise ValueError(f"lists that are not of length {size}")
        inner = inner.flatten()
    return flat(inner, dtype).reshape(shape)


def flat(column: pa.Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A column of numbers as an array of its true type. Raises ValueError for another type, or gaps."""
    if column.type != pa.from_numpy_dtype(stored(dtype)) or column.null_count:
        raise ValueError(f"{column.type} with {column.null_count} gaps where {dtype} is meant")
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False).astype(dtype)
    return values


def lists(values: NDArray[Any], offsets: NDArray[np.int64]) -> pa.Array:
    """Rows of lists: values[offsets[i] : offsets[i + 1]]."""
    part = values[offsets[0] : offsets[-1]]
    return pa.ListArray.from_arrays(pa.array((offsets - offsets[0]).astype(np.int32)), to_column(part))


def stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type that a file has for arrays of this one."""
    return _STORED.get(dtype, dtype)


def type_of(dtype: np.dtype[Any], depth: int) -> pa.DataType:
    """Numbers in so many lists."""
    kind: pa.DataType = pa.from_numpy_dtype(stored(dtype))
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


def described(name: str, kind: pa.DataType, text: str) -> pa.Field:
    """A column with its description as metadata."""
    return pa.field(name, kind, metadata={"description": text} if text else None)


def schema(table: str, columns: Sequence[pa.Field]) -> pa.Schema:
    """A table's columns, with its description as metadata."""
    return pa.schema(columns, metadata={"description": TABLES[table]})


def descriptions(kind: type[LayerIndex] | type[Contexts]) -> dict[str, str]:
    """What the docstring of a class says of each attribute; none without docstrings (python -OO)."""
    _, _, listed = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")  # Python 3.13 has cleaned it already
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \w)", "\n" + listed.rstrip()):
        names, _, text = entry.strip().partition(": ")
        for name in names.split(", "):
            found[name] = " ".join(text.split())
    return found
