"""What the weights say as a table of a parquet folder, and back. docs/reference/exchange.md describes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mfn_core.indexing.from_weights.types import LayerWeights
from mfn_server.exchange.folder_reading import TableFile, check_key
from mfn_server.exchange.manifest import WeightEntry, WeightLayerEntry, check_files, read_manifest
from mfn_server.exchange.tables import described, from_column, schema, to_column, type_of
from mfn_server.index_file import IndexFileError
from mfn_server.weights.record import (
    ELSEWHERE,
    SIDES,
    SIGNS,
    WITHIN,
    Shared,
    WeightRecord,
    arrays_of,
    shared_of,
    weights_of,
)

FILE = "weights.parquet"

_LISTS = {
    "opposite": "features of the same layer with the lowest cosines, lowest first",
    "nearest_elsewhere": "features of other layers with the highest cosines, highest first",
    "opposite_elsewhere": "features of other layers with the lowest cosines, lowest first",
    "upstream_positive": "features of the layer before that it is connected with most strongly, strongest first",
    "upstream_negative": "the same, with negative weights",
    "downstream_positive": "features of the next layer that it is connected with most strongly, strongest first",
    "downstream_negative": "the same, with negative weights",
}
_COLUMNS = {
    "std": (0, "Standard deviation of its logits over the vocabulary, by the direct lens."),
    "skewness": (0, "Their third standardised moment; NaN where the direction moves no logit."),
    "kurtosis": (0, "Their fourth standardised moment minus 3; NaN as above."),
    "histogram": (1, "Tokens by logit, in bins whose edges, in standard deviations, the manifest has for the layer."),
    "agreement": (0, "Cosine of what it reads and what it writes; NaN where either has length 0."),
    **{
        f"{name}_{part}": (1, f"{what} {said}.")
        for name, said in _LISTS.items()
        for part, what in (("layers", "Layers of"), ("features", "Numbers of"), ("values", "Figures of"))
        if part != "layers" or name in ELSEWHERE
    },
    "pca": (1, "Where it lies on the map of its site, along the first two principal axes."),
    "umap": (1, "Where it lies on the map that UMAP drew."),
}
"""Columns with their number of further axes, and what they are."""

assert {name.rsplit("_", 1)[0] for name in _COLUMNS if name.endswith("_values")} == {
    *WITHIN, *ELSEWHERE, *(f"{side}_{sign}" for side in SIDES for sign in SIGNS)
}  # fmt: skip


def _dtype(name: str) -> np.dtype[Any]:
    if name.endswith("_layers"):
        return np.dtype(np.int16)
    return np.dtype(np.int32 if name == "histogram" or name.endswith("_features") else np.float32)


def weight_rows(record: WeightRecord) -> Iterator[pa.Table]:
    """A row a feature, a table a layer; first one without rows, which gives the schema. What a layer lacks is null."""
    key = [
        described("layer", pa.int32(), "Block number."),
        described("feature", pa.int32(), "Number of the feature in its layer."),
    ]
    kinds = {name: type_of(_dtype(name), axes) for name, (axes, _) in _COLUMNS.items()}
    form = schema("weights", [*key, *(described(name, kinds[name], said) for name, (_, said) in _COLUMNS.items())])
    yield form.empty_table()
    for layer, facts in record.layers.items():
        arrays, n = arrays_of(facts), facts.n_features
        numbers = [np.full(n, layer, np.int32), np.arange(n, dtype=np.int32)]
        columns = [to_column(arrays[name]) if name in arrays else pa.nulls(n, kinds[name]) for name in _COLUMNS]
        yield pa.table([*map(pa.array, numbers), *columns], schema=form)


def weight_entry(record: WeightRecord) -> WeightEntry:
    """What the manifest says of it."""
    layers = [_layer_entry(layer, facts) for layer, facts in record.layers.items()]
    return WeightEntry(settings=record.settings, umap_version=record.umap_version, layers=layers)


def _layer_entry(layer: int, facts: LayerWeights) -> WeightLayerEntry:
    shared = shared_of(facts)
    return WeightLayerEntry(
        layer=layer,
        n_features=facts.n_features,
        bin_edges=shared.bin_edges.tolist(),
        upstream=shared.upstream,
        downstream=shared.downstream,
        explained=None if shared.explained is None else shared.explained.tolist(),
        left_out=list(shared.left_out),
        shapes={name: list(array.shape[1:]) for name, array in arrays_of(facts).items()},
    )


def read_weights(folder: Path) -> WeightRecord | None:
    """Read what the weights say out of a folder that `write_folder` wrote; None where it holds nothing of it.

    Raises:
        IndexFileError: what is missing or damaged.
    """
    manifest = read_manifest(folder)
    entry = manifest.weights
    if entry is None:
        return None
    check_files(folder, manifest, [FILE])
    try:
        with ExitStack() as stack:
            table = TableFile(stack.enter_context(pq.ParquetFile(folder / FILE)))
            layers = {
                of.layer: _layer(of, pa.concat_tables([table.schema.empty_table(), *table.take(of.n_features)]))
                for of in entry.layers
            }
            table.end()
        if len(layers) != len(entry.layers):
            raise ValueError("a layer comes twice")
        return WeightRecord(layers, entry.settings, entry.umap_version)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise IndexFileError(f"{folder} is damaged: {FILE} is not what its manifest says: {what}") from error


def _layer(entry: WeightLayerEntry, rows: pa.Table) -> LayerWeights:
    check_key("weights", rows, entry.layer, entry.n_features)
    arrays: dict[str, NDArray[Any]] = {
        name: from_column(rows.column(name), _dtype(name), [entry.n_features, *shape])
        for name, shape in entry.shapes.items()
    }
    shared = Shared(
        np.array(entry.bin_edges, np.float32),
        entry.upstream,
        entry.downstream,
        None if entry.explained is None else np.array(entry.explained, np.float32),
        tuple(entry.left_out),
    )
    return weights_of(entry.layer, entry.n_features, arrays, shared)
