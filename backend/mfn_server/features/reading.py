"""From rows of the database to what the feature routes answer.

Bodies are put together as plain dictionaries and sent as they are: to validate one took a quarter of a page's time.
Tests hold the answers against the schemas instead. Statements are made once, for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, bindparam, func, select

from mfn_server.campaigns.blind import Hidden
from mfn_server.db.blobs import F4, unpack
from mfn_server.db.browse_build import UNKNOWN
from mfn_server.db.tables import FeatureDetail, Label, LabelEvent, Origin, Source, SourceIndex
from mfn_server.db.varints import split_rows, unpack_ints
from mfn_server.errors import APIError
from mfn_server.features.calling import called
from mfn_server.features.catalogue import Catalogue
from mfn_server.features.columns import ColumnsMissingError, Place
from mfn_server.features.contexts import Fields, contexts_of, snippet, snippets_of
from mfn_server.features.status import STATUSES
from mfn_server.features.weights import weight_facts_of
from mfn_server.labels.fold import fold
from mfn_server.labels.log import events_of
from mfn_server.labels.projections import rows_of

SPARKLINE_BINS = 16
_PROMOTED_IN_LIST = 3

_SOURCE = select(Source).where(Source.model_id == bindparam("model_id"), Source.key == bindparam("key"))
_OF_LIST: Select[*tuple[Any, ...]] = select(
    FeatureDetail.feature_id,
    FeatureDetail.histogram,
    FeatureDetail.token_ids,
    FeatureDetail.token_shares,
    FeatureDetail.promoted_ids,
    FeatureDetail.promoted_logits,
).where(FeatureDetail.feature_id.in_(bindparam("ids", expanding=True)))
_OF_PAGE: Select[*tuple[Any, ...]] = (
    select(FeatureDetail, SourceIndex.bin_edges, SourceIndex.sampled_tokens)
    .join(SourceIndex, (SourceIndex.run_id == bindparam("run_id")) & (SourceIndex.source_id == bindparam("source_id")))
    .where(FeatureDetail.feature_id == bindparam("id"))
)
_LABELS: Select[*tuple[Any, ...]] = (
    select(Label)
    .where(Label.source_id == bindparam("source_id"), Label.number == bindparam("number"))
    .order_by(Label.is_primary.desc(), Label.origin == Origin.AUTOMATIC, Label.stream.desc())
)
_VERSION = select(func.max(LabelEvent.stream)).where(
    LabelEvent.source_id == bindparam("source_id"), LabelEvent.number == bindparam("number")
)


def source_named(connection: Connection, model_id: int, key: str) -> Row[Any]:
    """A source of the served model. Raises APIError (404)."""
    row = connection.execute(_SOURCE, {"model_id": model_id, "key": key}).one_or_none()
    if row is None:
        raise APIError(
            404,
            "unknown_source",
            f"there is no source {key!r}",
            hint="GET /api/model lists the sources",
            field="source",
        )
    return row


def check_feature(key: str, n_features: int, index: int) -> None:
    """Raises APIError (404) for a feature that a source does not have."""
    if not 0 <= index < n_features:
        message = f"there is no feature {index} in {key}: it has features 0 to {n_features - 1}"
        raise APIError(404, "unknown_feature", message, field="index")


def feature_list(
    connection: Connection, catalogue: Catalogue, rows: Sequence[int], token_texts: Sequence[str], **paging: Any
) -> Fields:
    """A list's page, a `FeatureList`: entries for rows of a catalogue, with what `paging` says of their place.

    Raises:
        ColumnsMissingError: their run has been removed meanwhile.
    """
    return {"items": _entries(connection, catalogue, rows, token_texts), **paging}


def feature_rows(
    connection: Connection,
    catalogue: Catalogue,
    model_id: int,
    features: Sequence[tuple[str, int]],
    token_texts: Sequence[str],
) -> Fields:
    """Entries for features given by source and number, in their order: `FeatureRows`.

    Raises:
        APIError: 404 where one of them does not exist, 503 while its source has no index.
        ColumnsMissingError: their run has been removed meanwhile.
    """
    rows = [_line(connection, catalogue, model_id, key, index)[1] for key, index in features]
    return {"items": _entries(connection, catalogue, rows, token_texts)}


def _line(connection: Connection, catalogue: Catalogue, model_id: int, key: str, index: int) -> tuple[Place, int]:
    """A feature's place and row in a catalogue. Raises as `feature_rows` does."""
    place = catalogue.columns.place_of(key)
    if place is None:
        check_feature(key, source_named(connection, model_id, key).n_features, index)
        raise APIError(
            503,
            "index_not_ready",
            "this model has no index yet",
            hint="GET /api/health tells how far it is",
            headers={"Retry-After": "5"},
        )
    check_feature(key, place.end - place.begin, index)
    return place, place.begin + index


