"""What the weights say of one feature, from rows, with what the other features in it are called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Integer, bindparam, func, select

from mfn_server.db.blobs import F4, unpack
from mfn_server.db.tables import FeatureWeights, Source, SourceWeights
from mfn_server.features.calling import called
from mfn_server.features.catalogue import Catalogue
from mfn_server.features.columns import Place
from mfn_server.weights.record import ELSEWHERE, SIDES, SIGNS, WITHIN
from mfn_server.weights.rows import unpacked

_PLACE = 2 * F4.itemsize
_DECIMALS = 4

_BEGIN: ColumnElement[int] = 1 + bindparam("number", type_=Integer) * _PLACE
_FACTS = (
    select(
        FeatureWeights.facts,
        SourceWeights.layout,
        SourceWeights.bin_edges,
        SourceWeights.upstream,
        SourceWeights.downstream,
        SourceWeights.left_out,
        # the database cuts out one feature's place, so that the whole map is not carried over
        func.substr(SourceWeights.pca, _BEGIN, _PLACE).label("pca"),
        func.substr(SourceWeights.umap, _BEGIN, _PLACE).label("umap"),
    )
    .join(SourceWeights, SourceWeights.source_id == FeatureWeights.source_id)
    .where(FeatureWeights.source_id == bindparam("source_id"), FeatureWeights.number == bindparam("number"))
)
_KEYS = select(Source.layer, Source.key).where(
    Source.model_id == bindparam("model_id"), Source.layer.in_(bindparam("layers", expanding=True))
)

Fields = dict[str, Any]
"""What becomes a body of `weight_schemas`."""


def weight_facts_of(
    connection: Connection,
    catalogue: Catalogue,
    model_id: int,
    place: Place,
    index: int,
    token_texts: Sequence[str],
) -> Fields | None:
    """What is known of a feature by the weights, as fields of `WeightFacts`; None while it has not been computed.

    Args:
        connection: to read from.
        catalogue: of what is shown, for what the features in it are called.
        model_id: whose sources they are.
        place: the feature's source.
        index: its number there.
        token_texts: of the vocabulary.
    """
    source = place.source
    row = connection.execute(_FACTS, {"source_id": source.id, "number": index}).one_or_none()
    if row is None:
        return None
    facts = {name: array[0] for name, array in unpacked(row.layout, [row.facts]).items()}
    lists = _lists(facts, source.layer, {side: getattr(row, side) for side in SIDES})
    linked = _linked(connection, catalogue, model_id, lists, token_texts)
    reached = {
        side: {"layer": getattr(row, side), **{sign: linked[f"{side}_{sign}"] for sign in SIGNS}}
        for side in SIDES
        if getattr(row, side) is not None and f"{side}_positive" in linked
    }
    return {
        "logits": {
            "std": _short(facts["std"]),
            "skewness": _known(facts["skewness"]),
            "kurtosis": _known(facts["kurtosis"]),
            "edges": unpack(row.bin_edges, F4).tolist(),
            "counts": facts["histogram"].tolist(),
        },
        "agreement": _known(facts["agreement"]) if "agreement" in facts else None,
        **{name: linked.get(name) for name in (*WITHIN, *ELSEWHERE)},
        **{side: reached.get(side) for side in SIDES},
        "place": None if row.pca is None else {"pca": _place(row.pca), "umap": row.umap and _place(row.umap)},
        "left_out": row.left_out,
    }


_NAMELESS: Fields = {"label": None, "label_origin": None, "top_tokens": []}

List = list[tuple[int, int, float]]
"""Layer, number and figure of each."""


def _lists(facts: dict[str, NDArray[Any]], layer: int, reached: dict[str, int | None]) -> dict[str, List]:
    layer_of = {**dict.fromkeys(WITHIN, layer), **{f"{side}_{sign}": reached[side] for side in SIDES for sign in SIGNS}}
    found: dict[str, List] = {}
    for name in (*WITHIN, *ELSEWHERE, *(f"{side}_{sign}" for side in SIDES for sign in SIGNS)):
        features = facts.get(f"{name}_features")
        if features is None:
            continue
        layers = facts[f"{name}_layers"] if name in ELSEWHERE else np.full(features.shape, layer_of[name])
        found[name] = list(zip(layers.tolist(), features.tolist(), facts[f"{name}_values"].tolist(), strict=True))
    return found


def _linked(
    connection: Connection, catalogue: Catalogue, model_id: int, lists: dict[str, List], token_texts: Sequence[str]
) -> dict[str, list[Fields]]:
    """The same lists with what the features are called. Of a layer without an index only the source is known."""
    layers = {layer for entries in lists.values() for layer, _, _ in entries}
    places = {layer: place for layer in layers if (place := catalogue.columns.place_at(layer)) is not None}
    keys = {layer: place.source.key for layer, place in places.items()}
    if hidden := sorted(layers - places.keys()):
        keys |= {row.layer: row.key for row in connection.execute(_KEYS, {"model_id": model_id, "layers": hidden})}
    shown = {(layer, number) for entries in lists.values() for layer, number, _ in entries if layer in places}
    said = called(catalogue, [places[layer].begin + number for layer, number in shown], token_texts)
    names = dict(zip(shown, said, strict=True))
    return {
        name: [
            {
                "source": keys[layer],
                "layer": layer,
                "index": number,
                "value": _short(value),
                **names.get((layer, number), _NAMELESS),
            }
            for layer, number, value in entries
        ]
        for name, entries in lists.items()
    }


def _short(value: float) -> float:
    return round(float(value), _DECIMALS)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else _short(value)


def _place(blob: bytes) -> tuple[float, float]:
    x, y = unpack(blob, F4).tolist()
    return _short(x), _short(y)
