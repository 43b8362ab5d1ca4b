"""A model's index, as dossiers are written from it; and what the jobs share about features."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.orm import InstrumentedAttribute

from mfn_core.errors import ConfigError
from mfn_core.indexing.token_r2 import MIN_FIRINGS
from mfn_server.atlas.dossier import dossier
from mfn_server.campaigns.blind import NOTHING
from mfn_server.db.migrate import open_database
from mfn_server.db.tables import Feature, Model, Source
from mfn_server.features.catalogue import Catalogue, Catalogues
from mfn_server.features.reading import feature_page
from mfn_server.features.schemas import FeaturePage
from mfn_server.model_facts import ModelFacts
from mfn_server.settings import Settings

if TYPE_CHECKING:
    from mfn_core.model import MFNModel

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
    catalogue: Catalogue

    def firing(self, at_least: int) -> set[Place]:
        """The features that fire so often."""
        return set(self._known(Feature.firing_count, Feature.firing_count >= max(1, at_least)))

    def token_r2(self) -> dict[Place, float]:
        """Token R² of the features that fire often enough for it to be their own and not chance (`MIN_FIRINGS`)."""
        return self._known(Feature.token_r2, Feature.half_firings >= MIN_FIRINGS)

    def maximum(self) -> dict[Place, float]:
        """The strongest firing of each feature that fires."""
        return self._known(Feature.maximum, Feature.firing_count > 0)

    def _known(self, column: InstrumentedAttribute[Any], of: ColumnElement[bool]) -> dict[Place, Any]:
        """What a column holds, where that is not null, of the features that fulfil a condition."""
        statement = (
            select(Source.layer, Feature.number, column)
            .join(Feature, (Feature.source_id == Source.id) & (Feature.run_id == Source.current_run_id))
            .where(Source.model_id == self.model_id, of, column.is_not(None))
        )
        return {(layer, number): value for layer, number, value in self.connection.execute(statement)}

    def dossier(self, place: Place) -> str:
        """The text on one feature."""
        key = next(source.key for source in self.facts.sources if source.layer == place[0])
        page = feature_page(self.connection, self.catalogue, self.model_id, key, place[1], self.token_texts)
        return dossier(FeaturePage.model_validate(page))


@contextmanager
def indexed(folder: Path, database_name: str, model: MFNModel | None = None) -> Iterator[Index]:
    """The index of the model in a folder, for reading. `model` spares loading what has been loaded from there.

    Raises:
        MFNError: the model cannot be read or has no tokenizer, or the database has no index of it.
    """
    from mfn_core.model import MFNModel
    from mfn_core.tokens import vocabulary_strings

    model = model or MFNModel.from_pretrained(folder)
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
            texts = vocabulary_strings(model.tokenizer, facts.vocab_size)
            catalogue = Catalogues().current(connection, model_id, facts.fingerprint, NOTHING)
            yield Index(facts, model_id, texts, connection, catalogue)
    finally:
        database.close()
