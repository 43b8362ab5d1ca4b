"""What an engine says while it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mfn_core.interventions import Intervention

StreamName = Literal["plain", "steered"]
Reason = Literal["eos", "length", "context", "stop"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could have come, and its log-probability in nats under the stream's own model."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Shift:
    """A token whose probability steering changes: its log-probability in nats, steered and plain."""

    token: int
    logprob: float
    plain_logprob: float


@dataclass(frozen=True, slots=True)
class Fired:
    """A feature that fired at the position which predicted a token, with its value after interventions, in z."""

    layer: int
    feature: int
    value: float


@dataclass(frozen=True, slots=True)
class Watched:
    """What a feature that is watched does at the position which predicted a token, strong or not; in z, 0 if silent.

    Attributes:
        layer, feature: which.
        value: after interventions.
        untouched: in the untouched code, which conditions ask.
    """

    layer: int
    feature: int
    value: float
    untouched: float


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """A stream has one more token.

    Attributes:
        request: which request.
        stream: which of its streams.
        step: number of the token, from 0.
        token: its id.
        delta: the text that it completes; empty while a character is unfinished or a stop string may have begun, and
            for special tokens. The deltas of a stream add up to its text.
        logprob: in nats under the stream's own model, before penalties, bias, temperature and filters.
        kl: KL(steered ‖ plain) of the distributions from which this token was taken, in nats; on the steered stream
            of a request that compares, while both have the same text before it; else None.
        alternatives: the likeliest tokens, likeliest first.
        fired: the strongest features over all layers, strongest first.
        watched: those that the request watches, in its order.
        plain_logprob: of the token under the plain model, in nats; where there is a `kl`, else None.
        shifts: there, too: the tokens whose probability steering changes most, up or down, first the one that changes
            most; as many as alternatives, or fewer where fewer change.
    """

    request: str
    stream: StreamName
    step: int
    token: int
    delta: str
    logprob: float
    kl: float | None
    alternatives: tuple[Alternative, ...]
    fired: tuple[Fired, ...]
    watched: tuple[Watched, ...] = ()
    plain_logprob: float | None = None
    shifts: tuple[Shift, ...] = ()


@dataclass(frozen=True, slots=True)
class Updated:
    """From a token on, a request's steered stream has other interventions. Comes before that token.

    All that a request was told so may be sent with it again (`GenerationRequest.changes`), and gives the same text.

    Attributes:
        request: which request.
        step: number of the first token that sees them; 0, also the prompt does.
        interventions: all that it has from there on.
    """

    request: str
    step: int
    interventions: tuple[Intervention, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """A stream is finished.

    Attributes:
        reason: `eos`, the model ended its text; `length`, it has max_new_tokens; `context`, no position is left;
            `stop`, one of the request's stop strings has come.
        text: what was written, the sum of its deltas.
        n_tokens: how many tokens, an ending one and those of a stop string included.
        seconds: since the request's first step began.
    """

    request: str
    stream: StreamName
    reason: Reason
    text: str
    n_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The request cannot go on; `message` says why, in a line for people. Nothing follows."""

    request: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """All streams of a request are finished. Nothing follows."""

    request: str


Event = TokenEvent | Updated | Done | Failed | Ended
