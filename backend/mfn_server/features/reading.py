"""From rows of the database to what the feature routes answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, func, select, tuple_

from mfn_server.db.blobs import F4, unpack
from mfn_server.db.tables import Feature, FeatureDetail, Label, LabelEvent, Origin, Source, SourceIndex
from mfn_server.db.varints import unpack_ints
from mfn_server.errors import APIError
from mfn_server.features.contexts import contexts_of, snippet, snippets_of
from mfn_server.features.listing import current_features
from mfn_server.features.schemas import (
    Band,
    CofiringFeature,
    FeaturePage,
    FeatureRow,
    Histogram,
    LabelView,
    Neighbour,
    TokenLogit,
)
from mfn_server.features.weights import weight_facts_of
from mfn_server.schemas import TokenShare

SPARKLINE_BINS = 16
_PROMOTED_IN_LIST = 3


def source_named(connection: Connection, model_id: int, key: str) -> Row[Any]:
    """A source of the served model. Raises APIError (404)."""
    row = connection.execute(select(Source).where(Source.model_id == model_id, Source.key == key)).one_or_none()
    if row is None:
        raise APIError(
            404,
            "unknown_source",
            f"there is no source {key!r}",
            hint="GET /api/model lists the sources",
            field="source",
        )
    return row


def check_feature(source: Row[Any], index: int) -> None:
    """Raises APIError (404) for a feature that the source does not have."""
    if not 0 <= index < source.n_features:
        message = f"there is no feature {index} in {source.key}: it has features 0 to {source.n_features - 1}"
        raise APIError(404, "unknown_feature", message, field="index")


def top_tokens_of(
    connection: Connection, feature_ids: Sequence[int], token_texts: Sequence[str], most: int = 8
) -> dict[int, list[TokenShare]]:
    """The tokens that features fire on most, by feature id."""
    columns = (FeatureDetail.feature_id, FeatureDetail.token_ids, FeatureDetail.token_shares)
    rows = connection.execute(select(*columns).where(FeatureDetail.feature_id.in_(feature_ids)))
    return {row.feature_id: _shares(row.token_ids, row.token_shares, token_texts)[:most] for row in rows}


def feature_rows(connection: Connection, rows: Sequence[Row[Any]], token_texts: Sequence[str]) -> list[FeatureRow]:
    """List entries for rows of `current_features`."""
    details = _details(connection, [row.id for row in rows])
    snippets = snippets_of(connection, {row.id: row.first_window_id for row in rows}, token_texts)
    return [
        FeatureRow(
            **_common(row, details[row.id], token_texts),
            promoted=_logits(details[row.id].promoted_ids, details[row.id].promoted_logits, token_texts)[
                :_PROMOTED_IN_LIST
            ],
            snippet=snippets.get(row.id),
        )
        for row in rows
    ]


def _details(connection: Connection, feature_ids: Sequence[int]) -> dict[int, Row[Any]]:
    """The other half of features' rows, by feature id."""
    statement = select(FeatureDetail).where(FeatureDetail.feature_id.in_(feature_ids))
    return {row.feature_id: row for row in connection.execute(statement)}


def feature_page(
    connection: Connection, model_id: int, key: str, index: int, token_texts: Sequence[str]
) -> FeaturePage:
    """All that is known of one feature. Raises APIError (404, or 503 while there is no index)."""
    source = source_named(connection, model_id, key)
    check_feature(source, index)
    statement = current_features(model_id).where(Source.id == source.id, Feature.number == index)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise APIError(
            503,
            "index_not_ready",
            "this model has no index yet",
            hint="GET /api/health tells how far it is",
            headers={"Retry-After": "5"},
        )
    detail = _details(connection, [row.id])[row.id]
    top, samples = contexts_of(connection, row.id, row.first_window_id, token_texts)
    edges = unpack(detail.band_edges, F4).tolist()
    counts = unpack_ints(detail.band_counts).tolist()
    bands = [
        Band(
            band=band,
            low=edges[band],
            high=edges[band + 1],
            count=count,
            share=count / sum(counts),
            contexts=samples.get(band, []),
        )
        for band, count in enumerate(counts)
        if count
    ]
    bin_edges, sampled_tokens = connection.execute(
        select(SourceIndex.bin_edges, SourceIndex.sampled_tokens).where(
            SourceIndex.run_id == row.run_id, SourceIndex.source_id == row.source_id
        )
    ).one()
    same = (Feature.run_id == row.run_id, Feature.source_id == row.source_id, Feature.firing_count > 0)
    return FeaturePage(
        **_common(row, detail, token_texts),
        promoted=_logits(detail.promoted_ids, detail.promoted_logits, token_texts),
        suppressed=_logits(detail.suppressed_ids, detail.suppressed_logits, token_texts),
        snippet=snippet(top[0]) if top else None,
        histogram=Histogram(edges=unpack(bin_edges, F4).tolist(), counts=unpack_ints(detail.histogram).tolist()),
        neighbours=_neighbours(connection, row, detail, token_texts),
        cofiring=_cofiring(connection, row, detail, token_texts) if sampled_tokens else None,
        next_tokens=_shares(detail.next_ids, detail.next_shares, token_texts) if sampled_tokens else None,
        sampled_tokens=sampled_tokens or None,
        sampled_firings=detail.sampled_firings if sampled_tokens else None,
        weights=weight_facts_of(
            connection, source, index, lambda ids: top_tokens_of(connection, ids, token_texts, most=3)
        ),
        contexts=top,
        bands=bands,
        n_tokens=row.n_tokens,
        labels=_labels(connection, source.id, index),
        version=feature_version(connection, source.id, index),
        previous=connection.scalar(select(func.max(Feature.number)).where(*same, Feature.number < index)),
        next=connection.scalar(select(func.min(Feature.number)).where(*same, Feature.number > index)),
    )


