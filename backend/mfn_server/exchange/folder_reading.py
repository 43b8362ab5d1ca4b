"""A folder of parquet files becomes an index again. Nothing in it is trusted before it is checked.

Some rows are in memory at a time. The arrays lie in temporary files, from which they are read where they are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mfn_core.indexing.token_store import DIGEST_BYTES, TokenStore
from mfn_core.indexing.types import Contexts, CorpusIndex, IndexSettings, LayerIndex
from mfn_server.exchange.manifest import Manifest, check_files, read_manifest
from mfn_server.exchange.spool import Spool
from mfn_server.exchange.table_names import FIRINGS, OF_FEATURES, TABLES
from mfn_server.exchange.tables import flat, from_column
from mfn_server.index_file import IndexFileError

_ROWS = 1 << 13
"""So many rows are in memory at a time, of one table."""

_READ = tuple(table for table in TABLES if table not in ("vocabulary", "weights"))
"""The vocabulary is for other readers: here it is the model's. For the weights see `weight_tables`."""


def read_folder(folder: Path, scratch: Path | None = None) -> CorpusIndex:
    """Read an index that `write_folder` wrote.

    Args:
        folder: where it is.
        scratch: a folder with room for the arrays; that for temporary files if left out.

    Raises:
        IndexFileError: what is missing, damaged, or of a format that this version does not read.
        OSError: there is no room for the arrays.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest, [f"{table}.parquet" for table in _READ])
    spool = Spool(scratch)
    try:
        with ExitStack() as stack:
            files = {
                table: TableFile(stack.enter_context(pq.ParquetFile(folder / f"{table}.parquet"))) for table in _READ
            }
            overview = pa.concat_tables([files["layers"].schema.empty_table(), *files["layers"].take(_n(manifest))])
            layers = [_layer(manifest, i, overview.slice(i, 1), files, spool) for i in range(_n(manifest))]
            documents = _documents(manifest, files["documents"])
            for name, table in files.items():
                table.end()
                if table.n_rows != manifest.files[f"{name}.parquet"].rows:
                    raise ValueError(f"{name} has {table.n_rows:,} rows")
            return CorpusIndex(
                layers=layers,
                documents=documents.documents(),
                meta=documents.meta(),
                n_tokens=manifest.n_tokens,
                settings=IndexSettings(**manifest.settings),
                model_fingerprint=manifest.model_fingerprint,
            )
    except (pa.ArrowException, KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, IndexFileError):
            raise
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise IndexFileError(f"{folder} is damaged: its tables are not what its manifest says: {what}") from error


def _n(manifest: Manifest) -> int:
    return len(manifest.layers)


class TableFile:
    """A parquet file that is read from its beginning to its end."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self.n_rows: int = file.metadata.num_rows
        self.schema: pa.Schema = file.schema_arrow
        self._batches = file.iter_batches(_ROWS)
        self._rest = self.schema.empty_table()

    def take(self, rows: int) -> Iterator[pa.Table]:
        """The next so many rows, some at a time. Raises ValueError where there are fewer."""
        left = rows
        while left:
            if not len(self._rest):
                self._more(rows, left)
            part = self._rest.slice(0, left)
            self._rest = self._rest.slice(len(part))
            left -= len(part)
            yield part

    def end(self) -> None:
        """Raises ValueError where there are more rows."""
        if len(self._rest) or next(self._batches, None) is not None:
            raise ValueError("there are not as many rows as expected, but more")

    def _more(self, rows: int, left: int) -> None:
        while not len(self._rest):
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError(f"there are not as many rows as expected ({rows:,} and {left:,} off)")
            self._rest = pa.Table.from_batches([batch])


def _layer(
    manifest: Manifest, number: int, overview: pa.Table, files: Mapping[str, TableFile], spool: Spool
) -> LayerIndex:
    """The layer of that number, whose row of `layers` is the overview."""
    known, entry = {field.name for field in fields(LayerIndex)}, manifest.layers[number]
    check_key("layers", overview, entry.layer, 0)
    facts: dict[str, Any] = {
        name: overview.column(name)[0].as_py()
        for name in overview.column_names
        if name not in manifest.arrays and name != "n_contexts"
    }
    tables: dict[str, list[str]] = {}
    for name in entry.shapes:
        tables.setdefault(manifest.arrays[name].table, []).append(name)
    if unknown := (facts.keys() | entry.shapes.keys()) - known:
        raise IndexFileError(f"it holds {', '.join(sorted(unknown))}, which this version does not know: update the app")
    for name in tables.pop("layers", []):
        dtype = np.dtype(manifest.arrays[name].dtype)
        facts[name] = from_column(overview.column(name), dtype, [1, *entry.shapes[name]])[0]
    for table in OF_FEATURES:
        facts |= _arrays(manifest, number, table, tables.pop(table, []), files[table], spool)
    if tables:
        raise ValueError(f"there is no table {next(iter(tables))!r}")
    return LayerIndex(**facts, contexts=_contexts(manifest, number, files["contexts"], spool))


