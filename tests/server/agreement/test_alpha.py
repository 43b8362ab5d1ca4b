"""Agreement against Krippendorff's own example, against another's code, and where it is not defined."""

from __future__ import annotations

import itertools

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_server.agreement.alpha import RESAMPLES, Level, Opinion, agreement, agreement_by_pair, alpha_of

# Krippendorff (2011), section C: four observers, twelve units, values 1 to 5, some missing.
EXAMPLE = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}
OPINIONS = [
    Opinion(unit, rater, int(value))
    for rater, line in EXAMPLE.items()
    for unit, value in enumerate(line.split())
    if value != "."
]
FIVE = range(1, 6)
NAMES = ["boats", "boats at sea", "the sea", "Sea boats", "snow", "the"]


def test_the_published_example() -> None:
    nominal = agreement(OPINIONS, "nominal", FIVE)
    ordinal = agreement(OPINIONS, "ordinal", FIVE)
    assert nominal.alpha == pytest.approx(0.743, abs=5e-4)
    assert ordinal.alpha == pytest.approx(0.815, abs=5e-4)
    assert (nominal.units, nominal.raters, nominal.opinions, nominal.single) == (11, 4, 40, 1)
    assert nominal.missing == pytest.approx(4 / 44)
    for found in (nominal, ordinal):
        assert found.interval is not None
        assert found.alpha is not None
        assert found.interval[0] < found.alpha < found.interval[1] <= 1


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=2, max_size=12),
    st.sampled_from(["nominal", "ordinal"]),
)
def test_alpha_is_what_the_package_krippendorff_has(rows: list[list[int]], level: Level) -> None:
    """Also with values that nobody said, first, between or last."""
    counts = np.array([row for row in rows if sum(row) >= 2], dtype=np.int64).reshape(-1, 4)
    found = alpha_of(counts, level)
    if counts.any(axis=0).sum() < 2:
        assert found is None
    else:
        assert found == pytest.approx(krippendorff.alpha(value_counts=counts, level_of_measurement=level), abs=1e-12)


def test_the_interval_is_that_of_drawing_units_one_by_one() -> None:
    rng = np.random.default_rng(3)
    opinions = [Opinion(unit, rater, int((unit + rng.integers(3)) % 4)) for unit in range(60) for rater in "abc"]
    found = agreement(opinions, "ordinal", range(4))
    counts = np.zeros((60, 4), dtype=np.int64)
    for opinion in opinions:
        counts[opinion.unit, opinion.value] += 1  # type: ignore[index]
    drawn = rng.integers(60, size=(RESAMPLES, 60))
    alphas = [krippendorff.alpha(value_counts=counts[units], level_of_measurement="ordinal") for units in drawn]
    assert found.interval == pytest.approx(np.quantile(alphas, [0.025, 0.975]), abs=0.02)


def test_raw_agreement_is_the_share_of_equal_pairs() -> None:
    said = {"f": "aab", "g": "aa", "h": "ab", "alone": "a"}
    opinions = [Opinion(unit, n, value) for unit, values in said.items() for n, value in enumerate(values)]
    assert agreement(opinions, "nominal", "ab").raw == pytest.approx((1 / 3 + 1 + 0) / 3)


def test_perfect_agreement_is_one_and_its_interval_too() -> None:
    opinions = [Opinion(unit, rater, unit % 3) for unit in range(30) for rater in "ab"]
    found = agreement(opinions, "nominal", range(3))
    assert (found.alpha, found.interval, found.raw) == (1, (1, 1), 1)


