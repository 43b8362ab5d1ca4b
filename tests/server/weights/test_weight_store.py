"""What the weights say, into a database of either kind and out again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from mfn_core import MFNModel
from mfn_core.errors import ConfigError
from mfn_core.indexing import from_weights
from mfn_core.indexing.from_weights import LayerWeights, describe_weights, layout, umap
from mfn_server.db.session import Database
from mfn_server.db.tables import FeatureWeights, SourceWeights
from mfn_server.model_facts import ModelFacts
from mfn_server.weights import store
from mfn_server.weights.bringing import bring_weights, missing
from mfn_server.weights.command import sources_by_layer
from mfn_server.weights.record import WeightRecord, kept_settings, record_of
from mfn_server.weights.store import store_weights, stored_weights
from tests.server.comparing import same


def quiet(phase: str, share: float | None) -> None:
    """Nobody is told."""


@pytest.fixture
def sources(database: Database, tiny_facts: ModelFacts) -> dict[int, int]:
    return sources_by_layer(database, tiny_facts)


def stored(database: Database, sources: dict[int, int]) -> WeightRecord | None:
    with database.read() as connection:
        return stored_weights(connection, sources)


def test_all_of_it_comes_back(database: Database, sources: dict[int, int], tiny_weights: WeightRecord) -> None:
    assert stored(database, sources) is None
    told: list[tuple[str, float]] = []
    store_weights(database, sources, tiny_weights, lambda *now: told.append(now))
    assert told == [("writing what the weights say", 0.0), ("writing what the weights say", 0.5)]
    same(stored(database, sources), tiny_weights, halved=True)
    assert tiny_weights.layers[0].downstream is not None, "or this test is of nothing"


def _odd(facts: LayerWeights) -> LayerWeights:
    """As codes without an encoder, without a path ahead, with too many pairs, and with what is not known."""
    logits = replace(
        facts.logits,
        skewness=np.where(np.arange(facts.n_features) == 3, np.float32("nan"), facts.logits.skewness),
        histogram=facts.logits.histogram * 300,
    )
    place = facts.place and replace(facts.place, umap=facts.place.pca[::-1].copy())
    return replace(
        facts, logits=logits, agreement=None, downstream=None, neighbours=None, place=place, left_out=("neighbours …",)
    )


def test_what_is_not_there_comes_back_as_that(
    database: Database, sources: dict[int, int], tiny_weights: WeightRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_ROWS", 7)
    layers = {number: _odd(facts) for number, facts in tiny_weights.layers.items()}
    odd = WeightRecord(layers, {**tiny_weights.settings, "most_pairs": 5}, "0.5.12")
    store_weights(database, sources, odd, quiet)
    same(stored(database, sources), odd, halved=True)
    store_weights(database, sources, tiny_weights, quiet)
    same(stored(database, sources), tiny_weights, halved=True)


def test_figures_beyond_half_precision_stay_finite(
    database: Database, sources: dict[int, int], tiny_weights: WeightRecord
) -> None:
    facts = tiny_weights.layers[1]
    assert facts.upstream is not None
    huge = replace(facts.upstream.positive, values=np.full_like(facts.upstream.positive.values, 1e9))
    upstream = replace(facts.upstream, positive=huge)
    record = replace(tiny_weights, layers={0: tiny_weights.layers[0], 1: replace(facts, upstream=upstream)})
    store_weights(database, sources, record, quiet)
    found = stored(database, sources)
    assert found is not None
    assert found.layers[1].upstream is not None
    assert (found.layers[1].upstream.positive.values == 65504).all()


def test_what_a_killed_process_left_is_nothing(
    database: Database, sources: dict[int, int], tiny_weights: WeightRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_weights(database, sources, tiny_weights, quiet)
    insert, calls = store.bulk_insert, []

    def once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return insert(*arguments)

    monkeypatch.setattr(store, "bulk_insert", once)
    with pytest.raises(KeyboardInterrupt):
        store_weights(database, sources, tiny_weights, quiet)
    assert stored(database, sources) is None
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(SourceWeights)) == 0
    store_weights(database, sources, tiny_weights, quiet)
    same(stored(database, sources), tiny_weights, halved=True)


def test_nothing_is_computed_twice(
    database: Database, sources: dict[int, int], tiny_model: MFNModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, told = kept_settings("pca"), []
    assert missing(database, sources, settings, 96) == (True, False, False)
    assert bring_weights(database, tiny_model, sources, lambda *now: told.append(now), settings) == (True, False)
    assert [phase for phase, _ in told][:1] == ["weights: logits"]
    same(stored(database, sources), record_of(describe_weights(tiny_model, settings), settings), halved=True)
    with monkeypatch.context() as patch:
        patch.setattr(from_weights, "describe_weights", None)
        assert bring_weights(database, tiny_model, sources, quiet, settings) == (False, False)
        other = kept_settings("pca", most_pairs=7)
        assert missing(database, sources, other, 96) == (False, True, False)
        assert bring_weights(database, tiny_model, sources, quiet, other) == (False, False), "it is left as it is"
    assert bring_weights(database, tiny_model, sources, quiet, other, anew=True) == (True, False)
    found = stored(database, sources)
    assert found is not None
    assert found.layers[0].neighbours is None
    assert found.settings["most_pairs"] == 7


def test_umap_draws_last_and_once(
    database: Database, sources: dict[int, int], tiny_model: MFNModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for umap-learn, whose compiling takes long; its own test is in the core."""
    drawn: list[int] = []

    def draw(rows: Any, start: np.ndarray, *rest: Any) -> np.ndarray:
        drawn.append(len(start))
        return np.arange(2 * len(start), dtype=np.float32).reshape(-1, 2)

    monkeypatch.setattr(umap, "umap_installed", lambda: True)
    monkeypatch.setattr(layout, "_umap", draw)
    assert bring_weights(database, tiny_model, sources, quiet, kept_settings("pca")) == (True, False)
    assert bring_weights(database, tiny_model, sources, quiet, kept_settings("auto")) == (False, True)
    assert bring_weights(database, tiny_model, sources, quiet, kept_settings("umap")) == (False, False)
    assert drawn == [96], "one map of both layers"
    found = stored(database, sources)
    assert found is not None
    assert found.umap_version
    places = [found.layers[layer].place for layer in (0, 1)]
    assert [place is not None and place.umap is not None and place.umap[0].tolist() for place in places] == [
        [0, 1],
        [96, 97],
    ]
    assert places[0] is not None
    plain = describe_weights(tiny_model, kept_settings("pca"))[0].place
    assert plain is not None
    np.testing.assert_array_equal(places[0].pca, plain.pca)


