"""Where in a text an intervention acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mfn_core.errors import InterventionError

ScopeKind = Literal["both", "prompt", "generation", "range"]

END = 2**31 - 1  # a position past every context


@dataclass(frozen=True, slots=True)
class Scope:
    """Where in the text an intervention acts.

    Attributes:
        kind: `both`, every position; `prompt`, the prompt's positions [0, P); `generation`, from position P − 1 on:
            the last token of the prompt is the first whose output is generated text; `range`, [start, stop).
        start, stop: with `range`, token positions, the first token of the text being 0. With `generation`, new tokens:
            it acts while those numbered start to stop − 1 are written, the first being 0. No stop: to the end.
    """

    kind: ScopeKind = "both"
    start: int | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScopeKind):
            raise InterventionError(f"scope must be one of {', '.join(get_args(ScopeKind))}, not {self.kind!r}")
        if self.kind in ("both", "prompt") and (self.start is not None or self.stop is not None):
            raise InterventionError(f"start and stop go with the scopes generation and range, not with {self.kind}")
        start, stop = self._span
        if not 0 <= start < stop:
            raise InterventionError(f"a scope runs from start to a later stop, both at least 0; not {start} to {stop}")

    @property
    def _span(self) -> tuple[int, int]:
        return self.start or 0, END if self.stop is None else self.stop

    def positions(self, prompt_length: int) -> tuple[int, int]:
        """The half-open span of token positions, for a prompt of that many tokens."""
        match self.kind:
            case "both":
                return 0, END
            case "prompt":
                return 0, prompt_length
            case "generation":
                first = _first_writing(prompt_length)
                start, stop = self._span
                return min(first + start, END), min(first + stop, END)
            case "range":
                return self._span

    def ramp_begins(self, prompt_length: int) -> int:
        """The position at which a ramp begins: where the scope does, with `both` where new text does."""
        return _first_writing(prompt_length) if self.kind == "both" else self.positions(prompt_length)[0]


def _first_writing(prompt_length: int) -> int:
    """The position whose output is the first new token."""
    return max(prompt_length - 1, 0)