def _arrays(
    manifest: Manifest, number: int, table: str, names: list[str], file: TableFile, spool: Spool
) -> dict[str, NDArray[Any]]:
    """A layer's arrays that are columns of one table of features."""
    entry, first = manifest.layers[number], 0
    types = {name: np.dtype(manifest.arrays[name].dtype) for name in names}
    found = {name: spool.array(types[name]) for name in names}
    for rows in file.take(entry.n_features):
        check_key(table, rows, entry.layer, len(rows), first)
        for name in names:
            shape = [len(rows), *entry.shapes[name][1:]]
            found[name].append(from_column(rows.column(name), types[name], shape))
        first += len(rows)
    return {name: array.get(entry.shapes[name]) for name, array in found.items()}


def check_key(table: str, rows: pa.Table, layer: int, n_features: int, first: int = 0) -> None:
    """Whether rows are those of the layer, and of its features in order. Raises ValueError where they are not."""
    right = not pc.any(pc.not_equal(rows.column("layer"), layer)).as_py()
    if table in (*OF_FEATURES, "weights"):
        numbers = rows.column("feature").to_numpy()
        right = right and np.array_equal(numbers, np.arange(first, first + n_features))
    if not right:
        raise ValueError(f"{table} of layer {layer} has rows that are others'")


def _contexts(manifest: Manifest, number: int, file: TableFile, spool: Spool) -> Contexts:
    entry = manifest.layers[number]
    types = {field.name: np.dtype(manifest.contexts[field.name]) for field in fields(Contexts)}
    found = {name: spool.array(dtype) for name, dtype in types.items()}
    found["offsets"].append(np.zeros(1, np.int64))
    firings = 0
    for rows in file.take(entry.n_contexts):
        check_key("contexts", rows, entry.layer, 0)
        lengths = [_lengths(rows.column(name)) for name in FIRINGS]
        if not all(np.array_equal(lengths[0], other) for other in lengths):
            raise ValueError("firings without a position or a value")
        found["offsets"].append(firings + np.cumsum(lengths[0]))
        firings += int(lengths[0].sum())
        for name in types:
            if name in FIRINGS:
                found[name].append(flat(rows.column(name).combine_chunks().flatten(), types[name]))
            elif name != "offsets":
                found[name].append(from_column(rows.column(name), types[name], [len(rows)]))
    return Contexts(**{name: array.get([array.n]) for name, array in found.items()})


def _lengths(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if column.null_count:
        raise ValueError("lists are missing")
    return np.asarray(pc.list_value_length(column).to_numpy(), np.int64)


def _documents(manifest: Manifest, file: TableFile) -> TokenStore:
    store, dtype, first = TokenStore(), np.dtype(manifest.documents_dtype), 0
    for rows in file.take(manifest.n_documents):
        if not np.array_equal(rows.column("document").to_numpy(), np.arange(first, first + len(rows))):
            raise ValueError("documents are not in order")
        first += len(rows)
        column = rows.column("token_ids")
        ends = np.cumsum(_lengths(column)).tolist()
        ids = flat(column.combine_chunks().flatten(), dtype)
        if ids.dtype.kind not in "iu" or (ids < 0).any() or (ids > np.iinfo(np.uint32).max).any():
            raise ValueError("token ids are not whole numbers of 32 bits")
        for begin, end, text in zip([0, *ends[:-1]], ends, rows.column("meta").to_pylist(), strict=True):
            if not isinstance(json.loads(text), dict):
                raise ValueError("what came with a document is no JSON object")
            store.append(ids[begin:end].astype(np.uint32), text.encode(), bytes(DIGEST_BYTES))
    if manifest.n_documents:
        store.close_shard()
    return store
