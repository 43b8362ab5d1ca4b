"""What is asked of an engine."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from mfn_core.errors import ConfigError, InterventionError, MFNError
from mfn_core.generation.sampling import Sampling
from mfn_core.interventions import Intervention

MAX_REPORTED = 64
MAX_STOPS = 16
LONGEST_STOP = 256  # characters


class PromptTooLongError(MFNError):
    """A prompt leaves no room in the context. `length` and `limit` are in tokens."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"the prompt has {length} tokens; at most {limit} leave room for an answer")
        self.length = length
        self.limit = limit


@dataclass(frozen=True)
class GenerationRequest:
    """One text to be continued, plain and steered.

    Attributes:
        prompt: token ids, as `MFNModel.encode_text` gives them. An empty text is the beginning-of-text token alone.
        max_new_tokens: how many tokens each stream may get.
        interventions: what the steered stream is subjected to, in order.
        sampling: how tokens are chosen, the same for both streams.
        compare: give the plain stream too, in a row of its own. What the steered stream says does not depend on it.
        alternatives: how many of the likeliest tokens to report at each step.
        fired: how many of the strongest features to report at each step, over all layers.
        stop: strings that end a stream where its text has one; they and what follows are not part of the text. What
            could be the beginning of one is held back.
        id: names the request in events, updates and cancellation.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int = 64
    interventions: tuple[Intervention, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    compare: bool = True
    alternatives: int = 0
    fired: int = 0
    stop: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ConfigError("a prompt needs at least one token: the one that begins a text, where it says nothing")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        for name, number in (("alternatives", self.alternatives), ("fired", self.fired)):
            if not 0 <= number <= MAX_REPORTED:
                raise ConfigError(f"{name} must lie between 0 and {MAX_REPORTED}, not {number}")
        if isinstance(self.stop, str):
            raise ConfigError("stop must be a sequence of strings, not one")
        if len(self.stop) > MAX_STOPS:
            raise ConfigError(f"{len(self.stop)} stop strings: at most {MAX_STOPS}")
        if not all(0 < len(stop) <= LONGEST_STOP for stop in self.stop):
            raise ConfigError(f"a stop string has 1 to {LONGEST_STOP} characters")


def check_interventions(interventions: Sequence[Intervention], slots: int, context: int) -> None:
    """Checks what depends on the engine rather than on the model.

    Raises:
        InterventionError: more interventions than slots, or one whose scope begins behind the last position.
    """
    if len(interventions) > slots:
        raise InterventionError(f"{len(interventions)} interventions: at most {slots} can act at once")
    for number, intervention in enumerate(interventions, start=1):
        if (intervention.scope.start or 0) >= context:
            raise InterventionError(
                f"intervention {number}: its scope begins at token {intervention.scope.start}, "
                f"but texts end at token {context - 1}"
            )
