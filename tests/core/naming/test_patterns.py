"""Patterns: found where a feature has one, counted as a plain search counts, and told in words."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.patterns import Firings, PatternSettings, fit_of, holds, learn_patterns
from mfn_core.naming.text import NamedText
from mfn_core.naming.wording import words_of

WORDS = [
    "<s>",
    " of",
    " the",
    " turn",
    " page",
    "12",
    "7",
    " Дом",
    " снег",
    " и",
    " Rome",
    "\n",
    ",",
    " a",
    " it",
    " of",
]
LEXICON = Lexicon.of(WORDS, {"articles": re.compile("the|a"), "none": re.compile("zebra")})
REACH = PatternSettings().reach


@pytest.fixture(scope="module")
def text() -> NamedText:
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 60, size=300)
    documents = [np.concatenate([[0], rng.integers(1, len(WORDS), size=n)]).astype(np.uint32) for n in lengths]
    return NamedText(LEXICON, documents)


Fires = Callable[[list[str]], bool]


def firings(text: NamedText, fires: Fires) -> tuple[Firings, float]:
    """All firings of a made-up feature, which sees a token, the last of the list, and three before it."""
    before = np.full((len(text), REACH + 1), -1, np.int32)
    for offset in range(REACH + 1):
        known = np.flatnonzero(text.offsets >= offset)
        before[known, offset] = text.ids[known - offset]
    where = [fires([WORDS[number] if number >= 0 else "" for number in row[::-1]]) for row in before.tolist()]
    found = before[where]
    context = np.arange(len(found)) // 2
    return Firings(found, np.ones(len(found)), np.ones(len(found)), context), len(found) / len(text)


@pytest.mark.parametrize(
    ("fires", "words"),
    [
        (lambda seen: seen[-1] == " turn", "“ turn”"),
        (lambda seen: seen[-1] in (" turn", " page", " it"), "“ turn” or “ page” or “ it”"),
        (lambda seen: seen[-2:] == [" of", " the"], "“ the” after “ of”"),
        (lambda seen: seen[-2] == " Rome", "any token after “ Rome”"),
        (lambda seen: seen[-3] == " Rome" and seen[-1] == ",", "“,” 2 after “ Rome”"),
        (lambda seen: seen[-1] in ("12", "7"), "digits"),
        (lambda seen: seen[-1] in (" Дом", " снег", " и"), "Cyrillic letters"),
        (lambda seen: seen[-1] == " it" and seen[-2] in (" the", " a"), "“ it” after articles"),
    ],
)
def test_a_feature_that_has_a_pattern_is_told_by_it(text: NamedText, fires: Fires, words: str) -> None:
    seen, rate = firings(text, fires)
    half = seen.context % 2 == 0
    patterns = learn_patterns(seen.only(half), text, rate, PatternSettings())
    assert set(re.split(" or |; ", words_of(patterns, LEXICON))) == set(words.split(" or "))
    fit = fit_of(patterns, seen.only(~half), text, rate)
    assert fit.recall == pytest.approx(1)
    assert fit.precision == pytest.approx(1, abs=0.05)


def test_a_feature_without_a_pattern_has_none(text: NamedText) -> None:
    seen, rate = firings(text, lambda seen: True)
    rng = np.random.default_rng(1)
    few = seen.only(rng.random(len(seen.weight)) < 0.02)
    assert learn_patterns(few, text, rate * 0.02, PatternSettings()) == []
    none = seen.only(np.zeros(len(seen.weight), np.bool_))
    assert learn_patterns(none, text, 0.0, PatternSettings()) == []
    assert fit_of([], seen, text, rate).f1 == 0


def test_what_is_precise_among_its_firings_alone_is_not_taken(text: NamedText) -> None:
    """All of its firings are on one token, on which it is silent nine times in ten: that token does not tell."""
    seen, rate = firings(text, lambda seen: seen[-1] == " turn")
    tenth = seen.only(np.arange(len(seen.weight)) % 10 == 0)
    assert learn_patterns(tenth, text, rate / 10, PatternSettings()) == []
    fit = fit_of([((0, WORDS.index(" turn")),)], tenth, text, rate / 10)
    assert (fit.recall, fit.precision) == (pytest.approx(1), pytest.approx(0.1, abs=0.005))


def test_weak_firings_weigh_little_in_what_is_covered_and_as_much_in_how_often_it_is_wrong(text: NamedText) -> None:
    seen, rate = firings(text, lambda seen: seen[-1] in (" turn", " page"))
    strong = seen.before[:, 0] == WORDS.index(" turn")
    uneven = Firings(seen.before, seen.weight, np.where(strong, 10.0, 0.01), seen.context)
    patterns = learn_patterns(uneven, text, rate, PatternSettings())
    assert words_of(patterns, LEXICON) == "“ turn”"
    fit = fit_of(patterns, uneven, text, rate)
    assert fit.recall > 0.99
    assert fit.precision == pytest.approx(1)


@pytest.mark.parametrize(
    "pattern",
    [((0, 2),), ((1, 1),), ((0, 2), (1, 1)), ((0, 2), (2, 1)), ((0, len(WORDS)), (3, 12)), ((2, 0),)],
)
def test_positions_are_those_of_a_plain_search(text: NamedText, pattern: tuple[tuple[int, int], ...]) -> None:
    def fits(number: int, key: int) -> bool:
        return number == key if key < len(WORDS) else bool(LEXICON.members[key - len(WORDS), number])

    expected = [
        place
        for place in range(len(text))
        if all(text.offsets[place] >= offset and fits(int(text.ids[place - offset]), key) for offset, key in pattern)
    ]
    assert text.positions(pattern).tolist() == expected
    assert expected


def test_tokens_that_look_alike_are_one_and_classes_have_members(text: NamedText) -> None:
    assert LEXICON.first[15] == 1
    assert 15 not in text.ids
    members = {
        name: [WORDS[i] for i in np.flatnonzero(row)] for name, row in zip(LEXICON.names, LEXICON.members, strict=True)
    }
    assert members["digits"] == ["12", "7"]
    assert members["line breaks"] == ["\n"]
    assert members["capitalised words"] == [" Дом", " Rome"]
    assert members["Cyrillic letters"] == [" Дом", " снег", " и"]
    assert members["articles"] == [" the", " a"]
    assert "none" not in members
    assert LEXICON.name_of(11) == "“↵”"


def test_what_is_not_known_fits_nothing() -> None:
    unknown: NDArray[np.int32] = np.full((1, REACH + 1), -1, np.int32)
    keys = range(len(WORDS) + len(LEXICON.names))
    assert not any(holds(((1, key),), unknown, LEXICON).any() for key in keys)
