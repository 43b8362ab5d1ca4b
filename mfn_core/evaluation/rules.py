"""Concepts that a rule can tell in running text: words of a list, and places such as the beginning of a sentence."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mfn_core.errors import CorpusError
from mfn_core.evaluation.labelled import LabelledText, Span


@dataclass(frozen=True)
class Rule:
    """What is an instance of a concept.

    Attributes:
        concept: named KIND/NAME.
        pattern: an instance is what its first group matches, or all that it matches where it has no group.
    """

    concept: str
    pattern: re.Pattern[str]

    def spans(self, text: str) -> Iterator[Span]:
        """The instances in a text."""
        for match in self.pattern.finditer(text):
            start, stop = match.span(1 if self.pattern.groups else 0)
            if stop > start:
                yield Span(start, stop, self.concept)


def read_rules(path: str | Path) -> list[Rule]:
    """Rules of a TOML file: a table `[KIND.NAME]` for each, with `words`, a list, or `pattern`, a regular expression.

    Words are matched whole, of two that begin at one place the longer one. One in lower case is matched in upper case,
    too; one that is capitalised only as it is.

    Raises:
        CorpusError: the file cannot be read, or a table is none of these, and why.
    """
    try:
        kinds = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as rules: {error}") from error
    for kind, rules in kinds.items():
        if not isinstance(rules, dict):
            raise CorpusError(f"{path}: rules stand in tables [KIND.NAME], not in {kind} = {rules!r}")
    return [Rule(f"{k}/{name}", _pattern(k, name, rule)) for k, rules in kinds.items() for name, rule in rules.items()]


def _pattern(kind: str, name: str, rule: Any) -> re.Pattern[str]:
    match rule:
        case {"words": [str(), *_] as words, **rest} if not rest and all(isinstance(w, str) and w for w in words):
            longest_first = sorted(words, key=len, reverse=True)
            return re.compile(r"(?<!\w)(?:" + "|".join(map(_word, longest_first)) + r")(?!\w)")
        case {"pattern": str(pattern), **rest} if not rest:
            try:
                return re.compile(pattern)
            except re.error as error:
                raise CorpusError(f"[{kind}.{name}]: not a regular expression: {error}") from error
    raise CorpusError(f"[{kind}.{name}] needs words, a list of them, or a pattern, and nothing else")


def _word(word: str) -> str:
    exact = re.escape(word)
    return f"(?i:{exact})" if word.islower() else exact


def with_rules(texts: Iterable[LabelledText], rules: Sequence[Rule]) -> Iterator[LabelledText]:
    """The same texts, in which all that the rules tell is marked, too."""
    kinds = frozenset(rule.concept.split("/")[0] for rule in rules)
    for text in texts:
        found = [span for rule in rules for span in rule.spans(text.text)]
        spans = sorted((*text.spans, *found), key=lambda span: (span.start, span.stop))
        yield replace(text, spans=tuple(spans), kinds=text.kinds | kinds)
