"""Ways to suggest names and to score them: what they are called, their versions, and what guessing gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Way = Literal["patterns", "logits", "neighbours"]
WAYS: tuple[Way, ...] = get_args(Way)
"""Ways to suggest a name without a language model."""

IN_GROUP = 5
"""Snippets among which an intruder is looked for: in all but one the feature fires, so a fifth is chance."""

Scorer = Literal["tokens", "detection", "fuzzing", "intruder", "embedding", "simulation"]
SCORERS: tuple[Scorer, ...] = get_args(Scorer)

VERSION: Mapping[Scorer, int] = dict.fromkeys(SCORERS, 1)
"""Counts up with how a scorer asks or reckons: figures of different versions are not compared."""

CHANCE: Mapping[Scorer, float] = {
    "tokens": 0.0,
    "detection": 0.5,
    "fuzzing": 0.5,
    "intruder": 1 / IN_GROUP,
    "embedding": 0.5,
    "simulation": 0.0,
}

NOT_EXECUTABLE = "holds nothing that can be carried out"
NOT_KNOWN = "no word of it is known to the embedding"
NOT_READ = "no answer of the language model could be read"
