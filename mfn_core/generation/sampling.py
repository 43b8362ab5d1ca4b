"""How the next token is chosen, so that twins differ by what steers them and not by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mfn_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        temperature: logits are divided by it; 0 takes the likeliest token and looks at nothing below.
        top_k: only the k likeliest tokens; 0 for all.
        top_p: only the smallest set of likeliest tokens whose probability reaches p; 1 for all. Applied after top_k.
        seed: of the random numbers. The same request with the same seed gives the same text.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature must be a number of at least 0, not {self.temperature}")
        if self.top_k < 0:
            raise ConfigError(f"top_k must be at least 0, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must lie above 0 and be at most 1, not {self.top_p}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed must lie between 0 and 2**63 - 1, not {self.seed}")

    def generator(self) -> torch.Generator:
        """A fresh source of this request's random numbers; on the CPU, so that every device draws the same."""
        return torch.Generator().manual_seed(self.seed)


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """The next token of each row.

    All rows share one draw of noise a step (common random numbers, as a Gumbel race: argmax p_i / e_i with e_i
    exponential): rows with equal logits take the same token, and rows with similar ones mostly do (ours). The draw
    has the same size whatever the filters leave, so that step n always meets the same noise.

    Args:
        logits: float [R, V].

    Returns:
        int64 [R].
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    noise = torch.empty(logits.shape[-1]).exponential_(generator=generator).to(logits.device)
    scaled = logits.float() / sampling.temperature
    return (torch.softmax(_filter(scaled, sampling), -1) / noise).argmax(-1)


def _filter(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits with −inf where top_k and top_p leave a token out. The likeliest always stays."""
    if 0 < sampling.top_k < logits.shape[-1]:
        threshold = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < threshold, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        probabilities = torch.softmax(ordered, -1)
        reached = probabilities.cumsum(-1) - probabilities >= sampling.top_p  # by the likelier ones alone
        logits = logits.masked_fill(reached.scatter(-1, order, reached), -torch.inf)
    return logits