def _entries(
    connection: Connection, catalogue: Catalogue, rows: Sequence[int], token_texts: Sequence[str]
) -> list[Fields]:
    """`FeatureRow`s of rows of a catalogue. Raises ColumnsMissingError where their run has been removed meanwhile."""
    places = [catalogue.columns.locate(row) for row in rows]
    ids = [place.first_id + number for place, number in places]
    found = {row.feature_id: row for row in connection.execute(_OF_LIST, {"ids": ids})}
    if len(found) != len(set(ids)):
        raise ColumnsMissingError("the index was replaced while it was read")
    entries = [found[number] for number in ids]
    windows = {number: place.source.first_window_id for number, (place, _) in zip(ids, places, strict=True)}
    snippets = snippets_of(connection, windows, token_texts)
    sparklines = _sparklines([row.histogram for row in entries])
    tokens = _many_shares([row.token_ids for row in entries], [row.token_shares for row in entries], token_texts)
    promoted = split_rows([row.promoted_ids for row in entries])
    return [
        {
            **_figures(catalogue, line),
            "top_tokens": shares,
            "promoted": _logits(ids_promoted[:_PROMOTED_IN_LIST], row.promoted_logits, token_texts),
            "sparkline": sparkline,
            "snippet": snippets.get(row.feature_id),
        }
        for row, line, shares, ids_promoted, sparkline in zip(entries, rows, tokens, promoted, sparklines, strict=True)
    ]


def feature_page(
    connection: Connection, catalogue: Catalogue, model_id: int, key: str, index: int, token_texts: Sequence[str]
) -> Fields:
    """All that is known of one feature, a `FeaturePage`.

    Raises:
        APIError: 404 where there is no such feature, 503 while its source has no index.
        ColumnsMissingError: its run has been removed meanwhile.
    """
    columns = catalogue.columns
    place, line = _line(connection, catalogue, model_id, key, index)
    feature_id = place.first_id + index
    hidden = catalogue.hidden
    of_source = {"run_id": place.source.run_id, "source_id": place.source.id}
    row = connection.execute(_OF_PAGE, {"id": feature_id, **of_source}).one_or_none()
    if row is None:
        raise ColumnsMissingError("the index was replaced while it was read")
    top, samples = contexts_of(connection, feature_id, place.source.first_window_id, token_texts)
    numbers, joint = unpack_ints(row.neighbour_numbers).tolist(), []
    if row.sampled_tokens:
        joint = unpack_ints(row.cofiring_numbers).tolist()
    others = _others(catalogue, place, {*numbers, *joint}, token_texts)
    previous, following = _alive_beside(columns.firing_count[place.begin : place.end], index)
    of_feature = {"source_id": place.source.id, "number": index}
    if (place.source.id, index) in hidden.places:
        version, labels = _own(connection, (place.source.id, index), hidden)
    else:
        version = connection.scalar(_VERSION, of_feature) or 0  # 0: nobody has said anything of it
        labels = _labels(connection.execute(_LABELS, of_feature)) if version else []
    return {
        **_figures(catalogue, line),
        "top_tokens": _shares(unpack_ints(row.token_ids).tolist(), row.token_shares, token_texts),
        "promoted": _logits(unpack_ints(row.promoted_ids).tolist(), row.promoted_logits, token_texts),
        "suppressed": _logits(unpack_ints(row.suppressed_ids).tolist(), row.suppressed_logits, token_texts),
        "counted_share": 1.0 if row.counted_share is None else row.counted_share,
        "sparkline": _sparklines([row.histogram])[0],
        "snippet": snippet(top[0]) if top else None,
        "histogram": {"edges": unpack(row.bin_edges, F4).tolist(), "counts": unpack_ints(row.histogram).tolist()},
        "neighbours": [
            {**others[number], "cosine": round(cosine, 4)}
            for number, cosine in zip(numbers, unpack(row.neighbour_cosines, F4).tolist(), strict=True)
        ],
        **_sampled(row, joint, others, token_texts),
        "contexts": top,
        "bands": _bands(row, samples),
        "n_tokens": place.source.n_tokens,
        "labels": labels,
        "version": version,
        "weights": weight_facts_of(connection, catalogue, model_id, place, index, token_texts),
        "previous": previous,
        "next": following,
    }


def _figures(catalogue: Catalogue, line: int) -> Fields:
    """What a list and a page both say in numbers, and the label. They are in memory: `line` is the catalogue's row."""
    columns = catalogue.columns
    place, number = columns.locate(line)
    label, origin = catalogue.names.label(line)
    r2, half_firings = float(columns.token_r2[line]), int(columns.half_firings[line])
    return {
        "source": place.source.key,
        "layer": place.source.layer,
        "index": number,
        "rate": float(columns.rate[line]),
        "firing_count": int(columns.firing_count[line]),
        "max": float(columns.max[line]),
        "mean": float(columns.mean[line]),
        "token_r2": None if math.isnan(r2) else r2,
        "half_firings": None if half_firings == UNKNOWN else half_firings,
        "status": STATUSES[int(columns.status[line])],
        "label": label,
        "label_origin": origin,
    }


