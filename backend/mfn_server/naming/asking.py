"""What language models are asked about features, and how their answers are read.

Whoever changes a question counts its version up: what was answered to another one is not the same figure. An answer
that cannot be read is None, which is counted, and never guessed at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import accumulate
from math import exp

import numpy as np
from numpy.typing import NDArray

from mfn_server.naming.reader import Answer

NAMING = 1
"""Version of the question for a name."""

JUDGING = 1
"""Version of the questions for scores."""

NAME_TOKENS = 120
LIST_TOKENS = 120
NUMBER_TOKENS = 20
TOKENS_A_LINE = 8
STRONGEST = 10
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

INTRUDER_SYSTEM = (
    "You are told what a feature of a language model fires on, and shown numbered snippets of text. It fires in all of "
    "them but one. Say which one. Answer with its number and nothing else."
)
SIMULATE_SYSTEM = (
    "You are told what a feature of a language model fires on, and shown the tokens of a text in order, one a line "
    "behind its number. The feature has read only what stands before a token, and the token. Say how strongly it fires "
    "on each, from 0 (not at all, which is usual) to 10. Answer with a line for every token, its number, a colon and "
    "the strength, such as 1: 0, and nothing else."
)

_LABEL = re.compile(r"^\W*LABEL\W*:\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
_LIST = re.compile(r"\[\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\]")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w]|\.\d)")
_STRENGTH = re.compile(r"^[^\S\n]*(\d+)[^\S\n]*:[^\S\n]*(\d+)[^\S\n]*$", re.MULTILINE)


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


def read_number(answer: str, most: int) -> int | None:
    """The one number in an answer; None where there are none or several, or it was not asked about."""
    found = {int(each) for each in _NUMBER.findall(answer)}
    number = found.pop() if len(found) == 1 else 0
    return number if 1 <= number <= most else None


def enumerated(label: str, pieces: Sequence[str]) -> str:
    """A question about tokens, which are numbered from 1."""
    lines = [f"{number} {piece}" for number, piece in enumerate(pieces, 1)]
    return "\n".join([f"It fires on: {label}", "", *lines])


def read_strengths(answer: Answer, n: int) -> tuple[NDArray[np.float64] | None, bool]:
    """The strengths in an answer, float64 [n]; None where a token lacks one, has two, or one beyond the scale.

    Where the log-probabilities of what could have been said are there, a strength is its expectation over those of them
    that are strengths, as in Bills et al. 2023: a model that wavers between 4 and 6 says 5. The second value says
    whether any of them is.
    """
    found = [(int(match[1]), int(match[2]), match.start(2)) for match in _STRENGTH.finditer(answer.text)]
    if sorted(number for number, *_ in found) != list(range(1, n + 1)):
        return None, False
    if any(strength > STRONGEST for _, strength, _ in found):
        return None, False
    begins = [0, *accumulate(len(token.text) for token in answer.tokens)]
    aligned = "".join(token.text for token in answer.tokens) == answer.text
    at = dict(zip(begins, answer.tokens, strict=False)) if aligned else {}
    strengths, wavering = np.zeros(n), False
    for number, strength, place in found:
        # a token may hold the blank before a strength, but it must hold all of the strength
        token = at.get(place) or at.get(place - 1)
        expected = None if token is None or token.text.strip() != str(strength) else _expected(token.likely)
        strengths[number - 1] = strength if expected is None else expected
        wavering = wavering or expected is not None
    return strengths, wavering


def _expected(likely: Sequence[tuple[str, float]]) -> float | None:
    weights: dict[int, float] = {}
    for text, logprob in likely:
        said = text.strip()
        if said.isascii() and said.isdecimal() and int(said) <= STRONGEST:
            weights[int(said)] = weights.get(int(said), 0.0) + exp(logprob)
    total = sum(weights.values())
    return sum(value * weight for value, weight in weights.items()) / total if total > 0 else None
