"""What language models are asked about features, and how their answers are read.

Whoever changes a question counts its version up: what was answered to another one is not the same figure. An answer
that cannot be read is None, which is counted, and never guessed at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

NAMING = 1
"""Version of the question for a name."""

JUDGING = 1
"""Version of the questions for scores."""

NAME_TOKENS = 120
LIST_TOKENS = 120
LONGEST = 200

NAME_SYSTEM = (
    "You name features of a language model. A feature fires on some tokens of a text. You are shown where one fires, "
    "from its strongest contexts to weak ones: tokens on which it fires stand in ⟦brackets⟧, the strongest as ⟦▲so⟧. "
    "Say in a few words what they have in common. Be specific; do not speak of tokens, contexts or features. Answer "
    "with one line: LABEL: and the words."
)
TELL_SYSTEM = (
    "You are told what a feature of a language model fires on, and shown numbered snippets of text. Say in which of "
    "them it fires on at least one token. Answer with a JSON list of their numbers and nothing else, such as [1, 4]; "
    "[] for none."
)
MARK_SYSTEM = (
    "You are told what a feature of a language model fires on, and shown numbered snippets of text in which some "
    "tokens are marked «so». Say in which of them the marks stand where it fires. Answer with a JSON list of their "
    "numbers and nothing else, such as [1, 4]; [] for none."
)

_LABEL = re.compile(r"^\W*LABEL\W*:\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
_LIST = re.compile(r"\[\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\]")


def read_name(answer: str) -> str | None:
    """The name in an answer; None where it has none, or more than a line may hold."""
    found = _LABEL.findall(answer)
    name = " ".join(found[-1].strip(' *"“”').split()) if found else ""
    return name if 0 < len(name) <= LONGEST else None


def numbered(label: str, snippets: Sequence[str]) -> str:
    """A question about snippets, which are numbered from 1."""
    lines = [f"{number}. {snippet}" for number, snippet in enumerate(snippets, 1)]
    return "\n".join([f"It fires on: {label}", "", *lines])


def read_list(answer: str, most: int) -> set[int] | None:
    """The numbers in an answer; None where there is no list, or one with numbers that were not asked about."""
    found = _LIST.findall(answer)
    if not found:
        return None
    numbers = set(json.loads(found[-1]))
    return numbers if numbers <= set(range(1, most + 1)) else None
