"""The text on which a model's current index was made, and its features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from mfn_core.errors import ConfigError
from mfn_core.model import MFNModel
from mfn_core.tokens import vocabulary_strings
from mfn_server.db.blobs import U4, unpack
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from mfn_server.db.tables import Document, Feature, IndexRun, Model, Source
from mfn_server.model_facts import ModelFacts

MOST_TOKENS = 4_000_000
"""Of a longer corpus so many tokens are read, out of documents all over it: occurrences are counted, not stored."""


@dataclass(frozen=True)
class IndexedModel:
    """A model with its current index in a database.

    Attributes:
        model: loaded.
        model_id: its row.
        facts: its name, fingerprint and sources.
        sources: rows of its sources that have an index, by layer, with their keys.
        run_id: of the index.
        token_texts: how each token id is shown.
    """

    database: Database
    model: MFNModel
    model_id: int
    facts: ModelFacts
    sources: dict[int, tuple[int, str]]
    run_id: int
    token_texts: list[str]

    def check(self, features: Sequence[tuple[int, int]]) -> None:
        """Whether the model has these features, (layer, number). Raises ConfigError."""
        for layer, number in features:
            n = self.model.n_features.get(layer, 0)
            if layer not in self.sources or not 0 <= number < n:
                raise ConfigError(f"there is no feature {number} in layer {layer} of {self.facts.name}")

    def alive(self, connection: Connection, layers: set[int] | None, fewest: int) -> list[tuple[int, int]]:
        """Features that fire at least so often, as (layer, number), in order."""
        found = []
        for layer, (source_id, _) in sorted(self.sources.items()):
            if layers is None or layer in layers:
                numbers = connection.scalars(
                    select(Feature.number)
                    .where(Feature.run_id == self.run_id, Feature.source_id == source_id)
                    .where(Feature.firing_count >= fewest)
                    .order_by(Feature.number)
                )
                found += [(layer, number) for number in numbers]
        return found


@contextmanager
def open_indexed(folder: Path, database_url: str) -> Iterator[IndexedModel]:
    """The model in a folder and its index.

    Raises:
        MFNError: there is no such model, database or index, or the model has no tokenizer.
    """
    database = open_database(database_url, make=False)
    try:
        model = MFNModel.from_pretrained(folder)
        if model.tokenizer is None:
            raise ConfigError(f"{folder} has no tokenizer, and without one no text can be shown")
        facts = ModelFacts.of(model, folder)
        with database.read() as connection:
            rows = connection.execute(
                select(Source.id, Source.key, Source.layer, Source.current_run_id, Source.model_id)
                .join(Model, Model.id == Source.model_id)
                .where(Model.fingerprint == facts.fingerprint, Source.current_run_id.is_not(None))
            ).all()
        if not rows:
            raise ConfigError(f"{database.name} has no index of {folder}: make one with `mfn index`")
        yield IndexedModel(
            database=database,
            model=model,
            model_id=rows[0].model_id,
            facts=facts,
            sources={row.layer: (row.id, row.key) for row in rows},
            run_id=rows[0].current_run_id,
            token_texts=vocabulary_strings(model.tokenizer, facts.vocab_size),
        )
    finally:
        database.close()


def corpus_of(connection: Connection, run_id: int, most_tokens: int = MOST_TOKENS) -> list[NDArray[np.uint32]]:
    """Token ids of the documents that an index was made of, or of every n-th where all would be too many."""
    lengths = _lengths(connection, run_id)
    step = max(1, -(-sum(n_tokens for _, n_tokens in lengths) // most_tokens))
    return [unpack(ids, U4) for ids in _token_ids(connection, [number for number, _ in lengths[::step]])]


def digests_of(connection: Connection, run_id: int) -> set[bytes]:
    """What each document that an index was made of is known by: see `digest_of`."""
    documents = [number for number, _ in _lengths(connection, run_id)]
    return {sha256(ids).digest() for ids in _token_ids(connection, documents)}


def digest_of(ids: NDArray[np.uint32]) -> bytes:
    """What a document is known by, from its token ids."""
    return sha256(ids.astype(U4).tobytes()).digest()


def _lengths(connection: Connection, run_id: int) -> list[tuple[int, int]]:
    """Rows of a run's documents with how many tokens each has, in order."""
    corpus_id = select(IndexRun.corpus_id).where(IndexRun.id == run_id).scalar_subquery()
    rows = connection.execute(
        select(Document.id, Document.n_tokens).where(Document.corpus_id == corpus_id).order_by(Document.ordinal)
    )
    return [(row.id, row.n_tokens) for row in rows]


def _token_ids(connection: Connection, documents: Sequence[int]) -> Iterator[bytes]:
    for begin in range(0, len(documents), 500):
        these = Document.id.in_(documents[begin : begin + 500])
        yield from connection.scalars(select(Document.token_ids).where(these).order_by(Document.ordinal))
