"""The index that a database shows of a model, as arrays again.

All that went in comes back exactly. Only in runs from before it was kept, `token_pairs` is not known, and 0 here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, select

from mfn_core.errors import MFNError
from mfn_core.indexing.arrays import ragged, rank_in_run
from mfn_core.indexing.types import ContextKind, Contexts, CorpusIndex, IndexSettings, LayerIndex
from mfn_server.db.blobs import F4, U4, unpack
from mfn_server.db.contexts import ContextColumns
from mfn_server.db.session import Database
from mfn_server.db.tables import (
    Corpus,
    Document,
    DocumentWindow,
    Feature,
    FeatureDetail,
    IndexRun,
    Model,
    SampledContexts,
    Source,
    SourceIndex,
    TopContexts,
)
from mfn_server.db.varints import unpack_rows
from mfn_server.model_facts import ModelFacts

_INTS, _FLOATS = None, F4
_BLOBS: dict[str, tuple[str, np.dtype[Any] | None, type[np.generic]]] = {
    "histogram": ("histogram", _INTS, np.int64),
    "band_edges": ("band_edges", _FLOATS, np.float32),
    "band_count": ("band_counts", _INTS, np.int64),
    "promoted_ids": ("promoted_ids", _INTS, np.int32),
    "promoted_logits": ("promoted_logits", _FLOATS, np.float32),
    "suppressed_ids": ("suppressed_ids", _INTS, np.int32),
    "suppressed_logits": ("suppressed_logits", _FLOATS, np.float32),
    "neighbour_ids": ("neighbour_numbers", _INTS, np.int32),
    "neighbour_cos": ("neighbour_cosines", _FLOATS, np.float32),
}
"""Arrays [F, n] of a layer: the column of `FeatureDetail`, what it is a blob of, and the array's type."""

_TOKENS: dict[str, tuple[str, np.dtype[Any] | None, type[np.generic], int]] = {
    "top_token_ids": ("token_ids", _INTS, np.int32, -1),
    "top_token_share": ("token_shares", _FLOATS, np.float32, 0),
}
"""Arrays [F, n] whose rows end early: as above, and with what the array is padded."""

_SAMPLED: dict[str, tuple[str, np.dtype[Any] | None, type[np.generic], int]] = {
    "cofiring_ids": ("cofiring_numbers", _INTS, np.int32, -1),
    "cofiring_lift": ("cofiring_lifts", _FLOATS, np.float32, 0),
    "cofiring_joint": ("cofiring_counts", _INTS, np.int64, 0),
    "next_token_ids": ("next_ids", _INTS, np.int32, -1),
    "next_token_share": ("next_shares", _FLOATS, np.float32, 0),
}
"""The same, null in a run without a sample of tokens."""

_FIGURES = {"firing_count": np.int64, "mean": np.float32, "maximum": np.float32}
"""Arrays [F] of a layer, in columns of the same name."""


@dataclass(frozen=True)
class StoredIndex:
    """An index out of a database, and what its corpus is called."""

    index: CorpusIndex
    corpus: str


def index_of_database(database: Database, facts: ModelFacts) -> StoredIndex:
    """Read the current index of a model. Use it under `index_lock`: it takes many statements, and none may find the
    run replaced and half removed.

    Raises:
        MFNError: there is none, or one from before its settings were kept.
    """
    with database.read() as connection:
        run = _run(connection, database.name, facts)
        rows = connection.execute(
            select(Document.ordinal, Document.token_ids, Document.meta)
            .where(Document.corpus_id == run.corpus_id)
            .order_by(Document.ordinal)
        ).all()
        settings = IndexSettings(**run.settings)
        index = CorpusIndex(
            layers=[_layer(connection, run, source.key, settings) for source in facts.sources],
            documents=[unpack(row.token_ids, U4).astype(np.uint32) for row in rows],
            meta=[row.meta for row in rows],
            n_tokens=run.n_tokens,
            settings=settings,
            model_fingerprint=facts.fingerprint,
        )
        return StoredIndex(index, run.name)


def _run(connection: Connection, name: str, facts: ModelFacts) -> Row[Any]:
    """The one run that all of the model's sources show."""
    keys = [source.key for source in facts.sources]
    shown = (
        select(Source.current_run_id)
        .join(Model, Model.id == Source.model_id)
        .where(Model.fingerprint == facts.fingerprint, Source.key.in_(keys))
    )
    runs = connection.scalars(shown).all()
    if len(runs) != len(keys) or len(set(runs)) != 1 or runs[0] is None:
        raise MFNError(f"{name} holds no index of {facts.name}: make one with `mfn index MODEL CORPUS`")
    statement: Select[*tuple[Any, ...]] = select(IndexRun, Corpus.name).join(Corpus).where(IndexRun.id == runs[0])
    run = connection.execute(statement).one()
    if not run.settings:
        raise MFNError(
            f"the index in {name} was written before its settings were kept: index the corpus again, or export a "
            "finished index file with --index"
        )
    return run


