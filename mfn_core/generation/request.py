"""What is asked of an engine."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mfn_core.errors import ConfigError, InterventionError, MFNError
from mfn_core.generation.sampling import Sampling
from mfn_core.interventions import Intervention, validate

MAX_REPORTED = 64
MAX_STOPS = 16
LONGEST_STOP = 256  # characters
MAX_CHANGES = 1024


class PromptTooLongError(MFNError):
    """A prompt leaves no room in the context. `length` and `limit` are in tokens."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"the prompt has {length} tokens; at most {limit} leave room for an answer")
        self.length = length
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Change:
    """Other interventions from a token on.

    Attributes:
        step: number of the first new token that sees them, from 0; with 0 the prompt is read under them, too.
        interventions: all that there are from then on.
    """

    step: int
    interventions: tuple[Intervention, ...]


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
        watch: (layer, feature) of features whose values to report at each step, whether or not they are strong.
        changes: what the interventions become on the way, in order of steps: a run's `Updated` events, to have it
            again. An update from outside takes over: what is still to come of these is dropped.
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
    watch: tuple[tuple[int, int], ...] = ()
    changes: tuple[Change, ...] = ()
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
        if len(self.watch) > MAX_REPORTED:
            raise ConfigError(f"{len(self.watch)} features to watch: at most {MAX_REPORTED}")
        if len(self.changes) > MAX_CHANGES:
            raise ConfigError(f"{len(self.changes)} changes: at most {MAX_CHANGES}")
        steps = [change.step for change in self.changes]
        if any(step < 0 for step in steps) or any(a >= b for a, b in pairwise(steps)):
            raise ConfigError(f"the steps of changes must be at least 0 and rise, not {steps}")


def check_request(
    request: GenerationRequest, n_features: Mapping[int, int], signed: Collection[int], slots: int, context: int
) -> None:
    """Checks all that a request names, on the way too.

    Args:
        request: what is asked.
        n_features, signed: as `MFNModel` has them.
        slots: how many interventions a request can have at once.
        context: how many tokens a text can have.

    Raises:
        PromptTooLongError: no position is left for a new token.
        InterventionError: an intervention, or a feature to watch, that is not there; or too many interventions.
    """
    if len(request.prompt) >= context:
        raise PromptTooLongError(len(request.prompt), context - 1)
    for interventions in (request.interventions, *(change.interventions for change in request.changes)):
        check_interventions(interventions, n_features, signed, slots, context)
    for layer, feature in request.watch:
        if not 0 <= feature < n_features.get(layer, 0):
            raise InterventionError(f"there is no feature {feature} of layer {layer} to watch")


def check_interventions(
    interventions: Sequence[Intervention],
    n_features: Mapping[int, int],
    signed: Collection[int],
    slots: int,
    context: int,
) -> None:
    """Checks interventions against the model and against the engine; arguments as `check_request` has them.

    Raises:
        InterventionError: see `validate`; also more interventions than slots, or one whose scope begins behind the
            last position.
    """
    if len(interventions) > slots:
        raise InterventionError(f"{len(interventions)} interventions: at most {slots} can act at once")
    validate(interventions, n_features, signed)
    for number, intervention in enumerate(interventions, start=1):
        if (intervention.scope.start or 0) >= context:
            raise InterventionError(
                f"intervention {number}: its scope begins at token {intervention.scope.start}, "
                f"but texts end at token {context - 1}"
            )