def test_nothing_is_said_where_nothing_can_be() -> None:
    yes = [Opinion(unit, rater, "yes") for unit in range(5) for rater in "ab"]
    same = agreement(yes, "nominal", ["yes", "no"])
    assert (same.alpha, same.interval, same.raw) == (None, None, 1)
    alone = agreement([Opinion(unit, "a", unit) for unit in range(5)], "ordinal", range(5))
    assert (alone.alpha, alone.raw, alone.units, alone.single, alone.missing) == (None, None, 0, 5, 0)
    nobody = agreement([], "nominal", "ab")
    assert (nobody.alpha, nobody.units, nobody.single) == (None, 0, 0)
    one_unit = agreement([Opinion(0, "a", 0), Opinion(0, "b", 1)], "nominal", range(2))
    assert (one_unit.alpha, one_unit.interval) == (0, None)


def test_pairs_are_compared_on_what_both_saw() -> None:
    pairs = agreement_by_pair(OPINIONS, "ordinal", FIVE)
    assert sorted(pairs) == list(itertools.combinations("ABCD", 2))
    assert [found.units for found in pairs.values()] == [10, 10, 9, 9, 9, 8]
    assert list(agreement_by_pair(OPINIONS, "ordinal", FIVE, most=1)) == [next(iter(pairs))]
    assert pairs["A", "C"].units == 8
    assert pairs["A", "C"].missing == 0
    assert pairs["A", "B"].raw == pytest.approx(8 / 9)
    assert agreement_by_pair([Opinion("f", "a", 1), Opinion("g", "b", 1)], "nominal", FIVE) == {}


@pytest.mark.parametrize(
    ("opinions", "says"),
    [([Opinion("f", "a", 1), Opinion("f", "a", 2)], "two opinions"), ([Opinion("f", "a", 9)], "9 is none")],
)
def test_what_cannot_be_compared_is_refused(opinions: list[Opinion], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        agreement(opinions, "nominal", FIVE)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from(NAMES), min_size=2, max_size=4), min_size=1, max_size=6))
def test_alpha_of_names_is_what_its_formula_says(units: list[list[str]]) -> None:
    """Over all ordered pairs, one by one."""
    sets = [[frozenset(name.lower().split()) for name in names] for names in units]

    def distance(a: frozenset[str], b: frozenset[str]) -> float:
        return 1 - len(a & b) / len(a | b)

    every = [name for names in sets for name in names]
    n = len(every)
    observed = sum(
        sum(distance(a, b) for a, b in itertools.permutations(names, 2)) / (len(names) - 1) for names in sets
    )
    expected = sum(distance(a, b) for a, b in itertools.permutations(every, 2)) / (n - 1)
    opinions = [Opinion(unit, rater, name) for unit, names in enumerate(units) for rater, name in enumerate(names)]
    found = agreement(opinions, "words", ())
    if expected == 0:
        assert (found.alpha, found.interval) == (None, None)
    else:
        assert found.alpha == pytest.approx(1 - observed / expected, abs=1e-12)
    pairs = [np.mean([1 - distance(a, b) for a, b in itertools.combinations(names, 2)]) for names in sets]
    assert found.raw == pytest.approx(np.mean(pairs), abs=1e-12)
    assert (found.units, found.opinions) == (len(units), n)


def test_names_agree_by_their_words_alone() -> None:
    def alpha(*units: tuple[str, str]) -> float | None:
        said = [Opinion(unit, rater, name) for unit, names in enumerate(units) for rater, name in enumerate(names)]
        return agreement(said, "words", ()).alpha

    assert alpha(("a cat", "A  cát!"), ("the sea", "sea the")) == 1
    boats, snow = alpha(("boats", "ships"), ("rain", "wind")), alpha(("boats", "snow"), ("rain", "wind"))
    assert boats == snow == 0, "that boats are ships is not known here"
    many = [(f"w{i % 7} x", f"w{i % 5} y") for i in range(700)]
    said = [Opinion(unit, rater, name) for unit, names in enumerate(many) for rater, name in enumerate(names)]
    found = agreement(said, "words", ())
    assert found.alpha is not None
    assert found.interval is not None
    assert found.interval[0] < found.alpha < found.interval[1]
    assert found.units == 700
