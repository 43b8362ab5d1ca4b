"""The index that a database shows of a model, as arrays again, block of features by block of features.

All that went in comes back exactly. Only in runs from before it was kept, `token_pairs` is not known, and 0 here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, func, select

from mfn_core.errors import MFNError
from mfn_core.indexing.arrays import ragged, rank_in_run, slices
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
from mfn_server.exchange.parts import BLOCK, IndexParts, LayerParts
from mfn_server.exchange.table_names import Column, arrays_of, table_of
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


@dataclass(frozen=True)
class StoredParts:
    """The same, read as it is asked for: under `index_lock` alone, for nothing may be replaced and half removed."""

    index: IndexParts
    corpus: str


def index_of_database(database: Database, facts: ModelFacts) -> StoredIndex:
    """Read the current index of a model, all of it. Use it under `index_lock`.

    Raises:
        MFNError: there is none, or one from before its settings were kept.
    """
    stored = parts_of_database(database, facts)
    parts = stored.index
    index = CorpusIndex(
        layers=[joined(list(layer.blocks())) for layer in parts.layers],
        documents=parts.documents[:],
        meta=parts.meta[:],
        n_tokens=parts.n_tokens,
        settings=parts.settings,
        model_fingerprint=parts.model_fingerprint,
    )
    return StoredIndex(index, stored.corpus)


def parts_of_database(database: Database, facts: ModelFacts) -> StoredParts:
    """Read the current index of a model as one goes through it. Use it, and what it gives, under `index_lock`.

    Raises:
        MFNError: there is none, or one from before its settings were kept.
    """
    with database.read() as connection:
        run = _run(connection, database.name, facts)
        count = select(func.count()).where(Document.corpus_id == run.corpus_id)
        n_documents = connection.scalar(count) or 0
        settings = IndexSettings(**run.settings)
        windows = _Windows.of(connection, run.id)
        layers = [_StoredLayer.of(database, connection, run, source.key, settings, windows) for source in facts.sources]
    probes = [layer.probe() for layer in layers]
    columns: dict[str, Column] = {}
    for probe in probes:
        for name, array in arrays_of(probe).items():
            columns.setdefault(name, Column(table_of(name, name not in _OF_LAYERS), array.dtype, array.ndim))
    contexts = {
        field.name: getattr(probe.contexts, field.name).dtype for probe in probes[:1] for field in fields(Contexts)
    }
    parts = IndexParts(
        columns=columns,
        contexts=contexts,
        layers=[layer.parts(probe) for layer, probe in zip(layers, probes, strict=True)],
        documents=_Documents(database, run.corpus_id, n_documents, "token_ids", _token_ids),
        meta=_Documents(database, run.corpus_id, n_documents, "meta", dict),
        n_tokens=run.n_tokens,
        settings=settings,
        model_fingerprint=facts.fingerprint,
    )
    return StoredParts(parts, run.name)


def joined(blocks: Sequence[LayerIndex]) -> LayerIndex:
    """A layer out of its blocks."""
    contexts = [block.contexts for block in blocks]
    lengths = np.concatenate([np.diff(each.offsets) for each in contexts])
    columns = {
        field.name: np.concatenate([getattr(each, field.name) for each in contexts])
        for field in fields(Contexts)
        if field.name != "offsets"
    }
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in arrays_of(blocks[0])
        if name not in _OF_LAYERS
    }
    return replace(
        blocks[0],
        n_features=sum(block.n_features for block in blocks),
        contexts=Contexts(**columns, offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])),
        **arrays,
    )


_T = TypeVar("_T")


class _Documents(Sequence[_T]):
    """A column of a corpus's documents, read when it is asked for."""

    def __init__(self, database: Database, corpus_id: int, n: int, column: str, decode: Callable[[Any], _T]) -> None:
        self._database, self._corpus_id, self._n = database, corpus_id, n
        self._column, self._decode = column, decode

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, which: int) -> _T: ...
    @overload
    def __getitem__(self, which: slice) -> list[_T]: ...
    def __getitem__(self, which: int | slice) -> _T | list[_T]:
        if isinstance(which, slice):
            begin, end, step = which.indices(self._n)
            return self._between(begin, end)[::step] if step == 1 else [self[i] for i in range(begin, end, step)]
        number = range(self._n)[which]
        return self._between(number, number + 1)[0]

    def _between(self, begin: int, end: int) -> list[_T]:
        of = (Document.corpus_id == self._corpus_id, Document.ordinal.between(begin, end - 1))
        with self._database.read() as connection:
            found = connection.scalars(select(getattr(Document, self._column)).where(*of).order_by(Document.ordinal))
            return [self._decode(value) for value in found]


def _token_ids(blob: bytes) -> NDArray[np.uint32]:
    return unpack(blob, U4).astype(np.uint32)


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


_OF_LAYERS = ("bin_edges",)
"""Arrays that are not of features."""


@dataclass(frozen=True)
class _Windows:
    """All windows of a run, [W] each."""

    document: NDArray[np.int32]
    start: NDArray[np.int32]
    length: NDArray[np.uint16]

    @classmethod
    def of(cls, connection: Connection, run_id: int) -> _Windows:
        places = (
            select(DocumentWindow.id, Document.ordinal, DocumentWindow.start, DocumentWindow.length)
            .join(Document, Document.id == DocumentWindow.document_id)
            .where(DocumentWindow.run_id == run_id)
            .order_by(DocumentWindow.id)
            .limit(_WINDOWS)
        )
        parts, last = [], 0
        while rows := connection.execute(places.where(DocumentWindow.id > last)).all():
            parts.append(np.array([row[1:] for row in rows], np.int32))
            last = rows[-1].id
        document, start, length = np.concatenate([np.zeros((0, 3), np.int32), *parts]).T
        return cls(document.copy(), start.copy(), length.astype(np.uint16))


