"""Bodies of the generation routes, and the events of their stream."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from mfn_core.generation.events import Reason, StreamName
from mfn_server.chats.schemas import MOST_MESSAGES, Message
from mfn_server.intervention_bodies import MOST_INTERVENTIONS, InterventionBody
from mfn_server.schemas import PromptText, Schema, Text, Token

MOST_REPORTED = 20
MOST_WATCHED = 32
MOST_CHANGES = 1024

TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Bias = Annotated[float, Field(ge=-100, le=100)]
StopText = Annotated[Text, Field(min_length=1, max_length=256)]


class InterventionsBody(Schema):
    """The interventions that a running generation continues with."""

    interventions: list[InterventionBody] = Field(max_length=MOST_INTERVENTIONS)


class ChangeBody(InterventionsBody):
    """What the interventions become on the way."""

    step: int = Field(
        ge=0, le=4096, description="Number of the first new token that sees them; 0, also the prompt does."
    )


class WatchBody(Schema):
    """A feature to follow."""

    source: Text = Field(max_length=200)
    index: int = Field(ge=0, le=2**31 - 1)


class GenerateBody(Schema):
    """A prompt to be continued, or a chat to be answered, plain and steered."""

    prompt: PromptText | None = Field(
        default=None, description="May be empty: the model then begins a text of its own. Null with `messages` alone."
    )
    messages: list[Message] = Field(
        default_factory=list,
        max_length=MOST_MESSAGES,
        description="In place of a prompt: a chat, of which the chat template makes a text, up to where the model is "
        "to answer.",
    )
    max_new_tokens: int = Field(default=80, ge=1, le=4096)
    temperature: float = Field(default=0.0, ge=0, le=100, description="0 takes the likeliest token at each step.")
    top_k: int = Field(default=0, ge=0, le=2**31 - 1, description="Only the k likeliest tokens; 0 for all.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Only the likeliest tokens that together reach p.")
    seed: int = Field(default=0, ge=0, le=2**53 - 1, description="Both streams share its random numbers.")
    min_p: float = Field(
        default=0.0, ge=0, le=1, description="Only tokens of at least this share of the likeliest's probability."
    )
    repetition_penalty: float = Field(
        default=1.0, gt=0, le=100, description="Above 1 against tokens that prompt or text have; 1 for none."
    )
    frequency_penalty: float = Field(
        default=0.0, ge=-100, le=100, description="Taken from a token's logit for each time that the text has it."
    )
    presence_penalty: float = Field(
        default=0.0, ge=-100, le=100, description="Taken once from the logit of each token that the text has."
    )
    logit_bias: dict[TokenId, Bias] = Field(
        default_factory=dict, max_length=1024, description="Added to the logits of tokens, by id."
    )
    stop: list[StopText] = Field(
        default_factory=list, max_length=16, description="Strings that end a text; they are no part of it."
    )
    compare: bool = Field(default=True, description="Send the plain stream too.")
    interventions: list[InterventionBody] = Field(default_factory=list, max_length=MOST_INTERVENTIONS)
    top_fired: int = Field(default=3, ge=0, le=MOST_REPORTED, description="Strongest features to report at each step.")
    alternatives: int = Field(default=3, ge=0, le=MOST_REPORTED, description="Likeliest tokens to report at each step.")
    keep: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="Seconds for which the stream stays when its reader has left, to be read on with "
        "GET /api/generate/{id}; the server may keep it for less. 0: leaving ends it.",
    )
    watch: list[WatchBody] = Field(
        default_factory=list,
        max_length=MOST_WATCHED,
        description="Features whose values to report at each step, also where they are weak or silent.",
    )
    changes: list[ChangeBody] = Field(
        default_factory=list,
        max_length=MOST_CHANGES,
        description="What a run said in its `updated` events, to have it again. A PATCH takes over from them.",
    )

    @model_validator(mode="after")
    def _one_beginning(self) -> GenerateBody:
        if (self.prompt is None) != bool(self.messages):
            raise ValueError("a text begins with either prompt or messages: give one of them")
        return self

    @model_validator(mode="after")
    def _rising(self) -> GenerateBody:
        if any(a.step >= b.step for a, b in pairwise(self.changes)):
            raise ValueError("the steps of changes must rise")
        return self


class StartEvent(Schema):
    """`start`: the request is accepted; its first token may still have to wait for others."""

    request_id: str
    prompt_tokens: list[Token]
    streams: list[StreamName]
    cache_bytes: int = Field(description="Memory of the cache that prompt and text can fill.")
    held_bytes: int = Field(description="Memory that is set aside beside it: for the request, and for unread events.")


class AlternativeToken(Token):
    """A token that could have come."""

    logprob: float


class FiredFeature(Schema):
    """A feature that fired at the position which predicted the token, with its value after interventions."""

    source: str
    index: int
    value: float


class WatchedFeature(Schema):
    """What a feature that is watched does at the position which predicted the token; 0 where it is silent."""

    source: str
    index: int
    value: float = Field(description="After interventions.")
    untouched: float = Field(description="In the untouched code, which conditions ask.")


class UpdatedEvent(Schema):
    """`updated`: the steered text has other interventions from a token on, which is yet to come.

    All of a run, sent as `changes` with the same request, give the same text.
    """

    step: int
    interventions: list[InterventionBody]


class TokenEventBody(Schema):
    """`token`: one more token of one stream."""

    stream: StreamName
    step: int
    id: int
    text: str = Field(description="The token alone, as it is shown; bytes that are no whole character as ⟨e2 96⟩.")
    delta: str = Field(description="What it adds to the text. The deltas of a stream add up to its text.")
    logprob: float = Field(description="Under the stream's own model, before temperature and filters, in nats.")
    alternatives: list[AlternativeToken]


class FeaturesEvent(Schema):
    """`features`: what fires where a stream's next token is predicted, strongest first. The token follows."""

    stream: StreamName
    step: int
    fired: list[FiredFeature]
    watched: list[WatchedFeature] = Field(description="The features of `watch`, in its order.")


class ShiftedToken(Token):
    """A token whose probability steering changes."""

    logprob: float = Field(description="Steered, in nats.")
    plain_logprob: float = Field(description="Plain, in nats.")


class EffectEvent(Schema):
    """`effect`: what steering does to the steered stream's next token, while both texts are the same. It follows."""

    step: int
    kl: float = Field(description="KL(steered ‖ plain) of the distributions from which it is taken, in nats.")
    plain_logprob: float = Field(description="Of the token that follows, under the plain model, in nats.")
    shifts: list[ShiftedToken] = Field(
        description="The tokens whose probability steering changes most, up or down, first the one that changes most; "
        "as many as `alternatives` asks for, or fewer where fewer change."
    )


class DoneEvent(Schema):
    """`done`: one stream is finished. `context`: the model's context is full; `stop`: a stop string has come."""

    stream: StreamName
    reason: Reason
    text: str
    n_tokens: int
    seconds: float
    digest: str = Field(description="Of the token ids: equal where the texts are.")
    exact_digest: str = Field(description="Of ids and log-probabilities: equal where every number is, bit for bit.")


class EndEvent(Schema):
    """`end`: nothing follows."""


class ErrorEvent(Schema):
    """`error`: the generation broke off; what was sent stays valid. Nothing follows."""

    code: str = Field(
        description="`generation_failed`, `worker_lost`, `too_slow` (the reader lagged too far behind), `cancelled`, "
        "`shutting_down`."
    )
    message: str
