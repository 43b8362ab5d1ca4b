"""Texts are tested without a feature's own tokens, and it can be said how near they come."""

from __future__ import annotations

import pytest

from mfn_core.errors import ConfigError
from mfn_core.text_tests import TextTest


@pytest.mark.parametrize(
    ("test", "text", "ignore", "holds"),
    [
        (TextTest(frozenset({"sail", "harbour", "ship"})), "The Ship set SAIL.", (), True),
        (TextTest(frozenset({"sail", "harbour", "ship"})), "The ship, the ship, the shipping", (), False),
        (TextTest(frozenset({"sail", "harbour", "ship"})), "The ship set sail.", (" ship",), False),
        (TextTest(frozenset({"sails", "harbour", "ship"})), "The ship set sails.", (" sai",), False),
        (TextTest(frozenset({"sails", "ship"}), at_least=1), "sails", (" s", " ", "sa"), True),
        (TextTest(script="cyrillic"), "жук and жуки", (), True),
        (TextTest(script="cyrillic"), "there жук", (), False),
        (TextTest(script="cyrillic"), "12 .", (), False),
        (TextTest(pattern=r"[ACGT]{8,}"), "x\nGATTACAGAT", ("GATT",), True),
        (TextTest(pattern=r"[ACGT]{8,}"), "gattaca", (), False),
    ],
)
def test_texts_are_tested_without_the_features_own_tokens(
    test: TextTest, text: str, ignore: tuple[str, ...], holds: bool
) -> None:
    assert test.holds(text, ignore) is holds


def test_a_test_is_of_one_kind() -> None:
    for given in ({}, {"script": "greek", "pattern": "x"}):
        with pytest.raises(ConfigError, match="exactly one"):
            TextTest(**given)
    with pytest.raises(ConfigError, match="no regular expression"):
        TextTest(pattern="(")


def test_a_pattern_that_takes_forever_is_given_up() -> None:
    with pytest.raises(ConfigError, match="too long"):
        TextTest(pattern="(a|aa)+$").holds("a" * 4000 + "b")


def test_the_degree_grows_up_to_passing() -> None:
    words = TextTest(frozenset({"sail", "harbour", "ship", "mast"}), at_least=4)
    assert [words.degree(text) for text in ("", "ship", "ship and mast", "sail, ship, mast, harbour")] == [
        0,
        0.25,
        0.5,
        1,
    ]
    assert words.degree("ship and mast", (" mast",)) == 0.25
    script = TextTest(script="cyrillic")
    assert [script.degree(text) for text in ("", "abcd", "abж", "ж")] == [0, 0, pytest.approx(2 / 3), 1]
    pattern = TextTest(pattern="x{3}")
    assert [pattern.degree(text) for text in ("xx", "xxx")] == [0, 1]
