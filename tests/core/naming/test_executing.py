"""Labels taken at their word: what of them can be carried out, and on which tokens they expect their feature."""

from __future__ import annotations

import numpy as np
import pytest

from mfn_core.naming import executing
from mfn_core.naming.executing import ReadText, read_label
from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import NamedText
from mfn_core.naming.wording import words_of

TEXTS = ["<s>", " turn", " re", "turn", " of", " the", "12", "\n", " Дом", " F", "iles", " files", ".", " Rome"]
TEXTS += [" снег", " и"]
LEXICON = Lexicon.of(TEXTS)
IDS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], np.uint32)
TEXT = ReadText(NamedText(LEXICON, [IDS, IDS[:3]]))
DIGITS = len(TEXTS) + list(LEXICON.names).index("digits")


@pytest.mark.parametrize(
    ("label", "tokens"),
    [
        ("“ turn”", [1, 15]),  # a phrase of a suggestion: that token alone
        ("“ the” or “ Rome”", [5, 13]),
        ("any token after “ of”; digits", [5, 6]),
        ("“12” 2 after “ of”", [6]),
        ("“12” after “ of”", []),
        ("the word 'turn' in any sense", [1, 15]),  # and not the end of “return”
        ("the word piece 'turn'", [1, 3, 15]),
        ("files, as in “F” and 'iles'", []),  # neither is a word of its own
        ("the piece `iles`", [10, 11]),
        ("numbers, more weakly Cyrillic text", [6, 8]),
        ("ends of a line", [7]),
        (r"what fits /\bthe \d*/", []),
        (r"what fits /the\d+/", [6]),
        ("it's about ships", []),
        ("a broken /(/ and 'Rome'", [13]),
        ("capitalised words", [8, 13]),
    ],
)
def test_where_a_label_expects_its_feature(label: str, tokens: list[int]) -> None:
    assert TEXT.expected(read_label(label, LEXICON)).tolist() == tokens


@pytest.mark.parametrize("label", ["ships and harbours", "it's the dogs' day", "a/b", "“”", ""])
def test_a_label_for_readers_alone_cannot_be_carried_out(label: str) -> None:
    assert not read_label(label, LEXICON)


def test_what_patterns_are_called_means_them() -> None:
    """So that a suggestion that somebody has adopted is the same test."""
    patterns = [((0, 1),), ((0, DIGITS), (1, 4)), ((2, 5),), ((0, 7), (1, DIGITS), (3, 4)), ((0, 12), (1, 4))]
    read = read_label(words_of(patterns, LEXICON), LEXICON)
    assert not read.expressions
    assert set(read.patterns) == set(patterns)


def test_an_expression_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "PATIENCE", 0.05)
    long = ReadText(NamedText(Lexicon.of(["a", "b"]), [np.array([0] * 4000 + [1], np.uint32)]))
    with pytest.raises(TimeoutError):
        long.expected(read_label("/(a|aa)+$/", long.tokens.lexicon))
