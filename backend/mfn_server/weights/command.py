"""`mfn weights`: what the weights say of a model's features, into a database. No corpus is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_server.db.index_lock import index_lock
from mfn_server.db.migrate import open_database
from mfn_server.db.registry import register
from mfn_server.db.session import Database

if TYPE_CHECKING:
    from mfn_core.indexing.from_weights.types import MapMethod
    from mfn_server.model_facts import ModelFacts


@dataclass(frozen=True)
class WeightOrder:
    """What `mfn weights` is asked to do.

    Attributes:
        model: the bundle's folder.
        database_url: where it goes.
        method: how the map is drawn, as `WeightSettings.map`.
        most_pairs: as `WeightSettings` has it; None for its default, or what is there already.
        anew: compute what is there, too.
        device: where the model computes, as `find_device` takes it.
    """

    model: Path
    database_url: str
    method: MapMethod = "auto"
    most_pairs: int | None = None
    anew: bool = False
    device: str = "auto"


def run_weights(order: WeightOrder, progress: Callable[[str, float | None], None]) -> str:
    """Do it, and return a line that says what was done.

    Raises:
        MFNError: what is wrong with the model or the database, or umap-learn is asked for and missing.
    """
    with closing(open_database(order.database_url)) as database, index_lock(database):
        progress("loading the model", None)
        # torch comes in only now, so that mistakes in the arguments are answered at once
        from mfn_core.device import find_device
        from mfn_core.indexing.from_weights.types import WeightSettings
        from mfn_core.model import MFNModel
        from mfn_server.model_facts import ModelFacts
        from mfn_server.weights.bringing import bring_weights, missing
        from mfn_server.weights.record import kept_settings

        most_pairs = WeightSettings.most_pairs if order.most_pairs is None else order.most_pairs
        settings = kept_settings(order.method, most_pairs)
        model = MFNModel.from_pretrained(order.model).to(find_device(order.device))
        facts = ModelFacts.of(model, order.model)
        sources = sources_by_layer(database, facts)
        n_features = sum(model.n_features.values())
        other = order.most_pairs is not None and missing(database, sources, settings, n_features).other
        computed, drawn = bring_weights(database, model, sources, progress, settings, anew=order.anew or other)
        name = database.name
    done = [words for words, true in (("computed", computed), ("the map drawn by UMAP", drawn)) if true]
    return f"what the weights say of {n_features:,} features is in {name}: " + (" and ".join(done) or "it was already")


def sources_by_layer(database: Database, facts: ModelFacts) -> dict[int, int]:
    """The id of each layer's source, made where it is missing."""
    with database.write() as connection:
        registered = register(connection, facts)
    return {source.layer: registered.source_ids[source.key] for source in facts.sources}