_WINDOWS = 1 << 16  # rows read at a time


@dataclass(frozen=True)
class _StoredLayer:
    """A layer of a run, and what its rows have in common."""

    database: Database
    settings: IndexSettings
    windows: _Windows
    run_id: int
    source: Any
    n_features: int
    halves_known: bool
    on_samples: bool

    @classmethod
    def of(
        cls,
        database: Database,
        connection: Connection,
        run: Row[Any],
        key: str,
        settings: IndexSettings,
        windows: _Windows,
    ) -> _StoredLayer:
        source = connection.execute(
            select(Source.id, Source.layer, SourceIndex.bin_edges, SourceIndex.sampled_tokens, SourceIndex.token_pairs)
            .join(SourceIndex, SourceIndex.source_id == Source.id)
            .where(SourceIndex.run_id == run.id, Source.key == key, Source.model_id == run.model_id)
        ).one()
        of = (Feature.run_id == run.id, Feature.source_id == source.id)
        n, known = connection.execute(select(func.count(), func.count(Feature.half_firings)).where(*of)).one()
        details = select(func.count(FeatureDetail.counted_share)).join(Feature, Feature.id == FeatureDetail.feature_id)
        on_samples = (connection.scalar(details.where(*of)) or 0) > 0
        return cls(database, settings, windows, run.id, source, n, n == known, on_samples)

    def parts(self, probe: LayerIndex) -> LayerParts:
        """The layer; `probe` has some of its features."""
        arrays = arrays_of(probe)
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        whole = {field.name: getattr(probe, field.name) for field in fields(LayerIndex) if field.name != "contexts"}
        return LayerParts(
            layer=self.source.layer,
            n_features=self.n_features,
            whole={name: value for name, value in whole.items() if name not in arrays or name in _OF_LAYERS}
            | {"n_features": self.n_features},
            shapes={n: shape if n in _OF_LAYERS else [self.n_features, *shape[1:]] for n, shape in shapes.items()},
            blocks=self.blocks,
        )

    def probe(self) -> LayerIndex:
        """The first feature alone."""
        return self._block(slice(0, 1))

    def blocks(self) -> Iterator[LayerIndex]:
        """All features, some at a time."""
        return map(self._block, slices(self.n_features, BLOCK))

    def _block(self, numbers: slice) -> LayerIndex:
        statement = (
            select(Feature, FeatureDetail)
            .join(FeatureDetail, FeatureDetail.feature_id == Feature.id)
            .where(
                Feature.run_id == self.run_id,
                Feature.source_id == self.source.id,
                Feature.number.between(numbers.start, numbers.stop - 1),
            )
            .order_by(Feature.number)
        )
        with self.database.read() as connection:
            rows = connection.execute(statement).all()
            contexts = _contexts(connection, self.windows, {row.id: row.number for row in rows})
        return LayerIndex(
            layer=self.source.layer,
            n_features=len(rows),
            bin_edges=unpack(self.source.bin_edges, F4).astype(np.float32),
            token_pairs=self.source.token_pairs or 0,
            contexts=contexts,
            **self._facts(rows),
        )

    def _facts(self, rows: Sequence[Any]) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for name, (column, dtype, kind) in _BLOBS.items():
            values, _ = _unpacked([getattr(row, column) for row in rows], dtype)
            facts[name] = values.reshape(len(rows), -1).astype(kind)
        facts |= {name: np.array([getattr(row, name) for row in rows], dtype) for name, dtype in _FIGURES.items()}
        if self.halves_known:
            r2 = [np.nan if row.token_r2 is None else row.token_r2 for row in rows]
            facts |= {
                "token_r2": np.array(r2, np.float32),
                "half_firings": np.array([row.half_firings for row in rows], np.int64),
            }
        if self.on_samples:
            shares = [1 if row.counted_share is None else row.counted_share for row in rows]
            facts["counted_share"] = np.array(shares, np.float32)
        sampled = self.source.sampled_tokens is not None
        if sampled:
            facts["sampled_firings"] = np.array([row.sampled_firings for row in rows], np.int64)
            facts["sampled_tokens"] = self.source.sampled_tokens
        for name, (column, dtype, kind, fill) in (_TOKENS | (_SAMPLED if sampled else {})).items():
            width = self.settings.n_cofiring if name.startswith("cofiring") else self.settings.n_tokens
            facts[name] = _padded([getattr(row, column) for row in rows], dtype, width, kind, fill)
        return facts


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


def _contexts(connection: Connection, windows: _Windows, numbers: Mapping[int, int]) -> Contexts:
    """The contexts of features, whose numbers are given by their ids, which are consecutive."""
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
        document=windows.document[window],
        start=windows.start[window],
        length=windows.length[window],
        peak=peak[order].astype(np.int16),
        peak_value=peak_value[order].astype(np.float32),
        offsets=offsets,
        positions=positions[fired].astype(np.uint8),
        values=values[fired].astype(np.float16),
    )