def test_umap_that_is_missing_is_said_before_anything_is_computed(
    database: Database, sources: dict[int, int], tiny_model: MFNModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(umap, "umap_installed", lambda: False)
    monkeypatch.setattr(from_weights, "describe_weights", None)
    with pytest.raises(ConfigError, match="mfn-studio\\[map\\]"):
        bring_weights(database, tiny_model, sources, quiet, kept_settings("umap"))


def test_a_row_is_small(database: Database, sources: dict[int, int], tiny_weights: WeightRecord) -> None:
    """Two bytes for each figure of a list, one or two for each number."""
    store_weights(database, sources, tiny_weights, quiet)
    with database.read() as connection:
        sizes = connection.scalars(select(func.length(FeatureWeights.facts))).all()
    # std, skewness, kurtosis, agreement; 32 bins of up to 300 tokens; opposites; elsewhere with layers; connections
    assert max(sizes) <= 4 * 4 + 32 * 2 + 8 * 3 + 2 * 8 * 4 + 4 * 8 * 3


def test_a_source_that_lacks_its_row_makes_all_of_it_unknown(
    database: Database, sources: dict[int, int], tiny_weights: WeightRecord
) -> None:
    store_weights(database, sources, tiny_weights, quiet)
    with database.write() as connection:
        connection.execute(update(SourceWeights).values(umap_version="1"))
        connection.execute(SourceWeights.__table__.delete().where(SourceWeights.source_id == sources[1]))  # type: ignore[attr-defined]
    assert stored(database, sources) is None
    assert missing(database, sources, kept_settings("pca"), 96).facts
