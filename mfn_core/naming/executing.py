"""A label taken at its word: whatever of it a program can carry out, told where its feature should fire.

What can be carried out: phrases as `wording` writes them; strings in quotation marks; regular expressions between
slashes; names of classes of tokens, scripts among them. Everything else in a label is for readers. (Ours.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import Conditions, NamedText

PATIENCE = 2.0  # seconds for one expression: labels can hold some that take longer than anybody waits
LONGEST_GAP = 9

_QUOTED = regex.compile(r"“([^”]+)”|\"([^\"]+)\"|‘([^’]+)’|(?<!\w)'([^']+)'(?!\w)|`([^`]+)`")
_EXPRESSION = regex.compile(r"(?<![\w/])/((?:[^/\\\n]|\\.)+)/(?![\w/])")
_PIECE = regex.compile(r"\b(?:word )?pieces?\b|\bsuffix|\bprefix|\bending|\bsyllable", regex.IGNORECASE)
_KNOWN = {
    "digits": r"digits?|numerals?|numbers?",
    "punctuation": r"punctuation(?: marks?)?",
    "line breaks": r"line ?breaks?|newlines?|line ends?|ends? of (?:a )?lines?",
    "capitalised words": r"capitali[sz]ed(?: words?| names?)?",
    "words in capitals": r"(?:in|all) (?:capitals|caps)|upper ?case",
}


@dataclass(frozen=True)
class Executable:
    """What of a label can be carried out; a feature is expected where any of it holds.

    Attributes:
        patterns: of tokens.
        expressions: regular expressions over the text; a match is expected to be fired on at its last character.
    """

    patterns: tuple[Conditions, ...] = ()
    expressions: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.patterns or self.expressions)


class ReadText:
    """A text in which executables are carried out: tokens, and the characters that they are.

    Attributes:
        tokens: as patterns see them.
        text: all tokens as they are shown, one behind the other.
        begins: int64 [N], where each begins in it.
    """

    def __init__(self, tokens: NamedText) -> None:
        self.tokens = tokens
        texts = tokens.lexicon.texts
        pieces = [texts[number] for number in tokens.ids.tolist()]
        lengths = np.array([len(piece) for piece in pieces], np.int64)
        self.text = "".join(pieces)
        self.begins = np.cumsum(lengths) - lengths

    def expected(self, label: Executable) -> NDArray[np.int64]:
        """On which tokens a label expects its feature to fire: positions, ascending.

        Raises TimeoutError: an expression takes too long to look for.
        """
        found = [self.tokens.positions(pattern) for pattern in label.patterns]
        for expression in label.expressions:
            ends = [m.end() - 1 for m in regex.finditer(expression, self.text, timeout=PATIENCE) if m.end() > m.start()]
            found.append(np.searchsorted(self.begins, np.array(ends, np.int64), side="right") - 1)
        return np.unique(np.concatenate([*found, np.zeros(0, np.int64)]))


def read_label(text: str, lexicon: Lexicon) -> Executable:
    """What of a label can be carried out, which may be nothing.

    A quoted string is looked for as it stands. Where it begins or ends with a letter a word has to begin or end there,
    too, unless the label says that it is a piece of a word.
    """
    phrases = [_phrase(part.strip(), lexicon) for part in text.split(";")]
    if all(phrases):
        return Executable(tuple(pattern for phrase in phrases for pattern in phrase))
    expressions = [match[1] for match in _EXPRESSION.finditer(text) if _compiles(match[1])]
    pieces = _PIECE.search(text) is not None
    for match in _QUOTED.finditer(text):
        expressions.append(_literal(next(group for group in match.groups() if group), pieces))
    plain = _QUOTED.sub(" ", _EXPRESSION.sub(" ", text))
    keys = [
        lexicon.size + place
        for place, name in enumerate(lexicon.names)
        if re.search(rf"\b(?:{_KNOWN.get(name, _script(name))})\b", plain, re.IGNORECASE)
    ]
    return Executable(tuple(((0, key),) for key in keys), tuple(dict.fromkeys(expressions)))


def _phrase(part: str, lexicon: Lexicon) -> list[Conditions]:
    """The patterns of one phrase of `wording.words_of`; none where it is no such phrase."""
    keys = _keys(lexicon)
    name = "(?:" + "|".join(sorted(map(re.escape, lexicon.names), key=len, reverse=True)) + r"|“[^”]*”)"
    after = rf"(?:([2-{LONGEST_GAP}]) )?after ({name})"
    match = re.fullmatch(rf"(any token|{name}(?: or {name})*)(?: …)?((?: (?:and )?{after})*)", part)
    if match is None:
        return []
    what = [] if match[1] == "any token" else re.findall(name, match[1])
    before = [(int(gap or 1), key) for gap, key in re.findall(after, match[2])]
    asked = [*what, *(key for _, key in before)]
    if not asked or any(key not in keys for key in asked):
        return []
    tail = tuple((gap, keys[key]) for gap, key in before)
    return [((0, keys[key]), *tail) for key in what] if what else [tail]


def _keys(lexicon: Lexicon) -> dict[str, int]:
    """Keys by what `Lexicon.name_of` calls them."""
    names = range(lexicon.size + len(lexicon.names))
    return {lexicon.name_of(key): key for key in reversed(names) if key >= lexicon.size or lexicon.texts[key]}


def _literal(string: str, piece: bool) -> str:
    """A regular expression for a quoted string."""
    string = string.replace("↵", "\n").replace("⇥", "\t")
    begin, end = (r"(?<!\w)", r"(?!\w)") if not piece else ("", "")
    return (begin if string[0].isalnum() else "") + str(regex.escape(string)) + (end if string[-1].isalnum() else "")


def _script(name: str) -> str:
    """How a label may call a class that has no list of names: a script with or without the word letters."""
    return re.escape(name).replace(r"\ letters", r"(?:\ (?:letters?|script|text|characters?))?")


def _compiles(expression: str) -> bool:
    try:
        regex.compile(expression)
    except regex.error:
        return False
    return True
