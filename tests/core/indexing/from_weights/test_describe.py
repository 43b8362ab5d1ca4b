"""All of it in one call."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from mfn_core.directions import centred_lens, written
from mfn_core.errors import ConfigError
from mfn_core.indexing.from_weights import WeightSettings, describe_weights, draw_map
from mfn_core.indexing.from_weights.agreement import agreement
from mfn_core.indexing.from_weights.connections import connections
from mfn_core.indexing.from_weights.layout import lay_out
from mfn_core.indexing.from_weights.logits import logit_facts
from mfn_core.indexing.from_weights.neighbours import neighbours

from .models import llama, mixed

SETTINGS = WeightSettings(n_logits=3, n_neighbours=4, n_elsewhere=5, n_connections=2, map="pca")


def same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if is_dataclass(a):
        for field in fields(a):
            same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


def test_every_layer_gets_its_facts() -> None:
    model = mixed()
    told: list[tuple[str, int, int]] = []
    found = describe_weights(model, SETTINGS, lambda *now: told.append(now))
    directions = {number: written(model, number) for number in model.coders}
    assert list(found) == [0, 1, 2, 3]
    for number, facts in found.items():
        assert (facts.layer, facts.n_features) == (number, model.coders[number].n_features)
        same(facts.logits, logit_facts(directions[number], centred_lens(model), SETTINGS))
        same(facts.neighbours, neighbours(directions, number, SETTINGS))
        same(facts.agreement, agreement(model.coders[number]))
        ahead = connections(model, number, 2)
        same(facts.downstream, ahead[0] if ahead else None)
        behind = connections(model, number - 1, 2) if number else None
        same(facts.upstream, behind[1] if behind else None)
    assert [found[n].downstream is None for n in found] == [True, False, False, True]
    for site in ((0, 2), (1,), (3,)):  # a map each: resid_mid, mlp_hidden, resid_post
        places = lay_out({number: directions[number] for number in site}, SETTINGS)
        for number in site:
            same(found[number].place, places[number])
    assert list(dict.fromkeys(name for name, _, _ in told)) == ["logits", "neighbours", "connections", "map"]
    for part in ("logits", "neighbours", "connections", "map"):
        done = [now for name, now, _ in told if name == part]
        assert done == sorted(done)
        assert done[-1] == 73
    assert {total for _, _, total in told} == {73}


def test_what_compares_too_many_pairs_is_left_out_and_says_so() -> None:
    model = mixed()  # 73 features: 5,329 pairs; connections from 24 to 9 and from 9 to 17, in both directions: 738
    whole = describe_weights(model, SETTINGS)
    without = describe_weights(model, replace(SETTINGS, most_pairs=5_328))
    for number, facts in without.items():
        assert facts.neighbours is None
        assert facts.left_out == (
            "neighbours are left out: 5,329 pairs of features would have to be compared, and most_pairs is 5,328",
        )
        same(replace(facts, neighbours=whole[number].neighbours, left_out=()), whole[number])
    least = describe_weights(model, replace(SETTINGS, most_pairs=737))[2]
    assert (least.upstream, least.downstream) == (None, None)
    assert [sentence.split()[0] for sentence in least.left_out] == ["neighbours", "connections"]
    assert describe_weights(model, replace(SETTINGS, most_pairs=738))[2].upstream is not None
    assert whole[2].left_out == ()


def test_the_map_alone_is_that_of_all() -> None:
    model = mixed()
    for number, facts in describe_weights(model, SETTINGS).items():
        same(draw_map(model, SETTINGS)[number], facts.place)


def test_nothing_of_the_model_moves_and_a_second_time_says_the_same() -> None:
    model = mixed()
    before = {name: tensor.clone() for name, tensor in model.base.state_dict().items()}
    first, again = describe_weights(model, SETTINGS), describe_weights(model, SETTINGS)
    for number in first:
        same(first[number], again[number])
    for name, tensor in model.base.state_dict().items():
        assert (tensor == before[name]).all()


def test_a_part_that_is_not_wanted_is_empty() -> None:
    settings = WeightSettings(n_logits=0, n_neighbours=0, n_opposite=0, n_elsewhere=0, n_connections=0, map=None)
    facts = describe_weights(mixed(), settings)[2]
    assert facts.place is None
    assert facts.logits.promoted_ids.shape == (9, 0)
    assert facts.neighbours is not None
    assert facts.neighbours.nearest.features.shape == facts.neighbours.opposite_elsewhere.layers.shape == (9, 0)
    assert facts.upstream is not None
    assert facts.upstream.negative.values.shape == (9, 0)


def test_a_model_without_codes_has_nothing_to_say() -> None:
    assert describe_weights(llama({})) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_logits": -1},
        {"hist_bins": 0},
        {"hist_reach": 0.0},
        {"map": "tsne"},
        {"map_neighbours": 1},
        {"seed": -1},
        {"most_pairs": -1},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        WeightSettings(**wrong)
