"""An index becomes a folder of parquet files. docs/reference/exchange.md describes each table.

Layer by layer: a row group belongs to one layer, and those of contexts and documents hold at most so many rows. The
folder gets its name once all of it is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mfn_core.indexing.types import Contexts, CorpusIndex, LayerIndex
from mfn_server.exchange.manifest import (
    ArrayEntry,
    LayerEntry,
    Manifest,
    file_entry,
    write_manifest,
)
from mfn_server.exchange.new_folder import new_folder
from mfn_server.exchange.tables import (
    FIRINGS,
    OF_FEATURES,
    Column,
    arrays_of,
    columns_of,
    described,
    descriptions,
    lists,
    scalars_of,
    schema,
    to_column,
    type_of,
)
from mfn_server.exchange.weight_tables import weight_entry, weight_rows
from mfn_server.weights.record import WeightRecord

_CONTEXTS, _DOCUMENTS = 1 << 16, 1 << 10  # rows of a row group
_KEY = (
    described("layer", pa.int32(), "Block number."),
    described("feature", pa.int32(), "Number of the feature in its layer."),
)


def write_folder(
    index: CorpusIndex,
    folder: Path,
    vocabulary: Sequence[str],
    model: str,
    corpus: str,
    weights: WeightRecord | None = None,
) -> None:
    """Write an index, and what the weights say.

    Args:
        index: what to write.
        folder: made here; nothing may be there yet.
        vocabulary: the text of each token id.
        model, corpus: what they are called.
        weights: of the same model; None for an index alone.

    Raises:
        MFNError: there is something of that name already.
    """
    with new_folder(folder) as partial:
        _write(index, partial, vocabulary, model, corpus, weights)


def _write(
    index: CorpusIndex,
    folder: Path,
    vocabulary: Sequence[str],
    model: str,
    corpus: str,
    weights: WeightRecord | None,
) -> None:
    columns = columns_of(index)
    tables: dict[str, Iterator[pa.Table]] = {
        "layers": _layers(index, columns),
        **{table: _of_features(table, index, columns) for table in OF_FEATURES},
        "contexts": _contexts(index),
        "documents": _documents(index),
        "vocabulary": iter([_vocabulary(vocabulary)]),
        **({} if weights is None else {"weights": weight_rows(weights)}),
    }
    files = {}
    for table, parts in tables.items():
        path = folder / f"{table}.parquet"
        files[path.name] = file_entry(path, _write_parts(path, parts))
    manifest = Manifest(
        model_fingerprint=index.model_fingerprint,
        model=model,
        corpus=corpus,
        n_tokens=index.n_tokens,
        n_documents=len(index.documents),
        documents_dtype=str(_documents_dtype(index)),
        settings=asdict(index.settings),
        arrays={name: ArrayEntry(table=c.table, dtype=str(c.dtype)) for name, c in columns.items()},
        contexts={name: str(dtype) for name, dtype in _context_types(index).items()},
        layers=[
            LayerEntry(
                layer=layer.layer,
                n_features=layer.n_features,
                n_contexts=len(layer.contexts),
                shapes={name: list(array.shape) for name, array in arrays_of(layer).items()},
            )
            for layer in index.layers
        ],
        weights=None if weights is None else weight_entry(weights),
        files=files,
    )
    write_manifest(folder, manifest)


def _write_parts(path: Path, parts: Iterator[pa.Table]) -> int:
    """Write tables of one schema, a row group each. The first may be empty: it gives the schema."""
    rows = 0
    with ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for part in parts:
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(path, part.schema, compression="zstd"))
            if len(part):
                writer.write_table(part, row_group_size=len(part))
            rows += len(part)
    return rows


def _layers(index: CorpusIndex, columns: dict[str, Column]) -> Iterator[pa.Table]:
    said = descriptions(LayerIndex)
    scalars = [scalars_of(layer) for layer in index.layers]
    known = dict.fromkeys(name for each in scalars for name, value in each.items() if value is not None)
    arrays: dict[str, Any] = {name: pa.array([each[name] for each in scalars]) for name in known}
    arrays["n_contexts"] = pa.array([len(layer.contexts) for layer in index.layers], pa.int64())
    for name, column in columns.items():
        if column.table == "layers":
            gap = pa.nulls(1, type_of(column.dtype, column.ndim))
            rows = [arrays_of(layer).get(name) for layer in index.layers]
            arrays[name] = pa.concat_arrays([gap if row is None else to_column(row[None]) for row in rows])
    said["n_contexts"] = "Rows of the layer in contexts."
    yield pa.table(
        list(arrays.values()),
        schema=schema("layers", [described(name, a.type, said.get(name, "")) for name, a in arrays.items()]),
    )


def _of_features(table: str, index: CorpusIndex, columns: dict[str, Column]) -> Iterator[pa.Table]:
    said = descriptions(LayerIndex)
    mine = {name: column for name, column in columns.items() if column.table == table}
    kinds = {name: type_of(column.dtype, column.ndim - 1) for name, column in mine.items()}
    form = schema(table, [*_KEY, *(described(name, kinds[name], said.get(name, "")) for name in mine)])
    yield form.empty_table()
    for layer in index.layers:
        arrays, n = arrays_of(layer), layer.n_features
        key = [np.full(n, layer.layer, np.int32), np.arange(n, dtype=np.int32)]
        rows = [to_column(arrays[name]) if name in arrays else pa.nulls(n, kinds[name]) for name in mine]
        yield pa.table([*map(pa.array, key), *rows], schema=form)


def _context_types(index: CorpusIndex) -> dict[str, np.dtype[Any]]:
    """The types of the arrays of contexts, `offsets` too; those of the first layer are those of all."""
    first = [layer.contexts for layer in index.layers[:1]]
    return {field.name: getattr(contexts, field.name).dtype for contexts in first for field in fields(Contexts)}


def _contexts(index: CorpusIndex) -> Iterator[pa.Table]:
    said = descriptions(Contexts) | {"feature": _KEY[1].metadata[b"description"].decode()}
    types = {name: dtype for name, dtype in _context_types(index).items() if name != "offsets"}
    kinds = {name: type_of(dtype, int(name in FIRINGS)) for name, dtype in types.items()}
    form = schema("contexts", [_KEY[0], *(described(name, kinds[name], said.get(name, "")) for name in types)])
    yield form.empty_table()
    for layer in index.layers:
        contexts = layer.contexts
        for begin in range(0, len(contexts), _CONTEXTS):
            part = slice(begin, begin + _CONTEXTS)
            offsets = contexts.offsets[begin : begin + _CONTEXTS + 1]
            rows = [
                lists(getattr(contexts, name), offsets) if name in FIRINGS else to_column(getattr(contexts, name)[part])
                for name in types
            ]
            numbers = pa.array(np.full(len(offsets) - 1, layer.layer, np.int32))
            yield pa.table([numbers, *rows], schema=form)


def _documents_dtype(index: CorpusIndex) -> np.dtype[Any]:
    return index.documents[0].dtype if index.documents else np.dtype(np.uint32)


def _documents(index: CorpusIndex) -> Iterator[pa.Table]:
    form = schema(
        "documents",
        [
            described("document", pa.int32(), "Ordinal of the document in the corpus."),
            described("token_ids", type_of(_documents_dtype(index), 1), "All its tokens; the first counts in nothing."),
            described("meta", pa.string(), "What came with the document, as JSON: its title, say."),
        ],
    )
    yield form.empty_table()
    for begin in range(0, len(index.documents), _DOCUMENTS):
        ids = index.documents[begin : begin + _DOCUMENTS]
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        meta = [json.dumps(entry) for entry in index.meta[begin : begin + _DOCUMENTS]]
        numbers = np.arange(begin, begin + len(ids), dtype=np.int32)
        rows = [pa.array(numbers), lists(np.concatenate(ids), offsets), pa.array(meta, pa.string())]
        yield pa.table(rows, schema=form)


def _vocabulary(texts: Sequence[str]) -> pa.Table:
    columns = [
        described("token_id", pa.int32(), "As in token_ids, promoted_ids and the like."),
        described("text", pa.string(), "Its text; bytes that are not whole characters stand between ⟨ and ⟩."),
    ]
    ids = pa.array(np.arange(len(texts), dtype=np.int32))
    return pa.table([ids, pa.array(texts, pa.string())], schema=schema("vocabulary", columns))
