"""A handle on one feature: what the weights say of it, what it does on a text, how it steers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mfn_core import Intervention, MFNModel, Scope
from mfn_core.errors import ConfigError
from mfn_core.indexing.from_weights import weight_facts
from mfn_core.reading import Feature, Tokens


@pytest.fixture(scope="module")
def feature(tiny_model: MFNModel) -> Feature:
    return tiny_model.feature(1, 17)


def test_its_facts_are_the_index_s(tiny_model: MFNModel, feature: Feature) -> None:
    facts = weight_facts(tiny_model, 1, 10, 10)
    ids = facts.promoted_ids[17].tolist()
    assert [(entry.token, entry.id) for entry in feature.promoted] == list(
        zip(Tokens.of(ids, tiny_model.tokenizer), ids, strict=True)
    )
    np.testing.assert_allclose([entry.logit for entry in feature.promoted], facts.promoted_logits[17], rtol=1e-5)
    np.testing.assert_allclose([entry.logit for entry in feature.suppressed], facts.suppressed_logits[17], rtol=1e-5)
    assert [j for j, _ in feature.neighbours] == facts.neighbour_ids[17].tolist()


def test_its_neighbours_are_the_most_similar_others(tiny_model: MFNModel, feature: Feature) -> None:
    directions = tiny_model.coders[1].directions.detach()
    cosines = F.cosine_similarity(directions, directions[17], dim=-1)
    cosines[17] = -2.0
    values, numbers = cosines.topk(10)
    assert [neighbour.feature for neighbour in feature.neighbours] == numbers.tolist()
    assert [neighbour.cosine for neighbour in feature.neighbours] == pytest.approx(values.tolist(), abs=1e-5)
    torch.testing.assert_close(feature.direction, directions[17])
    assert not feature.direction.requires_grad


def test_its_values_on_a_text_are_the_codes(tiny_model: MFNModel) -> None:
    row = tiny_model.top_features("Snow fell on the hills.")[0]
    values = tiny_model.feature(row.layer, row.feature).on("Snow fell on the hills.")
    assert (values.peak, values.position) == (row.peak, row.position)


def test_its_interventions(feature: Feature) -> None:
    there = Scope("generation")
    assert feature.set(3.0) == Intervention(1, 17, "set", 3.0)
    assert feature.add(-1.0, there) == Intervention(1, 17, "add", -1.0, there)
    assert feature.scale(0.5, condition=4) == Intervention(1, 17, "scale", 0.5, condition=4)
    assert feature.ablate(there) == Intervention(1, 17, "ablate", scope=there)


@pytest.mark.parametrize(("layer", "index", "message"), [(2, 0, "equipped blocks: 0, 1"), (0, -1, "0 to 47")])
def test_one_that_is_not_there(tiny_model: MFNModel, layer: int, index: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_model.feature(layer, index)


def test_it_shows_what_it_knows(feature: Feature, read_html: Any) -> None:
    page = read_html(feature._repr_html_())
    assert "Feature 17 of layer 1" in page.text
    chips = [tip for _, tip in page.titled()]
    assert chips == [f"{x:+.3f}" for _, _, x in [*feature.promoted, *feature.suppressed]]
    for neighbour in feature.neighbours:
        assert f"{neighbour.feature} ({neighbour.cosine:.2f})" in page.text
    assert repr(feature) == "Feature(layer=1, index=17)"
