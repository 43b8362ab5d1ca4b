"""An index becomes a folder of parquet files. docs/reference/exchange.md describes each table.

Block of features by block of features, and documents some at a time: no more is in memory. A row group belongs to one
layer. The folder gets its name once all of it is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mfn_core.indexing.arrays import slices
from mfn_core.indexing.types import Contexts, CorpusIndex, LayerIndex
from mfn_server.exchange.manifest import (
    ArrayEntry,
    FileEntry,
    LayerEntry,
    Manifest,
    file_entry,
    write_manifest,
)
from mfn_server.exchange.new_folder import new_folder
from mfn_server.exchange.parts import IndexParts, LayerParts, parts_of
from mfn_server.exchange.table_names import FIRINGS, OF_FEATURES
from mfn_server.exchange.tables import (
    described,
    descriptions,
    lists,
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
    index: CorpusIndex | IndexParts,
    folder: Path,
    vocabulary: Sequence[str],
    model: str,
    corpus: str,
    weights: WeightRecord | None = None,
) -> None:
    """Write an index, and what the weights say.

    Args:
        index: what to write. Its blocks are asked for once.
        folder: made here; nothing may be there yet.
        vocabulary: the text of each token id.
        model, corpus: what they are called.
        weights: of the same model; None for an index alone.

    Raises:
        MFNError: there is something of that name already.
    """
    parts = parts_of(index) if isinstance(index, CorpusIndex) else index
    with new_folder(folder) as partial:
        _write(parts, partial, vocabulary, model, corpus, weights)


def _write(
    index: IndexParts,
    folder: Path,
    vocabulary: Sequence[str],
    model: str,
    corpus: str,
    weights: WeightRecord | None,
) -> None:
    files, n_contexts = _write_features(index, folder)
    tables: dict[str, Iterator[pa.Table]] = {
        "layers": _layers(index, n_contexts),
        "documents": _documents(index),
        "vocabulary": iter([_vocabulary(vocabulary)]),
        **({} if weights is None else {"weights": weight_rows(weights)}),
    }
    for table, parts in tables.items():
        with _Writer(folder / f"{table}.parquet") as writer:
            for part in parts:
                writer.write(part)
        files[writer.path.name] = file_entry(writer.path, writer.rows)
    manifest = Manifest(
        model_fingerprint=index.model_fingerprint,
        model=model,
        corpus=corpus,
        n_tokens=index.n_tokens,
        n_documents=len(index.documents),
        documents_dtype=str(_documents_dtype(index)),
        settings=asdict(index.settings),
        arrays={name: ArrayEntry(table=c.table, dtype=str(c.dtype)) for name, c in index.columns.items()},
        contexts={name: str(dtype) for name, dtype in index.contexts.items()},
        layers=[
            LayerEntry(layer=layer.layer, n_features=layer.n_features, n_contexts=n, shapes=dict(layer.shapes))
            for layer, n in zip(index.layers, n_contexts, strict=True)
        ],
        weights=None if weights is None else weight_entry(weights),
        files={table: files[table] for table in sorted(files)},
    )
    write_manifest(folder, manifest)


class _Writer:
    """A parquet file that is written table by table, a row group each. The first may be empty: it gives the schema."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self._file: pq.ParquetWriter | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, part: pa.Table) -> None:
        """Adds rows."""
        if self._file is None:
            self._file = pq.ParquetWriter(self.path, part.schema, compression="zstd")
        if len(part):
            self._file.write_table(part, row_group_size=len(part))
        self.rows += len(part)