def _bands(row: Row[Any], samples: Mapping[int, list[Fields]]) -> list[Fields]:
    edges, counts = unpack(row.band_edges, F4).tolist(), unpack_ints(row.band_counts).tolist()
    every = sum(counts)
    return [
        {
            "band": band,
            "low": edges[band],
            "high": edges[band + 1],
            "count": count,
            "share": count / every,
            "contexts": samples.get(band, []),
        }
        for band, count in enumerate(counts)
        if count
    ]


def _sampled(
    row: Row[Any], numbers: list[int], others: Mapping[int, Fields], token_texts: Sequence[str]
) -> dict[str, Any]:
    """What was counted on the sample of tokens; nothing in a run without one."""
    if not row.sampled_tokens:
        return dict.fromkeys(("cofiring", "next_tokens", "sampled_tokens", "sampled_firings"))
    lifts, joint = unpack(row.cofiring_lifts, F4).tolist(), unpack_ints(row.cofiring_counts).tolist()
    return {
        "cofiring": [
            {**others[number], "lift": float(f"{lift:.4g}"), "joint": count}
            for number, lift, count in zip(numbers, lifts, joint, strict=True)
        ],
        "next_tokens": _shares(unpack_ints(row.next_ids).tolist(), row.next_shares, token_texts),
        "sampled_tokens": row.sampled_tokens,
        "sampled_firings": row.sampled_firings,
    }


def _own(connection: Connection, place: tuple[int, int], hidden: Hidden) -> tuple[int, list[Fields]]:
    """Version and labels of a feature for somebody who sees nothing of it but what they said themselves."""
    state = fold(hidden.seen(events_of(connection, place)))
    rows = [SimpleNamespace(**row) for row in rows_of(place, state)[Label].values()]
    return state.version, _labels(sorted(rows, key=lambda row: (not row.is_primary, -row.stream)))


def _labels(rows: Iterable[Any]) -> list[Fields]:
    """A feature's labels: the one that is shown, then people's before automatic ones, the latest first."""
    return [
        {
            "stream": row.stream,
            "text": row.text,
            "author": row.author,
            "author_id": row.author_id,
            "created_at": row.created_at,
            "origin": row.origin,
            "reason": row.reason,
            "confidence": row.confidence,
            "unclear": row.unclear,
            "accepted": row.is_accepted,
            "up": row.up,
            "down": row.down,
        }
        for row in rows
    ]


def _alive_beside(firing_count: NDArray[np.int64], index: int) -> tuple[int | None, int | None]:
    """The next lower and the next higher feature of a source that is alive."""
    before, behind = np.flatnonzero(firing_count[:index]), firing_count[index + 1 :] > 0
    following = int(behind.argmax()) if behind.any() else None
    return int(before[-1]) if before.size else None, None if following is None else index + 1 + following


def _sparklines(histograms: Sequence[bytes]) -> list[list[int]]:
    """Each histogram in 16 bins. They have as many bins as each other."""
    if not histograms:
        return []
    counts = np.array(split_rows(histograms), np.int64)
    begins = [part[0] for part in np.array_split(np.arange(counts.shape[1]), SPARKLINE_BINS) if part.size]
    lines: list[list[int]] = np.add.reduceat(counts, begins, axis=1).tolist()
    return [line + [0] * (SPARKLINE_BINS - len(line)) for line in lines]


def _many_shares(ids: Sequence[bytes], shares: Sequence[bytes], token_texts: Sequence[str]) -> list[list[Fields]]:
    return [_shares(numbers, of, token_texts) for numbers, of in zip(split_rows(ids), shares, strict=True)]


def _shares(ids: Sequence[int], shares: bytes, token_texts: Sequence[str]) -> list[Fields]:
    pairs = zip(ids, unpack(shares, F4).tolist(), strict=True)
    return [{"text": token_texts[number], "share": round(share, 4)} for number, share in pairs]


def _logits(ids: Sequence[int], logits: bytes, token_texts: Sequence[str]) -> list[Fields]:
    """Tokens with their logits; there may be fewer ids than logits."""
    pairs = zip(ids, unpack(logits, F4).tolist(), strict=False)
    return [{"id": number, "text": token_texts[number], "logit": round(logit, 4)} for number, logit in pairs]


def _others(
    catalogue: Catalogue, place: Place, numbers: Iterable[int], token_texts: Sequence[str]
) -> dict[int, Fields]:
    """What other features of the same source are called, by number."""
    wanted = list(numbers)
    said = called(catalogue, [place.begin + number for number in wanted], token_texts)
    return {
        number: {"source": place.source.key, "index": number, **fields}
        for number, fields in zip(wanted, said, strict=True)
    }
