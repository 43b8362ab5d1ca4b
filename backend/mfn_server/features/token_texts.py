"""Token ids by what a person types."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

MOST_TOKENS = 2_000
_SHORTEST_BEGINNING = 3


class TokenTexts:
    """The texts of a vocabulary, to be looked up. Case and surrounding blanks do not count."""

    def __init__(self, texts: Sequence[str]) -> None:
        ids: dict[str, list[int]] = {}
        for number, text in enumerate(texts):
            ids.setdefault(text.strip().casefold(), []).append(number)
        ids.pop("", None)
        self._ids = ids
        self._sorted = sorted(ids)

    def exactly(self, wanted: str) -> list[int]:
        """Ids of the tokens that read like this."""
        return self._ids.get(wanted.strip().casefold(), [])

    def matching(self, query: str) -> list[int]:
        """Ids of the tokens that a query means: the same text, or beginning with it; punctuation also within.

        At most some thousands, exact ones first.
        """
        wanted = query.strip().casefold()
        if not wanted:
            return []
        exact = self._ids.get(wanted, [])
        if not any(character.isalnum() for character in wanted):
            more = [text for text in self._sorted if wanted in text]
        elif len(wanted) >= _SHORTEST_BEGINNING:
            begin = bisect.bisect_left(self._sorted, wanted)
            end = bisect.bisect_right(self._sorted, wanted + "\U0010ffff")
            more = self._sorted[begin:end]
        else:
            more = []
        others = sorted(number for text in more if text != wanted for number in self._ids[text])
        return (exact + others)[:MOST_TOKENS]
