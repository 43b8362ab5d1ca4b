"""Whether a text is on a concept, told from its characters and words alone."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import regex

from mfn_core.errors import ConfigError
from mfn_core.scripts import script_of

WORD = re.compile(r"[^\W\d_]+")
PATIENCE = 1.0  # seconds for one search: patterns can be written that take longer than anybody waits
SHORTEST_STEM = 3  # letters from which on a top token takes out the words that begin with it, too

_script_of = lru_cache(maxsize=1 << 14)(script_of)


@dataclass(frozen=True)
class TextTest:
    """Whether a text is on a concept, without a model's help. Exactly one of the three ways is given.

    Attributes:
        words: in lower case; so many different ones as `at_least` says must occur.
        script: at least half of the letters must be of it (see `scripts.script_of`).
        pattern: a regular expression that must be found.
        at_least: for `words`.
    """

    words: frozenset[str] = frozenset()
    script: str | None = None
    pattern: str | None = None
    at_least: int = 2

    def __post_init__(self) -> None:
        if sum((bool(self.words), self.script is not None, self.pattern is not None)) != 1:
            raise ConfigError("a text is tested by words, by a script or by a pattern: give exactly one")
        if self.pattern is not None:
            try:
                regex.compile(self.pattern)
            except regex.error as error:
                raise ConfigError(f"{self.pattern!r} is no regular expression: {error}") from error

    def holds(self, text: str, ignore: Collection[str] = ()) -> bool:
        """Whether a text passes.

        Args:
            text: the continuation alone.
            ignore: a feature's own top tokens. To write these shows nothing: words that are one of them, or begin with
                one of three letters or more, do not count. Scripts and patterns are tested as they are.
        """
        return self.degree(text, ignore) >= 1

    def degree(self, text: str, ignore: Collection[str] = ()) -> float:
        """How near a text comes to passing: 1 and it passes, 0 and there is nothing of the concept in it. Patterns
        know no middle. A search can climb this where it could not climb `holds`."""
        if self.script is not None:
            letters = [c for c in text if c.isalpha()]
            own_letters = sum(_script_of(c) == self.script for c in letters)
            return min(1.0, 2 * own_letters / len(letters)) if letters else 0.0
        if self.pattern is not None:
            return float(self._found(text))
        own = {token.strip().lower() for token in ignore} - {""}
        stems = tuple(token for token in own if len(token) >= SHORTEST_STEM)
        found = {word.lower() for word in WORD.findall(text)} & self.words
        return min(1.0, sum(word not in own and not word.startswith(stems) for word in found) / self.at_least)

    def _found(self, text: str) -> bool:
        try:
            return regex.search(self.pattern, text, timeout=PATIENCE) is not None
        except TimeoutError as error:
            raise ConfigError(f"the pattern {self.pattern!r} takes too long to look for") from error
