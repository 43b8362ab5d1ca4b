"""Rules mark what they say, and files that hold none are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_core.errors import CorpusError
from mfn_core.evaluation.labelled import LabelledText, Span
from mfn_core.evaluation.rules import read_rules, with_rules

DEMO = Path(__file__).parents[3] / "demo/concepts/rules.toml"


def marked(tmp_path: Path, rules: str, text: str) -> list[str]:
    (tmp_path / "rules.toml").write_text(rules)
    (found,) = with_rules([LabelledText("a", text)], read_rules(tmp_path / "rules.toml"))
    return [text[span.start : span.stop] for span in found.spans]


def test_words_are_whole_and_capitals_are_meant(tmp_path: Path) -> None:
    rules = '[word.month]\nwords = ["May", "rain"]'
    assert marked(tmp_path, rules, "May it rain? It may in May. RAIN! The train, the mayor.") == [
        *("May", "rain", "May", "RAIN")
    ]


def test_words_may_begin_and_end_with_marks_or_with_each_other(tmp_path: Path) -> None:
    rules = '[word.name]\nwords = ["New", "New York", "U.S."]'
    found = marked(tmp_path, rules, "New York, the U.S. and U.S.A.; a New deal, Newer.")
    assert found == ["New York", "U.S.", "New"]


def test_of_a_pattern_the_first_group_is_the_instance(tmp_path: Path) -> None:
    assert marked(tmp_path, "[place.second]\npattern = '\\w+ (\\w+)'", "one two, three four") == ["two", "four"]
    assert marked(tmp_path, "[place.mark]\npattern = '[.!]'", "one. two!") == [".", "!"]
    assert marked(tmp_path, "[place.never]\npattern = 'x*'", "one") == [], "nothing is no instance"


def test_what_was_marked_stays_and_the_kind_becomes_known() -> None:
    text = LabelledText("a", '"Go," she said.', (Span(1, 3, "syntax/verb"),), (), frozenset({"syntax"}))
    (found,) = with_rules([text], read_rules(DEMO))
    assert Span(1, 3, "syntax/verb") in found.spans
    assert Span(1, 3, "place/after_opening_quote") in found.spans
    assert Span(10, 14, "word/saying") in found.spans
    assert found.kinds == {"syntax", "place", "word"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind = 3", "stand in tables"),
        ("[word.a]\nwords = []", "needs words"),
        ('[word.a]\nwords = [""]', "needs words"),
        ('[word.a]\nwords = ["b"]\npattern = "c"', "needs words"),
        ("[word.a]\npattern = '('", "not a regular expression"),
        ("[word", "cannot be read as rules"),
    ],
)
def test_what_is_no_rule_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(CorpusError, match=problem):
        read_rules(tmp_path / "rules.toml")