def _layer(connection: Connection, run: Row[Any], key: str, settings: IndexSettings) -> LayerIndex:
    source = connection.execute(
        select(Source.id, Source.layer, SourceIndex.bin_edges, SourceIndex.sampled_tokens, SourceIndex.token_pairs)
        .join(SourceIndex, SourceIndex.source_id == Source.id)
        .where(SourceIndex.run_id == run.id, Source.key == key, Source.model_id == run.model_id)
    ).one()
    statement = (
        select(Feature, FeatureDetail)
        .join(FeatureDetail, FeatureDetail.feature_id == Feature.id)
        .where(Feature.run_id == run.id, Feature.source_id == source.id)
        .order_by(Feature.number)
    )
    rows = connection.execute(statement).all()
    facts: dict[str, NDArray[Any] | int | None] = {}
    for name, (column, dtype, kind) in _BLOBS.items():
        values, _ = _unpacked([getattr(row, column) for row in rows], dtype)
        facts[name] = values.reshape(len(rows), -1).astype(kind)
    facts |= {name: np.array([getattr(row, name) for row in rows], dtype) for name, dtype in _FIGURES.items()}
    if all(row.half_firings is not None for row in rows):
        r2 = [np.nan if row.token_r2 is None else row.token_r2 for row in rows]
        facts |= {
            "token_r2": np.array(r2, np.float32),
            "half_firings": np.array([row.half_firings for row in rows], np.int64),
        }
    if source.sampled_tokens is not None:
        facts["sampled_firings"] = np.array([row.sampled_firings for row in rows], np.int64)
        facts["sampled_tokens"] = source.sampled_tokens
    for name, (column, dtype, kind, fill) in (
        _TOKENS | (_SAMPLED if source.sampled_tokens is not None else {})
    ).items():
        width = settings.n_cofiring if name.startswith("cofiring") else settings.n_tokens
        facts[name] = _padded([getattr(row, column) for row in rows], dtype, width, kind, fill)
    return LayerIndex(
        layer=source.layer,
        n_features=len(rows),
        bin_edges=unpack(source.bin_edges, F4).astype(np.float32),
        token_pairs=source.token_pairs or 0,
        contexts=_contexts(connection, run, {row.id: row.number for row in rows}),
        **facts,  # type: ignore[arg-type]  # by name
    )


def _unpacked(blobs: Sequence[bytes], dtype: np.dtype[Any] | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The numbers of many blobs, and where each blob's begin: [n] and [rows + 1]."""
    if dtype is None:
        return unpack_rows(blobs)
    return unpack(b"".join(blobs), dtype), np.cumsum([0, *map(len, blobs)]) // dtype.itemsize


def _padded(blobs: Sequence[bytes], dtype: np.dtype[Any] | None, width: int, kind: Any, fill: int) -> NDArray[Any]:
    """[F, width] out of rows that end early."""
    values, begins = _unpacked(blobs, dtype)
    out = np.full((len(blobs), width), fill, kind)
    out[np.arange(width) < np.diff(begins)[:, None]] = values
    return out


def _contexts(connection: Connection, run: Row[Any], numbers: Mapping[int, int]) -> Contexts:
    """The contexts of features, whose numbers are given by their ids, which are consecutive."""
    places = connection.execute(
        select(DocumentWindow.start, DocumentWindow.length, Document.ordinal)
        .join(Document, Document.id == DocumentWindow.document_id)
        .where(DocumentWindow.run_id == run.id)
        .order_by(DocumentWindow.id)
    ).all()
    start, length, document = np.array(places, np.int64).reshape(-1, 3).T
    parts = []
    for kind, table in ((ContextKind.TOP, TopContexts), (ContextKind.BAND, SampledContexts)):
        of = select(table).where(table.feature_id.between(min(numbers), max(numbers))).order_by(table.feature_id)
        rows = connection.execute(of).all()
        columns = ContextColumns.of(rows)
        feature = np.repeat(np.array([numbers[row.feature_id] for row in rows], np.int64), columns.count)
        parts.append((columns, feature, np.full(len(feature), kind)))
    feature, kinds, band, window, peak, peak_value, positions, values, firings = map(
        np.concatenate,
        zip(
            *(
                (feature, kind, c.band, c.window, c.peak, c.peak_value, c.positions, c.values, np.diff(c.offsets))
                for c, feature, kind in parts
            ),
            strict=True,
        ),
    )
    # by feature, kind and band; contexts of the same keep their order, which is that of their rank
    order = np.lexsort((band, kinds, feature))
    begins = np.concatenate([np.zeros(1, np.int64), np.cumsum(firings)])[order]
    firings, kept = firings[order], (feature[order], kinds[order], band[order])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(firings)])
    fired = ragged(begins, firings)
    window = window[order]
    return Contexts(
        feature=kept[0].astype(np.int32),
        kind=kept[1].astype(np.uint8),
        band=kept[2].astype(np.uint8),
        rank=rank_in_run(*kept).astype(np.int32),
        document=document[window].astype(np.int32),
        start=start[window].astype(np.int32),
        length=length[window].astype(np.uint16),
        peak=peak[order].astype(np.int16),
        peak_value=peak_value[order].astype(np.float32),
        offsets=offsets,
        positions=positions[fired].astype(np.uint8),
        values=values[fired].astype(np.float16),
    )
