"""A folder of parquet files becomes an index again. Nothing in it is trusted before it is checked."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mfn_core.indexing.types import Contexts, CorpusIndex, IndexSettings, LayerIndex
from mfn_server.exchange.manifest import Manifest, check_files, read_manifest
from mfn_server.exchange.tables import FIRINGS, OF_FEATURES, TABLES, flat, from_column
from mfn_server.index_file import IndexFileError

_READ = tuple(table for table in TABLES if table not in ("vocabulary", "weights"))
"""The vocabulary is for other readers: here it is the model's. For the weights see `weight_tables`."""


def read_folder(folder: Path) -> CorpusIndex:
    """Read an index that `write_folder` wrote.

    Raises:
        IndexFileError: what is missing, damaged, or of a format that this version does not read.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest, [f"{table}.parquet" for table in _READ])
    try:
        with ExitStack() as stack:
            files = {
                table: TableFile(stack.enter_context(pq.ParquetFile(folder / f"{table}.parquet"))) for table in _READ
            }
            overview = files["layers"].take(len(manifest.layers))
            layers = [_layer(manifest, i, overview.slice(i, 1), files) for i in range(len(manifest.layers))]
            documents, meta = _documents(manifest, files["documents"])
            for name, table in files.items():
                table.take(0, last=True)
                if table.n_rows != manifest.files[f"{name}.parquet"].rows:
                    raise ValueError(f"{name} has {table.n_rows:,} rows")
            return CorpusIndex(
                layers=layers,
                documents=documents,
                meta=meta,
                n_tokens=manifest.n_tokens,
                settings=IndexSettings(**manifest.settings),
                model_fingerprint=manifest.model_fingerprint,
            )
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        if isinstance(error, IndexFileError):
            raise
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise IndexFileError(f"{folder} is damaged: its tables are not what its manifest says: {what}") from error


class TableFile:
    """A parquet file that is read from its beginning to its end, row group by row group."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self.n_rows: int = file.metadata.num_rows
        self._file = file
        self._next = 0

    def take(self, rows: int, last: bool = False) -> pa.Table:
        """The next so many rows. Raises ValueError where row groups do not end there, or more follow the `last`."""
        groups, left = [], rows
        while left > 0 and self._next < self._file.num_row_groups:
            left -= self._file.metadata.row_group(self._next).num_rows
            groups.append(self._next)
            self._next += 1
        if left or (last and self._next < self._file.num_row_groups):
            raise ValueError(f"there are not as many rows as expected ({rows:,} and {left:,} off)")
        return self._file.read_row_groups(groups)


def _layer(manifest: Manifest, number: int, overview: pa.Table, files: dict[str, TableFile]) -> LayerIndex:
    """The layer of that number, whose row of `layers` is the overview."""
    known, entry = {field.name for field in fields(LayerIndex)}, manifest.layers[number]
    tables = {"layers": overview, "contexts": files["contexts"].take(entry.n_contexts)}
    tables |= {table: files[table].take(entry.n_features) for table in OF_FEATURES}
    for table, rows in tables.items():
        check_key(table, rows, entry.layer, entry.n_features)
    facts: dict[str, Any] = {
        name: overview.column(name)[0].as_py()
        for name in overview.column_names
        if name not in manifest.arrays and name != "n_contexts"
    }
    for name, shape in entry.shapes.items():
        array = manifest.arrays[name]
        column, dtype = tables[array.table].column(name), np.dtype(array.dtype)
        in_a_row = array.table == "layers"
        facts[name] = from_column(column, dtype, [1, *shape])[0] if in_a_row else from_column(column, dtype, shape)
    if unknown := facts.keys() - known:
        raise IndexFileError(f"it holds {', '.join(sorted(unknown))}, which this version does not know: update the app")
    return LayerIndex(**facts, contexts=_contexts(manifest, tables["contexts"]))


def check_key(table: str, rows: pa.Table, layer: int, n_features: int) -> None:
    """Whether rows are those of the layer, and of its features in order. Raises ValueError where they are not."""
    right = not pc.any(pc.not_equal(rows.column("layer"), layer)).as_py()
    if table in (*OF_FEATURES, "weights"):
        right = right and np.array_equal(rows.column("feature").to_numpy(), np.arange(n_features))
    if not right:
        raise ValueError(f"{table} of layer {layer} has rows that are others'")


def _contexts(manifest: Manifest, rows: pa.Table) -> Contexts:
    arrays: dict[str, NDArray[Any]] = {}
    for name in (field.name for field in fields(Contexts)):
        dtype = np.dtype(manifest.contexts[name])
        if name == "offsets":
            lengths = [_lengths(rows.column(firings)) for firings in FIRINGS]
            if not all(np.array_equal(lengths[0], other) for other in lengths):
                raise ValueError("firings without a position or a value")
            arrays[name] = np.concatenate([np.zeros(1, dtype), np.cumsum(lengths[0])]).astype(dtype)
        elif name in FIRINGS:
            arrays[name] = flat(rows.column(name).combine_chunks().flatten(), dtype)
        else:
            arrays[name] = from_column(rows.column(name), dtype, [len(rows)])
    return Contexts(**arrays)


def _lengths(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if column.null_count:
        raise ValueError("lists are missing")
    return np.asarray(pc.list_value_length(column).to_numpy(), np.int64)


def _documents(manifest: Manifest, file: TableFile) -> tuple[list[NDArray[Any]], list[dict[str, Any]]]:
    rows = file.take(manifest.n_documents)
    if not np.array_equal(rows.column("document").to_numpy(), np.arange(manifest.n_documents)):
        raise ValueError("documents are not in order")
    column = rows.column("token_ids")
    ends = np.cumsum(_lengths(column))
    ids = flat(column.combine_chunks().flatten(), np.dtype(manifest.documents_dtype))
    meta = [json.loads(text) for text in rows.column("meta").to_pylist()]
    if not all(isinstance(entry, dict) for entry in meta):
        raise ValueError("what came with a document is no JSON object")
    return [ids[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)] if len(ends) else [], meta
