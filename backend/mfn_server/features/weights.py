"""What the weights say of one feature, from rows, with what the other features in it are called."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, and_, func, or_, select

from mfn_server.db.blobs import F4, unpack
from mfn_server.db.tables import Feature, FeatureWeights, Label, Source, SourceWeights
from mfn_server.features.weight_schemas import LinkedFeature, LogitShape, Place, Reached, WeightFacts
from mfn_server.schemas import TokenShare
from mfn_server.weights.record import ELSEWHERE, SIDES, SIGNS, WITHIN
from mfn_server.weights.rows import unpacked

_PLACE = 2 * F4.itemsize
_DECIMALS = 4

TokensOf = Callable[[Sequence[int]], dict[int, list[dict[str, Any]]]]
"""From ids of features to the tokens that each fires on most, as fields of `TokenShare`."""


def weight_facts_of(connection: Connection, source: Row[Any], index: int, tokens_of: TokensOf) -> WeightFacts | None:
    """What is known of a feature by the weights; None while it has not been computed.

    Args:
        connection: to read from.
        source: the feature's row of `Source`.
        index: its number.
        tokens_of: gives the first tokens of other features.
    """
    begin = 1 + index * _PLACE  # the database cuts out one feature's place, so that the whole map is not carried over
    statement = (
        select(
            FeatureWeights.facts,
            SourceWeights.layout,
            SourceWeights.bin_edges,
            SourceWeights.upstream,
            SourceWeights.downstream,
            SourceWeights.left_out,
            func.substr(SourceWeights.pca, begin, _PLACE).label("pca"),
            func.substr(SourceWeights.umap, begin, _PLACE).label("umap"),
        )
        .join(SourceWeights, SourceWeights.source_id == FeatureWeights.source_id)
        .where(FeatureWeights.source_id == source.id, FeatureWeights.number == index)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    facts = {name: array[0] for name, array in unpacked(row.layout, [row.facts]).items()}
    lists = _lists(facts, source.layer, {side: getattr(row, side) for side in SIDES})
    linked = _linked(connection, source.model_id, lists, tokens_of)
    reached = {
        side: Reached(layer=getattr(row, side), **{sign: linked[f"{side}_{sign}"] for sign in SIGNS})
        for side in SIDES
        if getattr(row, side) is not None and f"{side}_positive" in linked
    }
    return WeightFacts(
        logits=LogitShape(
            std=_short(facts["std"]),
            skewness=_known(facts["skewness"]),
            kurtosis=_known(facts["kurtosis"]),
            edges=unpack(row.bin_edges, F4).tolist(),
            counts=facts["histogram"].tolist(),
        ),
        agreement=_known(facts["agreement"]) if "agreement" in facts else None,
        **{name: linked.get(name) for name in (*WITHIN, *ELSEWHERE)},
        upstream=reached.get("upstream"),
        downstream=reached.get("downstream"),
        place=None if row.pca is None else Place(pca=_place(row.pca), umap=row.umap and _place(row.umap)),
        left_out=row.left_out,
    )


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
    connection: Connection, model_id: int, lists: dict[str, List], tokens_of: TokensOf
) -> dict[str, list[LinkedFeature]]:
    """The same lists with what the features are called, by four statements whatever their number."""
    wanted: dict[int, set[int]] = {}
    for layer, number, _ in (entry for entries in lists.values() for entry in entries):
        wanted.setdefault(layer, set()).add(number)
    sources = {
        row.layer: row
        for row in connection.execute(select(Source).where(Source.model_id == model_id, Source.layer.in_(wanted)))
    }
    of_source = {row.id: wanted[layer] for layer, row in sources.items()}
    ids = {
        (row.source_id, row.number): row.id
        for row in connection.execute(
            select(Feature.id, Feature.source_id, Feature.number)
            .join(Source, (Source.id == Feature.source_id) & (Source.current_run_id == Feature.run_id))
            .where(_any_of(Feature, of_source.items()))
        )
    }
    tokens = tokens_of(list(ids.values()))
    labels = {
        (row.source_id, row.number): row
        for row in connection.execute(select(Label).where(_any_of(Label, of_source.items()), Label.is_primary))
    }

    def named(layer: int, number: int, value: float) -> LinkedFeature:
        source = sources[layer]
        label = labels.get((source.id, number))
        return LinkedFeature(
            source=source.key,
            layer=layer,
            index=number,
            value=_short(value),
            label=label and label.text,
            label_origin=label and label.origin,
            top_tokens=[TokenShare(**token) for token in tokens.get(ids.get((source.id, number), -1), [])],
        )

    return {name: [named(*entry) for entry in entries] for name, entries in lists.items()}


def _any_of(table: type[Feature] | type[Label], of_source: Iterable[tuple[int, set[int]]]) -> Any:
    # false() alone where there are none: an empty OR would be everything
    return or_(
        False, *(and_(table.source_id == source_id, table.number.in_(numbers)) for source_id, numbers in of_source)
    )


def _short(value: float) -> float:
    return round(float(value), _DECIMALS)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else _short(value)


def _place(blob: bytes) -> tuple[float, float]:
    x, y = unpack(blob, F4).tolist()
    return _short(x), _short(y)
