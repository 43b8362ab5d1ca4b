"""A model's index, as dossiers are written from it; and what the jobs share about features."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from mfn_core.errors import ConfigError
from mfn_core.indexing.token_r2 import MIN_FIRINGS
from mfn_server.atlas.dossier import dossier
from mfn_server.db.migrate import open_database
from mfn_server.db.tables import Feature, Model, Source
from mfn_server.features.reading import feature_page
from mfn_server.model_facts import ModelFacts
from mfn_server.settings import Settings

FEWEST_FIRINGS = 20

Place = tuple[int, int]
"""Layer and feature."""


def draw(places: list[Place], most: int, seed: int) -> list[Place]:
    """At most so many of them, in order."""
    return sorted(random.Random(seed).sample(places, min(most, len(places))))


def facts_of(folder: Path) -> ModelFacts:
    """The facts of a model folder. Raises MFNError where there is no model."""
    from mfn_core.model import MFNModel

    return ModelFacts.of(MFNModel.from_pretrained(folder), folder)


@dataclass(frozen=True)
class Index:
    """The current index of a model in a database."""

    facts: ModelFacts
    model_id: int
    token_texts: list[str]
    connection: Connection

    def firing(self, at_least: int) -> set[Place]:
        """The features that fire so often."""
        statement = (
            select(Source.layer, Feature.number)
            .join(Feature, (Feature.source_id == Source.id) & (Feature.run_id == Source.current_run_id))
            .where(Source.model_id == self.model_id, Feature.firing_count >= max(1, at_least))
        )
        return {(row.layer, row.number) for row in self.connection.execute(statement)}

    def token_r2(self) -> dict[Place, float]:
        """Token R² of the features that fire often enough for it to be their own and not chance (`MIN_FIRINGS`)."""
        statement = (
            select(Source.layer, Feature.number, Feature.token_r2)
            .join(Feature, (Feature.source_id == Source.id) & (Feature.run_id == Source.current_run_id))
            .where(Source.model_id == self.model_id, Feature.half_firings >= MIN_FIRINGS)
        )
        rows = self.connection.execute(statement)
        return {(row.layer, row.number): row.token_r2 for row in rows if row.token_r2 is not None}

    def maximum(self) -> dict[Place, float]:
        """The strongest firing of each feature that fires."""
        statement = (
            select(Source.layer, Feature.number, Feature.maximum)
            .join(Feature, (Feature.source_id == Source.id) & (Feature.run_id == Source.current_run_id))
            .where(Source.model_id == self.model_id, Feature.firing_count > 0)
        )
        return {(row.layer, row.number): row.maximum for row in self.connection.execute(statement)}

    def dossier(self, place: Place) -> str:
        """The text on one feature."""
        key = next(source.key for source in self.facts.sources if source.layer == place[0])
        return dossier(feature_page(self.connection, self.model_id, key, place[1], self.token_texts))


@contextmanager
def indexed(folder: Path, database_name: str) -> Iterator[Index]:
    """The index of the model in a folder, for reading.

    Raises:
        MFNError: the model cannot be read or has no tokenizer, or the database has no index of it.
    """
    from mfn_core.model import MFNModel
    from mfn_core.tokens import token_strings

    model = MFNModel.from_pretrained(folder)
    if model.tokenizer is None:
        raise ConfigError(f"{folder} has no tokenizer, and without one no text can be shown")
    facts = ModelFacts.of(model, folder)
    database = open_database(Settings(database=database_name).database_url)
    try:
        with database.read() as connection:
            statement = (
                select(Model.id)
                .join(Source, Source.model_id == Model.id)
                .where(Model.fingerprint == facts.fingerprint, Source.current_run_id.is_not(None))
            )
            model_id = connection.scalar(statement.limit(1))
            if model_id is None:
                raise ConfigError(f"{database.name} has no index of {folder}: make one with `mfn index`")
            texts = token_strings(model.tokenizer)
            texts += [""] * (facts.vocab_size - len(texts))  # embeddings may be padded beyond the vocabulary
            yield Index(facts, model_id, texts, connection)
    finally:
        database.close()
