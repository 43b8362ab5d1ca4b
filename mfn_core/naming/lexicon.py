"""A vocabulary as patterns see it: tokens that look alike are one, and some belong to classes that have a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfn_core.scripts import script_of

_FEWEST_OF_SCRIPT = 3
_PARTIAL = "⟨"  # how a token is shown that is not whole characters


def _is_punctuation(text: str) -> bool:
    stripped = text.strip()
    return bool(stripped) and all(unicodedata.category(c)[0] in "PS" for c in stripped)


def _is_capitalised(text: str) -> bool:
    stripped = text.strip()
    return len(stripped) > 1 and stripped.isalpha() and stripped[0].isupper() and stripped[1:].islower()


def _is_in_capitals(text: str) -> bool:
    stripped = text.strip()
    return len(stripped) > 1 and stripped.isalpha() and stripped.isupper()


def _continues_a_word(text: str) -> bool:
    return text[:1].isalpha()


CLASSES: Mapping[str, Callable[[str], bool]] = {
    "digits": lambda text: text.strip().isdigit(),
    "punctuation": lambda text: _is_punctuation(text) and not text.startswith(_PARTIAL),
    "line breaks": lambda text: "\n" in text,
    "blanks": lambda text: text.isspace() and "\n" not in text,
    "capitalised words": _is_capitalised,
    "words in capitals": _is_in_capitals,
    "pieces without a blank before them": _continues_a_word,
    "parts of characters": lambda text: text.startswith(_PARTIAL),
}
"""Classes of any vocabulary, by what patterns call them. Each script in it has one besides."""


@dataclass(frozen=True)
class Lexicon:
    """What patterns know of V tokens.

    Keys are what a pattern may ask of a token: below V that it is this one, by the first id that is shown as the same
    text; V + c that it is in class c.

    Attributes:
        texts: of each id.
        first: int32 [V], the first id with the same text.
        names: of the C classes.
        members: bool [C, V].
    """

    texts: Sequence[str]
    first: NDArray[np.int32]
    names: Sequence[str]
    members: NDArray[np.bool_]

    @classmethod
    def of(cls, texts: Sequence[str], concepts: Mapping[str, re.Pattern[str]] | None = None) -> Lexicon:
        """Of a vocabulary.

        Args:
            texts: how each token id is shown.
            concepts: further classes by name: a token is in one whose pattern it matches as a whole, without blanks
                around it. One with fewer than two tokens is left out.
        """
        known: dict[str, int] = {}
        first = np.array([known.setdefault(text, number) for number, text in enumerate(texts)], np.int32)
        found = {name: np.array([bool(text) and test(text) for text in texts]) for name, test in CLASSES.items()}
        scripts = [{script_of(c) for c in text} - {None} for text in texts]
        for script in sorted({str(each) for of in scripts for each in of}):
            members = np.array([script in of for of in scripts])
            if members.sum() >= _FEWEST_OF_SCRIPT:
                found[f"{script.capitalize()} letters"] = members
        stripped = [text.strip() for text in texts]
        for name, pattern in (concepts or {}).items():
            members = np.array([bool(text) and pattern.fullmatch(text) is not None for text in stripped])
            if len(set(np.flatnonzero(members).tolist())) >= 2:
                found[name] = members
        kept = {name: members for name, members in found.items() if members.any()}
        empty = np.zeros((0, len(texts)), np.bool_)
        return cls(texts, first, list(kept), np.stack(list(kept.values())) if kept else empty)

    @property
    def size(self) -> int:
        """V."""
        return len(self.texts)

    def fits(self, ids: NDArray[np.int32], key: int) -> NDArray[np.bool_]:
        """Which tokens (first ids; below 0: not known) have what a key asks."""
        found: NDArray[np.bool_] = ids == key if key < self.size else self.members[key - self.size][ids] & (ids >= 0)
        return found

    def name_of(self, key: int) -> str:
        """What a key is called: a token in quotation marks, or a class."""
        return f"“{_visible(self.texts[key])}”" if key < self.size else self.names[key - self.size]


def _visible(text: str) -> str:
    return text.replace("\n", "↵").replace("\r", "↵").replace("\t", "⇥")
