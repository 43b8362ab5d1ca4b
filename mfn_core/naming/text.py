"""A text in which patterns are looked for, and counted, quickly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mfn_core.naming.lexicon import Lexicon

Conditions = tuple[tuple[int, int], ...]
"""A pattern: (offset, key) pairs, offset 0 the token itself, 1 the one before it, and so on; each offset once."""


class NamedText:
    """N tokens of documents, as a lexicon sees them.

    Attributes:
        ids: int32 [N], first ids.
        offsets: int64 [N], how many tokens of the same document stand before each.
    """

    def __init__(self, lexicon: Lexicon, documents: Sequence[NDArray[np.uint32]]) -> None:
        self.lexicon = lexicon
        joined = np.concatenate([*documents, np.zeros(0, np.uint32)]).astype(np.int64)
        self.ids = lexicon.first[joined]
        self.offsets = np.concatenate([*(np.arange(len(document)) for document in documents), np.zeros(0, np.int64)])
        self._order = np.argsort(self.ids, kind="stable")
        self._begins = np.searchsorted(self.ids[self._order], np.arange(lexicon.size + 1))
        self._of_class: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def counts(self) -> NDArray[np.int64]:
        """How often each key occurs, [V + C]."""
        tokens = np.diff(self._begins)
        return np.concatenate([tokens, self.lexicon.members @ tokens])

    def positions(self, conditions: Conditions) -> NDArray[np.int64]:
        """Where a pattern ends, ascending: where the token at offset 0 stands."""
        rarest = min(conditions, key=lambda each: len(self._where(each[1])))
        found = self._where(rarest[1]) + rarest[0]
        found = found[found < len(self.ids)]
        found = found[self.offsets[found] >= max(offset for offset, _ in conditions)]
        for offset, key in conditions:
            if (offset, key) != rarest:
                found = found[self.lexicon.fits(self.ids[found - offset], key)]
        return found

    def _where(self, key: int) -> NDArray[np.int64]:
        if key < self.lexicon.size:
            return self._order[self._begins[key] : self._begins[key + 1]]
        if key not in self._of_class:
            members = self.lexicon.members[key - self.lexicon.size]
            self._of_class[key] = np.flatnonzero(members[self.ids])
        return self._of_class[key]
