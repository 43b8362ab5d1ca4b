"""A text in which it is known where a feature fires, and readers whose answers are known."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np

from mfn_core.naming.executing import ReadText
from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import NamedText
from mfn_server.naming.asking import INTRUDER_SYSTEM, MARK_SYSTEM, SIMULATE_SYSTEM, TELL_SYSTEM
from mfn_server.naming.held_out import HeldOut
from mfn_server.naming.reader import Answer

TEXTS = ["<s>", " cat", " dog", " sat", " ran"]
PLACE = (0, 0)
SCORERS = {TELL_SYSTEM: "detection", MARK_SYSTEM: "fuzzing", INTRUDER_SYSTEM: "intruder", SIMULATE_SYSTEM: "simulation"}


def planted(seed: int = 0, documents: int = 60) -> HeldOut:
    """Documents of 50 tokens; the feature fires on " cat", which stands in every other one."""
    rng = np.random.default_rng(seed)
    texts = [np.concatenate([[0], rng.choice([2, 3, 4], 50)]).astype(np.uint32) for _ in range(documents)]
    for text in texts[::2]:
        text[rng.integers(5, 45)] = 1
    fires = np.flatnonzero(np.concatenate(texts) == 1)
    return HeldOut(texts, np.arange(documents) * 51, {PLACE: fires}, {PLACE: np.full(len(fires), 2, np.float32)})


def readable(held_out: HeldOut) -> ReadText:
    """The text as labels are looked for in."""
    return ReadText(NamedText(Lexicon.of(TEXTS), held_out.documents))


class Scripted:
    """Answers what a function says, and counts."""

    name = "scripted"

    def __init__(self, answer: Callable[[str, str], str]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def ask(self, system: str, question: str, most_tokens: int, logprobs: int = 0) -> Answer:
        self.asked.append((system, question))
        return Answer(self.answer(system, question), 100, 10)


def knows_cats(system: str, question: str) -> str:
    """What a reader answers who knows that it fires on cats, whatever the label says."""
    lines = question.split("\n")[2:]
    if system == SIMULATE_SYSTEM:
        return "\n".join(f"{n}: {10 if re.fullmatch(rf'{n}  cat', line) else 0}" for n, line in enumerate(lines, 1))
    sought = "« cat»" if system == MARK_SYSTEM else "cat"
    found = [n for n, line in enumerate(lines, 1) if sought in line]
    if system == INTRUDER_SYSTEM:
        return str(next(n for n in range(1, len(lines) + 1) if n not in found))
    return str(found)


def guesses(seed: int) -> Callable[[str, str], str]:
    """What a reader answers who tosses coins."""
    coin = random.Random(seed)

    def answer(system: str, question: str) -> str:
        n = question.count("\n") - 1
        if system == SIMULATE_SYSTEM:
            return "\n".join(f"{at}: {coin.randint(0, 10)}" for at in range(1, n + 1))
        if system == INTRUDER_SYSTEM:
            return str(coin.randint(1, n))
        return str([at for at in range(1, n + 1) if coin.random() < 0.5])

    return answer
