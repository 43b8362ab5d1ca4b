"""Arrays as columns of parquet tables and back: the schema of a folder.

An array's first axis is the table's rows; each further axis becomes a list, so [F, 10] is a column of lists of ten.
Half precision is widened to float32, which more readers know; the manifest keeps the true type. A column's description
is what the docstring of its class says of the attribute.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mfn_core.indexing.types import Contexts, LayerIndex
from mfn_server.exchange.table_names import TABLES

_STORED = {np.dtype(np.float16): np.dtype(np.float32)}


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