def _labels(connection: Connection, source_id: int, index: int) -> list[LabelView]:
    """A feature's labels, people's before automatic ones, the latest first."""
    statement = (
        select(Label, LabelEvent.reason, LabelEvent.payload)
        .join(LabelEvent, LabelEvent.stream == Label.stream)
        .where(Label.source_id == source_id, Label.number == index)
        .order_by(Label.origin == Origin.AUTOMATIC, Label.stream.desc())
    )
    return [
        LabelView(
            text=row.text,
            author=row.author,
            created_at=row.created_at,
            origin=row.origin,
            reason=row.reason,
            confidence=row.payload.get("confidence"),
            unclear=row.payload.get("unclear", False),
        )
        for row in connection.execute(statement)
    ]


def feature_version(connection: Connection, source_id: int, index: int) -> int:
    """The number of the last label event on a feature; 0 without any."""
    statement = select(func.max(LabelEvent.stream)).where(LabelEvent.source_id == source_id, LabelEvent.number == index)
    return connection.scalar(statement) or 0


def _common(row: Row[Any], detail: Row[Any], token_texts: Sequence[str]) -> dict[str, Any]:
    histogram = unpack_ints(detail.histogram)
    return {
        "source": row.key,
        "layer": row.layer,
        "index": row.number,
        "rate": row.rate,
        "firing_count": row.firing_count,
        "max": row.maximum,
        "mean": row.mean,
        "token_r2": row.token_r2,
        "half_firings": row.half_firings,
        "status": row.status,
        "label": row.label,
        "label_origin": row.label_origin,
        "top_tokens": _shares(detail.token_ids, detail.token_shares, token_texts),
        "sparkline": [int(part.sum()) for part in np.array_split(histogram, SPARKLINE_BINS)],
    }


def _shares(ids: bytes, shares: bytes, token_texts: Sequence[str]) -> list[TokenShare]:
    pairs = zip(unpack_ints(ids).tolist(), unpack(shares, F4).tolist(), strict=True)
    return [TokenShare(text=token_texts[number], share=round(share, 4)) for number, share in pairs]


def _logits(ids: bytes, logits: bytes, token_texts: Sequence[str]) -> list[TokenLogit]:
    pairs = zip(unpack_ints(ids).tolist(), unpack(logits, F4).tolist(), strict=True)
    return [TokenLogit(id=number, text=token_texts[number], logit=round(logit, 4)) for number, logit in pairs]


def _neighbours(connection: Connection, row: Row[Any], detail: Row[Any], token_texts: Sequence[str]) -> list[Neighbour]:
    numbers = unpack_ints(detail.neighbour_numbers).tolist()
    cosines = unpack(detail.neighbour_cosines, F4).tolist()
    others = _others(connection, row, numbers, token_texts)
    return [Neighbour(**other, cosine=round(cosine, 4)) for other, cosine in zip(others, cosines, strict=True)]


def _cofiring(
    connection: Connection, row: Row[Any], detail: Row[Any], token_texts: Sequence[str]
) -> list[CofiringFeature]:
    numbers = unpack_ints(detail.cofiring_numbers).tolist()
    lifts, joint = unpack(detail.cofiring_lifts, F4).tolist(), unpack_ints(detail.cofiring_counts).tolist()
    others = _others(connection, row, numbers, token_texts)
    return [
        CofiringFeature(**other, lift=float(f"{lift:.4g}"), joint=count)
        for other, lift, count in zip(others, lifts, joint, strict=True)
    ]


def _others(
    connection: Connection, row: Row[Any], numbers: Sequence[int], token_texts: Sequence[str]
) -> list[dict[str, Any]]:
    """What other features of the same run and source are called, in the order of their numbers."""
    place = tuple_(Feature.run_id, Feature.source_id)
    statement = select(Feature.id, Feature.number).where(
        place == (row.run_id, row.source_id), Feature.number.in_(numbers)
    )
    id_of = {number: feature_id for feature_id, number in connection.execute(statement)}
    tokens = top_tokens_of(connection, list(id_of.values()), token_texts, most=3)
    named = select(Label.number, Label.text, Label.origin).where(
        Label.source_id == row.source_id, Label.number.in_(numbers), Label.is_primary
    )
    labels = {label.number: (label.text, label.origin) for label in connection.execute(named)}
    return [
        {
            "source": row.key,
            "index": number,
            "label": labels.get(number, (None, None))[0],
            "label_origin": labels.get(number, (None, None))[1],
            "top_tokens": tokens.get(id_of.get(number, -1), []),
        }
        for number in numbers
    ]
