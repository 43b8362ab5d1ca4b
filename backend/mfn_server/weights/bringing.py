"""Sees to it that what the weights say of a model is in its database: computes what is missing, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from mfn_core.indexing.from_weights.types import WeightSettings
from mfn_core.indexing.from_weights.umap import umap_wanted
from mfn_server.db.session import Database
from mfn_server.db.tables import SourceWeights
from mfn_server.weights.record import record_of
from mfn_server.weights.store import store_map, store_weights

if TYPE_CHECKING:
    from mfn_core.model import MFNModel

Tell = Callable[[str, float | None], None]
"""Told the phase, and how far it is: from 0 to 1, None where that is unknown."""


class Missing(NamedTuple):
    """Facts that are not there; facts that are there by other settings; a map by UMAP that is wanted and not there."""

    facts: bool
    other: bool
    umap: bool


def missing(database: Database, sources: Mapping[int, int], settings: WeightSettings, n_features: int) -> Missing:
    """What is not in the database yet.

    Args:
        database: where to look.
        sources: the id of each layer's source.
        settings: what is wanted.
        n_features: of all layers together.
    """
    of = select(SourceWeights.settings, SourceWeights.umap_version).where(SourceWeights.source_id.in_(sources.values()))
    with database.read() as connection:
        rows = connection.execute(of).all()
    there = len(rows) == len(sources)
    # how the map was to be drawn says nothing of the rest, and whether it is drawn is seen
    other = any({**row.settings, "map": settings.map} != asdict(settings) for row in rows)
    drawn = there and all(row.umap_version is not None for row in rows)
    return Missing(not there, there and other, not drawn and umap_wanted(settings, n_features))


def bring_weights(
    database: Database,
    model: MFNModel,
    sources: Mapping[int, int],
    tell: Tell,
    settings: WeightSettings,
    anew: bool = False,
) -> tuple[bool, bool]:
    """Compute and keep what is missing, under `index_lock`. The map by UMAP comes last, for it takes by far longest.

    Args:
        database: where it is kept.
        model: whose.
        sources: the id of each layer's source.
        tell: told how far it is.
        settings: from `kept_settings`. What is there already, by other settings, is left as it is.
        anew: compute what is there, too.

    Returns:
        Whether the facts were computed, and whether UMAP has drawn.

    Raises:
        ConfigError: UMAP is asked for and not installed.
    """
    from mfn_core.indexing.from_weights import describe_weights, draw_map  # torch comes with it

    n_features = sum(model.n_features.values())
    found = missing(database, sources, settings, n_features)
    drawing = found.umap or (anew and umap_wanted(settings, n_features))

    def progress(part: str, done: int, total: int) -> None:
        tell(f"weights: {part}", done / total)

    if found.facts or anew:
        plain = replace(settings, map="pca")
        store_weights(database, sources, record_of(describe_weights(model, plain, progress), plain), tell)
    if drawing:
        tell("weights: map by UMAP", None)
        store_map(database, sources, draw_map(model, replace(settings, map="umap")))
    return found.facts or anew, drawing
