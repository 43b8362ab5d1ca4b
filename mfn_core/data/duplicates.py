"""Texts that have been seen before, word for word or nearly so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

from mfn_core.errors import CorpusError

WORDS = 8  # in a shingle
KEPT = 16  # one shingle in so many is remembered: enough to tell texts apart, and little to hold
ENOUGH = 4  # remembered shingles that a text must have before its share of known ones is trusted
SHARE = 0.5  # of known shingles from which on a text is a copy


class SeenTexts:
    """Remembers texts by a sample of their runs of eight words.

    A text is a copy if all its words have come before in the same order, or if at least half of its sampled runs have.
    Case, punctuation and white space do not count. Which runs are sampled follows from the runs alone (the method of
    fingerprinting by hashes that 0 mod p selects: Manber, 1994), so the same passage is sampled alike in every text.
    """

    def __init__(self) -> None:
        self._whole: set[bytes] = set()
        self._shingles: set[bytes] = set()

    def add(self, text: str) -> bool:
        """Remembers a text. False, and nothing is remembered, if it is a copy of what came before."""
        words = re.findall(r"\w+", text.casefold())
        whole = _digest(words)
        own = {digest for at in range(len(words) - WORDS + 1) if _chosen(digest := _digest(words[at : at + WORDS]))}
        known = len(own & self._shingles)
        if whole in self._whole or (len(own) >= ENOUGH and known >= SHARE * len(own)):
            return False
        self._whole.add(whole)
        self._shingles |= own
        return True


class Deduplicated:
    """What a source draws, without copies of what came before in any source.

    Attributes:
        dropped: documents left out so far, each counted once.
    """

    def __init__(self, drawn: Iterator[tuple[int, str]], seen: SeenTexts, label: str) -> None:
        """
        Args:
            drawn: endless (epoch, text), every epoch of the same texts.
            seen: texts that came before; takes in those of the first epoch.
            label: what an error calls the source.
        """
        self._drawn, self._seen, self._label = drawn, seen, label
        self._kept: set[bytes] = set()
        self.dropped = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """
        Raises:
            CorpusError: all of it has come before.
        """
        left, now = self._kept, 0
        for epoch, text in self._drawn:
            if epoch == 0:
                if not self._seen.add(text):
                    self.dropped += 1
                    continue
                self._kept.add(_digest([text]))
                yield epoch, text
                continue
            if not self._kept:
                raise CorpusError(
                    f"all of {self._label} has come before, in held-out text or elsewhere: give it other text, or set "
                    "data.deduplicate to false"
                )
            if epoch != now:
                left, now = set(self._kept), epoch
            if (key := _digest([text])) in left:
                left.remove(key)  # once an epoch, even if the source has it twice
                yield epoch, text


def _digest(words: list[str]) -> bytes:
    return blake2b(" ".join(words).encode(), digest_size=8).digest()


def _chosen(digest: bytes) -> bool:
    return digest[0] % KEPT == 0