def _write_features(index: IndexParts, folder: Path) -> tuple[dict[str, FileEntry], list[int]]:
    """Writes all tables of features and that of contexts. Their entries, and the contexts of each layer."""
    forms = {table: _form(table, index) for table in OF_FEATURES} | {"contexts": _form_of_contexts(index)}
    n_contexts = []
    with ExitStack() as stack:
        writers = {table: stack.enter_context(_Writer(folder / f"{table}.parquet")) for table in forms}
        for table, form in forms.items():
            writers[table].write(form.empty_table())
        for layer in index.layers:
            first, before = 0, writers["contexts"].rows
            for block in layer.blocks():
                for table in OF_FEATURES:
                    writers[table].write(_of_features(forms[table], layer, block, first))
                for part in _contexts(block.contexts, layer.layer, forms["contexts"]):
                    writers["contexts"].write(part)
                first += block.n_features
            n_contexts.append(writers["contexts"].rows - before)
    return {writer.path.name: file_entry(writer.path, writer.rows) for writer in writers.values()}, n_contexts


def _layers(index: IndexParts, n_contexts: Sequence[int]) -> Iterator[pa.Table]:
    said = descriptions(LayerIndex)
    columns = {name: column for name, column in index.columns.items() if column.table == "layers"}
    scalars = [{n: v for n, v in layer.whole.items() if not isinstance(v, np.ndarray)} for layer in index.layers]
    odd = {n for each in scalars for n, v in each.items() if not isinstance(v, int | float | str | None)}
    assert not odd, f"no column is known for {odd}: only arrays, numbers and text are carried"
    known = dict.fromkeys(name for each in scalars for name, value in each.items() if value is not None)
    arrays: dict[str, Any] = {name: pa.array([each.get(name) for each in scalars]) for name in known}
    arrays["n_contexts"] = pa.array(n_contexts, pa.int64())
    for name, column in columns.items():
        gap = pa.nulls(1, type_of(column.dtype, column.ndim))
        rows = [layer.whole.get(name) for layer in index.layers]
        arrays[name] = pa.concat_arrays([gap if row is None else to_column(row[None]) for row in rows])
    said["n_contexts"] = "Rows of the layer in contexts."
    yield pa.table(
        list(arrays.values()),
        schema=schema("layers", [described(name, a.type, said.get(name, "")) for name, a in arrays.items()]),
    )


def _form(table: str, index: IndexParts) -> pa.Schema:
    said = descriptions(LayerIndex)
    mine = {name: column for name, column in index.columns.items() if column.table == table}
    return schema(
        table,
        [*_KEY, *(described(name, type_of(c.dtype, c.ndim - 1), said.get(name, "")) for name, c in mine.items())],
    )


def _of_features(form: pa.Schema, layer: LayerParts, block: LayerIndex, first: int) -> pa.Table:
    n = block.n_features
    key = [np.full(n, layer.layer, np.int32), np.arange(first, first + n, dtype=np.int32)]
    rows = [
        pa.nulls(n, field.type) if (array := getattr(block, field.name, None)) is None else to_column(array)
        for field in list(form)[len(_KEY) :]
    ]
    return pa.table([*map(pa.array, key), *rows], schema=form)


def _form_of_contexts(index: IndexParts) -> pa.Schema:
    said = descriptions(Contexts) | {"feature": _KEY[1].metadata[b"description"].decode()}
    kinds = {n: type_of(dtype, int(n in FIRINGS)) for n, dtype in index.contexts.items() if n != "offsets"}
    return schema("contexts", [_KEY[0], *(described(name, kinds[name], said.get(name, "")) for name in kinds)])


def _contexts(contexts: Contexts, layer: int, form: pa.Schema) -> Iterator[pa.Table]:
    for part in slices(len(contexts), _CONTEXTS):
        offsets = contexts.offsets[part.start : part.stop + 1]
        rows = [
            lists(getattr(contexts, name), offsets) if name in FIRINGS else to_column(getattr(contexts, name)[part])
            for name in form.names[1:]
        ]
        yield pa.table([pa.array(np.full(len(offsets) - 1, layer, np.int32)), *rows], schema=form)


def _documents_dtype(index: IndexParts) -> np.dtype[Any]:
    return index.documents[0].dtype if index.documents else np.dtype(np.uint32)


def _documents(index: IndexParts) -> Iterator[pa.Table]:
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
