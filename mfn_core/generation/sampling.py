"""How the next token is to be chosen: what a request says of it. The choosing itself is in `choosing`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral

from mfn_core.errors import ConfigError

MOST_BIASED = 1024


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. The model's logits pass through these in the order in which they stand here.

    Attributes:
        repetition_penalty: for tokens that the prompt or the text has: logits above 0 are divided by it, those below
            multiplied; 1 for none, above 1 against repetition (CTRL, arXiv 1909.05858).
        frequency_penalty: is subtracted from a token's logit for each time that the text has it, the prompt left out.
        presence_penalty: is subtracted once from the logit of each token that the text has, the prompt left out.
        logit_bias: (token, number) pairs, or a mapping: what is added to a token's logit. −100 bans it in practice.
        temperature: logits are divided by it; 0 takes the likeliest token and looks at nothing below.
        top_k: only the k likeliest tokens; 0 for all.
        top_p: only the smallest set of likeliest tokens whose probability reaches p; 1 for all.
        min_p: only tokens at least this many times as probable as the likeliest; 0 for all (arXiv 2407.01082).
        seed: of the random numbers. The same request with the same seed gives the same text.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature must be a number of at least 0, not {self.temperature}")
        if self.top_k < 0:
            raise ConfigError(f"top_k must be at least 0, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must lie above 0 and be at most 1, not {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise ConfigError(f"min_p must lie between 0 and 1, not {self.min_p}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed must lie between 0 and 2**63 - 1, not {self.seed}")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise ConfigError(f"repetition_penalty must be a number above 0, not {self.repetition_penalty}")
        for name in ("frequency_penalty", "presence_penalty"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"{name} must be a finite number, not {getattr(self, name)}")
        object.__setattr__(self, "logit_bias", _pairs(self.logit_bias))

    @property
    def draws(self) -> bool:
        """Whether chance plays a part."""
        return self.temperature > 0

    @property
    def shifts(self) -> bool:
        """Whether logits are moved by something that is added to them."""
        return bool(self.logit_bias or self.frequency_penalty or self.presence_penalty)


def _pairs(given: object) -> tuple[tuple[int, float], ...]:
    """A bias as sorted pairs.

    Raises:
        ConfigError: a token that is no number or stands twice, a bias that is not finite, too many of them.
    """
    entries = list(given.items() if isinstance(given, Mapping) else given)  # type: ignore[call-overload]
    if len(entries) > MOST_BIASED:
        raise ConfigError(f"logit_bias has {len(entries)} tokens: at most {MOST_BIASED}")
    for token, bias in entries:
        if not isinstance(token, Integral) or isinstance(token, bool) or token < 0:
            raise ConfigError(f"logit_bias must name tokens by their numbers, not by {token!r}")
        if not math.isfinite(bias):
            raise ConfigError(f"logit_bias of token {token} must be a finite number, not {bias}")
    found = {int(token): float(bias) for token, bias in entries}
    if len(found) < len(entries):
        raise ConfigError("logit_bias names a token twice")
    return tuple(sorted(found.items()))
