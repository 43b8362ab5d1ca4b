"""Which script a character belongs to, told from its Unicode name."""

from __future__ import annotations

import unicodedata

UNWRITTEN = frozenset(
    {
        "LATIN",
        "DIGIT",
        "COMBINING",
        "MODIFIER",
        "FULLWIDTH",
        "IDEOGRAPHIC",
        "MIDDLE",
        "RIGHT",
        "LEFT",
        "MICRO",
        "MASCULINE",
        "FEMININE",
        "SCRIPT",
    }
)


def script_of(character: str) -> str | None:
    """The script of a letter or a vowel sign, in lower case: the first word of its Unicode name. None for Latin ones
    and for what is no letter."""
    if unicodedata.category(character)[0] not in "LM":
        return None
    first = unicodedata.name(character, "LATIN").split(" ")[0].split("-")[0]
    return None if first in UNWRITTEN else first.lower()
