"""Patterns in words."""

from __future__ import annotations

from collections.abc import Sequence

from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import Conditions

MOST_NAMED = 6  # tokens that one phrase lists


def words_of(patterns: Sequence[Conditions], lexicon: Lexicon) -> str:
    """A phrase for patterns, such as `“ turn” or “ turned”; digits after “ page”`.

    Patterns that differ in the token alone that the feature fires on become one phrase.
    """
    groups: dict[Conditions, list[int]] = {}
    for pattern in patterns:
        before = tuple(each for each in pattern if each[0])
        groups.setdefault(before, []).extend(key for offset, key in pattern if not offset)
    return "; ".join(_phrase(before, keys, lexicon) for before, keys in groups.items())


def _phrase(before: Conditions, keys: Sequence[int], lexicon: Lexicon) -> str:
    names = list(dict.fromkeys(lexicon.name_of(key) for key in keys))
    what = " or ".join(names[:MOST_NAMED]) + (" …" if len(names) > MOST_NAMED else "")
    where = " and ".join(
        f"{'' if offset == 1 else f'{offset} '}after {lexicon.name_of(key)}" for offset, key in sorted(before)
    )
    return " ".join(part for part in (what or "any token", where) if part)
