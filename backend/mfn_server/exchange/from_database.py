"""The index that a database shows of a model, as arrays again.

All that the database keeps comes back exactly. It does not keep `token_pairs`, which is 0 here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, select

from mfn_core.errors import MFNError
from mfn_core.indexing.types import Contexts, CorpusIndex, IndexSettings, LayerIndex
from mfn_server.db.blobs import F2, F4, U1, U4, unpack
from mfn_server.db.session import Database
from mfn_server.db.tables import (
    Activation,
    Corpus,
    Document,
    DocumentWindow,
    Feature,
    FeatureToken,
    IndexRun,
    Model,
    Source,
    SourceIndex,
)
from mfn_server.model_facts import ModelFacts

_BLOBS = {
    "histogram": ("histogram", U4, np.int64),
    "band_edges": ("band_edges", F4, np.float32),
    "band_count": ("band_counts", U4, np.int64),
    "promoted_ids": ("promoted_ids", U4, np.int32),
    "promoted_logits": ("promoted_logits", F4, np.float32),
    "suppressed_ids": ("suppressed_ids", U4, np.int32),
    "suppressed_logits": ("suppressed_logits", F4, np.float32),
    "neighbour_ids": ("neighbour_numbers", U4, np.int32),
    "neighbour_cos": ("neighbour_cosines", F4, np.float32),
}
"""Arrays [F, n] of a layer: the column of `Feature`, its type there, and the array's."""

_LISTS = {
    "cofiring_ids": ("cofiring_numbers", U4, np.int32, -1),
    "cofiring_lift": ("cofiring_lifts", F4, np.float32, 0),
    "cofiring_joint": ("cofiring_counts", U4, np.int64, 0),
    "next_token_ids": ("next_ids", U4, np.int32, -1),
    "next_token_share": ("next_shares", F4, np.float32, 0),
}
"""Arrays [F, n] whose rows end early: column, its type there, the array's, and with what the array is padded."""

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
            layers=[_layer(connection, run.id, source.key, settings) for source in facts.sources],
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


def _layer(connection: Connection, run_id: int, key: str, settings: IndexSettings) -> LayerIndex:
    source = connection.execute(
        select(Source.id, Source.layer, SourceIndex.bin_edges, SourceIndex.sampled_tokens)
        .join(SourceIndex, SourceIndex.source_id == Source.id)
        .where(SourceIndex.run_id == run_id, Source.key == key)
    ).one()
    same = (Feature.run_id == run_id, Feature.source_id == source.id)
    rows = connection.execute(select(Feature).where(*same).order_by(Feature.number)).all()
    row_of = {row.id: row.number for row in rows}
    facts: dict[str, NDArray[Any] | int | None] = {
        name: np.stack([unpack(getattr(row, column), stored) for row in rows]).astype(dtype)
        for name, (column, stored, dtype) in _BLOBS.items()
    }
    facts |= {name: np.array([getattr(row, name) for row in rows], dtype) for name, dtype in _FIGURES.items()}
    if all(row.half_firings is not None for row in rows):
        r2 = [np.nan if row.token_r2 is None else row.token_r2 for row in rows]
        facts |= {
            "token_r2": np.array(r2, np.float32),
            "half_firings": np.array([row.half_firings for row in rows], np.int64),
        }
    if source.sampled_tokens is not None:
        for name, (column, stored, dtype, fill) in _LISTS.items():
            width = settings.n_cofiring if name.startswith("cofiring") else settings.n_tokens
            facts[name] = _padded([unpack(getattr(row, column), stored) for row in rows], width, dtype, fill)
        facts["sampled_firings"] = np.array([row.sampled_firings for row in rows], np.int64)
        facts["sampled_tokens"] = source.sampled_tokens
    tokens = connection.execute(select(FeatureToken).join(Feature).where(*same)).all()
    ids, shares = _top_tokens(tokens, row_of, settings.n_tokens)
    contexts: Select[*tuple[Any, ...]] = (
        select(Activation, DocumentWindow.start, DocumentWindow.length, Document.ordinal)
        .join(Feature, Feature.id == Activation.feature_id)
        .join(DocumentWindow, DocumentWindow.id == Activation.window_id)
        .join(Document, Document.id == DocumentWindow.document_id)
        .where(*same)
        .order_by(Feature.number, Activation.kind, Activation.band, Activation.rank)
    )
    return LayerIndex(
        layer=source.layer,
        n_features=len(rows),
        bin_edges=unpack(source.bin_edges, F4).astype(np.float32),
        contexts=_contexts(connection.execute(contexts).all(), row_of),
        top_token_ids=ids,
        top_token_share=shares,
        **facts,  # type: ignore[arg-type]  # by name
    )


def _padded(rows: Sequence[NDArray[Any]], width: int, dtype: Any, fill: int) -> NDArray[Any]:
    """[F, width] out of rows that end early."""
    out = np.full((len(rows), width), fill, dtype)
    for number, row in enumerate(rows):
        out[number, : len(row)] = row
    return out


def _top_tokens(
    rows: Iterable[Row[Any]], row_of: dict[int, int], most: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Ids and shares [F, most], padded with -1 and 0."""
    ids = np.full((len(row_of), most), -1, np.int32)
    shares = np.zeros((len(row_of), most), np.float32)
    for row in rows:
        ids[row_of[row.feature_id], row.rank] = row.token_id
        shares[row_of[row.feature_id], row.rank] = row.share
    return ids, shares


def _contexts(rows: Sequence[Row[Any]], row_of: dict[int, int]) -> Contexts:
    positions = [unpack(row.firing_positions, U1) for row in rows]
    values = [unpack(row.firing_values, F2) for row in rows]
    return Contexts(
        feature=np.array([row_of[row.feature_id] for row in rows], np.int32),
        kind=np.array([row.kind for row in rows], np.uint8),
        band=np.array([row.band for row in rows], np.uint8),
        rank=np.array([row.rank for row in rows], np.int32),
        document=np.array([row.ordinal for row in rows], np.int32),
        start=np.array([row.start for row in rows], np.int32),
        length=np.array([row.length for row in rows], np.uint16),
        peak=np.array([row.peak for row in rows], np.int16),
        peak_value=np.array([row.peak_value for row in rows], np.float32),
        offsets=np.cumsum([0, *map(len, positions)], dtype=np.int64),
        positions=np.concatenate([np.zeros(0, np.uint8), *positions]),
        values=np.concatenate([np.zeros(0, np.float16), *values]),
    )
