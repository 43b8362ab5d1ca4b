"""What the weights say, in and out of a database.

It belongs to sources, not to index runs: a model that is indexed again has the same weights. A source's row in
`source_weights` comes last and says that all is there, so what a killed process leaves behind is nothing yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update

from mfn_core.indexing.from_weights.types import MapPlaces
from mfn_server.db.blobs import F4, pack, unpack
from mfn_server.db.bulk import bulk_insert
from mfn_server.db.session import Database
from mfn_server.db.tables import FeatureWeights, SourceWeights
from mfn_server.weights.record import Shared, WeightRecord, arrays_of, shared_of, umap_version, weights_of
from mfn_server.weights.rows import packed, unpacked

_ROWS = 10_000  # rows a transaction: some tenths of a second, for which a label may have to wait

Report = Callable[[str, float], None]
"""Told the phase and how far it is, from 0 to 1."""


def store_weights(database: Database, sources: Mapping[int, int], record: WeightRecord, tell: Report) -> None:
    """Keep a record, in place of any before. Use it under `index_lock`.

    Args:
        database: where.
        sources: the id of each layer's source.
        record: of all these layers.
        tell: told of "writing what the weights say".
    """
    ids = [sources[layer] for layer in record.layers]
    with database.write() as connection:
        connection.execute(delete(SourceWeights).where(SourceWeights.source_id.in_(ids)))
    whole = []
    for done, (layer, facts) in enumerate(record.layers.items()):
        tell("writing what the weights say", done / len(record.layers))
        arrays, shared, source_id = arrays_of(facts), shared_of(facts), sources[layer]
        layout, blobs = packed(arrays)
        for first in range(0, len(blobs), _ROWS):
            rows = [(source_id, number, blob) for number, blob in enumerate(blobs[first : first + _ROWS], first)]
            with database.write() as connection:
                connection.execute(
                    delete(FeatureWeights).where(
                        FeatureWeights.source_id == source_id, FeatureWeights.number.between(first, first + _ROWS - 1)
                    )
                )
                bulk_insert(connection, FeatureWeights, ("source_id", "number", "facts"), rows)
        whole.append(
            {
                "source_id": source_id,
                "settings": record.settings,
                "layout": layout,
                "bin_edges": pack(shared.bin_edges, F4),
                "upstream": shared.upstream,
                "downstream": shared.downstream,
                "left_out": list(shared.left_out),
                "explained": None if shared.explained is None else pack(shared.explained, F4),
                "pca": pack(arrays["pca"], F4) if "pca" in arrays else None,
                "umap": pack(arrays["umap"], F4) if "umap" in arrays else None,
                "umap_version": record.umap_version,
            }
        )
    with database.write() as connection:
        connection.execute(insert(SourceWeights), whole)


def store_map(database: Database, sources: Mapping[int, int], places: Mapping[int, MapPlaces]) -> None:
    """Add a map by UMAP to what is there, for all layers at once. Where there are too few features it has none."""
    with database.write() as connection:
        for layer, place in places.items():
            drawn = None if place.umap is None else pack(place.umap, F4)
            connection.execute(
                update(SourceWeights)
                .where(SourceWeights.source_id == sources[layer])
                .values(umap=drawn, umap_version=umap_version())
            )


def stored_weights(connection: Connection, sources: Mapping[int, int]) -> WeightRecord | None:
    """What is kept of these sources, given by layer; None unless it is there of all of them."""
    known = {
        row.source_id: row
        for row in connection.execute(select(SourceWeights).where(SourceWeights.source_id.in_(sources.values())))
    }
    if len(known) != len(sources) or not sources:
        return None
    layers = {}
    for layer, source_id in sources.items():
        row = known[source_id]
        mine = select(FeatureWeights.facts).where(FeatureWeights.source_id == source_id)
        blobs: Sequence[bytes] = connection.scalars(mine.order_by(FeatureWeights.number)).all()
        arrays = unpacked(row.layout, blobs)
        for name in ("pca", "umap"):
            if getattr(row, name) is not None:
                arrays[name] = unpack(getattr(row, name), F4).reshape(-1, 2).astype(np.float32)
        shared = Shared(
            unpack(row.bin_edges, F4).astype(np.float32),
            row.upstream,
            row.downstream,
            None if row.explained is None else unpack(row.explained, F4).astype(np.float32),
            tuple(row.left_out),
        )
        layers[layer] = weights_of(layer, len(blobs), arrays, shared)
    first = next(iter(known.values()))
    return WeightRecord(layers, first.settings, first.umap_version)
