"""What comes next: each figure against a plain reckoning, and the order that follows from them."""

from __future__ import annotations

import math
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mfn_server.campaigns.priority import (
    WEIGHTS,
    Signals,
    coverage,
    disagreement,
    priority,
    shuffled,
    uncertainty,
)

SHARE = st.floats(0, 1)
SIGNALS = st.builds(Signals, SHARE, SHARE, SHARE, SHARE)
NAMES = st.lists(st.none() | st.sampled_from(["ships", "Ships at sea", "sea ships at", "snow", ""]), max_size=6)


def test_priority_is_the_weighted_mean() -> None:
    signals = Signals(uncertainty=0.5, disagreement=0.25, importance=1.0, coverage=0.75)
    expected = (1 * 0.5 + 2 * 0.25 + 1 * 1.0 + 3 * 0.75) / 7
    assert math.isclose(priority(signals, blind=False), expected)
    assert math.isclose(priority(signals, blind=True), (1.0 + 3 * 0.75) / 4)


@given(SIGNALS, st.sampled_from(["uncertainty", "disagreement", "importance", "coverage"]), SHARE, st.booleans())
def test_more_of_anything_never_comes_later_and_blindly_what_was_said_counts_nothing(
    signals: Signals, name: str, value: float, blind: bool
) -> None:
    other = replace(signals, **{name: max(value, getattr(signals, name))})
    before, after = (priority(each, blind=blind) for each in (signals, other))
    assert 0 <= before <= 1 + 1e-12
    assert after >= before
    if blind and name in ("uncertainty", "disagreement"):
        assert after == before


def test_a_feature_without_an_opinion_comes_before_one_that_is_merely_disputed() -> None:
    fresh = Signals(uncertainty=1.0, importance=0.5, coverage=1.0)
    disputed = Signals(uncertainty=0.5, disagreement=1.0, importance=0.5, coverage=1 / 3)
    settled = Signals(uncertainty=0.0, disagreement=0.0, importance=0.5, coverage=1 / 3)
    order = sorted((settled, disputed, fresh), key=lambda each: -priority(each, blind=False))
    assert order == [fresh, disputed, settled]
    assert WEIGHTS.coverage > WEIGHTS.disagreement > WEIGHTS.uncertainty


def test_uncertainty_is_the_mean_and_nobody_is_most_uncertain() -> None:
    assert uncertainty([]) == 1
    assert uncertainty(["high", "low", None, "medium"]) == 0.5
    assert uncertainty(["high"]) == 0


@given(NAMES)
def test_disagreement_is_the_mean_distance_of_pairs(names: list[str | None]) -> None:
    sets = [set((name or "").lower().split()) for name in names]
    apart = []
    for i in range(len(sets)):
        for j in range(i):
            union = sets[i] | sets[j]
            apart.append(1 - len(sets[i] & sets[j]) / len(union) if union else 0.0)
    assert disagreement(names) == pytest.approx(sum(apart) / len(apart) if apart else 0.0)


def test_disagreement_by_example() -> None:
    assert disagreement(["Ships at sea", "sea ships at"]) == 0
    assert disagreement(["ships", "snow"]) == 1
    assert disagreement(["ships", None]) == 1
    assert disagreement([None, None]) == 0
    assert disagreement(["ships", "ships", "ships at sea"]) == pytest.approx((0 + 2 / 3 + 2 / 3) / 3)


def test_coverage() -> None:
    assert [coverage(given, 3) for given in range(5)] == pytest.approx([1, 2 / 3, 1 / 3, 0, 0])


def test_people_begin_with_different_features_and_each_keeps_an_order() -> None:
    places = [(1, number) for number in range(30)]
    orders = [sorted(places, key=lambda place: shuffled(who, "c", place)) for who in ("ann", "bob", "ann")]
    assert orders[0] == orders[2] != orders[1]
