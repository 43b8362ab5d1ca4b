"""Requests of OpenAI's API: what is taken, what is let pass, and what is refused."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from mfn_server.chats.schemas import MOST_MESSAGES, Message
from mfn_server.errors import APIError
from mfn_server.intervention_bodies import MOST_INTERVENTIONS, InterventionBody
from mfn_server.schemas import LONGEST_PROMPT, PromptText, Schema, Text, said
from mfn_server.steering.schemas import Bias, StopText, TokenId

MOST_CHOICES = 128
MOST_PROMPTS = 128
MOST_TOKENS = 2**20  # of a prompt given as ids
MOST_STOPS = 4
MOST_FIRED = 20

PromptTokens = Annotated[list[TokenId], Field(min_length=1, max_length=MOST_TOKENS)]


Prompt = Annotated[
    PromptText | PromptTokens | list[PromptText] | list[PromptTokens],
    said(f"must be text of up to {LONGEST_PROMPT:,} characters without NUL, token ids, or a list of either"),
]
Stop = Annotated[
    StopText | list[StopText], said("must be a string of 1 to 256 characters, or a list of up to 4 of them")
]


class StreamOptions(Schema):
    """What a stream says besides the text."""

    include_usage: bool = Field(default=False, description="A last chunk without choices says how many tokens.")
    include_obfuscation: bool = Field(default=False, description="Let pass: there is nothing to hide here.")


class MfnOptions(Schema):
    """What OpenAI's API has no field for. Clients of OpenAI send it as `extra_body={"mfn": {...}}`."""

    interventions: list[InterventionBody] = Field(
        default_factory=list,
        max_length=MOST_INTERVENTIONS,
        description="As POST /api/generate takes them. Those of a preset in the model's name come first.",
    )
    fired: int = Field(default=0, ge=0, le=MOST_FIRED, description="Strongest features to report of each token.")
    compare: bool = Field(
        default=False,
        description="Write each choice's plain twin, too, without interventions and with the same random numbers.",
    )


class SamplingBody(Schema):
    """What both kinds of completion have in common. `null` stands for a field's default, as with OpenAI."""

    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
        | {"prompt_cache_options", "verbosity"}
    )
    """Say nothing about the text: let pass."""
    ONLY: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Fields whose other values would ask for what no model here can do."""

    model: Text = Field(max_length=300)
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, ge=0, le=1)
    n: int = Field(default=1, ge=1, le=MOST_CHOICES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: Stop = Field(default_factory=list)
    seed: int | None = Field(
        default=None, ge=0, le=2**53 - 1, description="Of the first choice; each further one has the next."
    )
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    logit_bias: dict[TokenId, Bias] = Field(default_factory=dict, max_length=1024)
    top_k: int = Field(default=0, ge=0, le=2**31 - 1, description="Not OpenAI's. Only the k likeliest; 0 for all.")
    min_p: float = Field(
        default=0.0, ge=0, le=1, description="Not OpenAI's. Only tokens of at least this share of the likeliest's."
    )
    repetition_penalty: float = Field(default=1.0, gt=0, le=100, description="Not OpenAI's. 1 for none.")
    mfn: MfnOptions | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def options(self) -> MfnOptions:
        """`mfn`, or its defaults."""
        return self.mfn or MfnOptions()

    @model_validator(mode="before")
    @classmethod
    def _taken(cls, body: Any) -> Any:
        """Leaves out what is null or let pass. What is refused is said at once, as OpenAI says it."""
        if not isinstance(body, dict):
            return body
        taken = {name: value for name, value in body.items() if value is not None and name not in cls.IGNORED}
        for name, allowed in cls.ONLY.items():
            if name in taken and taken.pop(name) not in allowed:
                spelled = " or ".join(repr(value) for value in allowed) or "nothing"
                raise _refused("unsupported_parameter", name, f"{name} can be {spelled} here")
        unknown = next((name for name in taken if name not in cls.model_fields), None)
        if unknown is not None:
            name = str(unknown)[:100]
            raise _refused("unknown_parameter", name, f"there is no parameter {name!r}")
        return taken

    @model_validator(mode="after")
    def _consistent(self) -> SamplingBody:
        if self.stream_options is not None and not self.stream:
            raise _refused("invalid_request", "stream_options", "stream_options goes with stream alone")
        if len(self.stops) > MOST_STOPS:
            raise _refused("invalid_request", "stop", f"stop can be up to {MOST_STOPS} strings")
        return self


class CompletionBody(SamplingBody):
    """POST /v1/completions."""

    ONLY: ClassVar[dict[str, tuple[Any, ...]]] = {"best_of": (1,), "suffix": ("",)}

    prompt: Prompt = Field(
        default="", description="Text begins with the model's beginning-of-text token; token ids are read as they are."
    )
    max_tokens: int = Field(default=16, ge=0, le=2**31 - 1, description="0 with `echo` alone: nothing is written.")
    logprobs: int | None = Field(default=None, ge=0, le=MOST_FIRED, description="How many of the likeliest, too.")
    echo: bool = Field(default=False, description="The text, and its log-probabilities, begin with the prompt.")

    @model_validator(mode="after")
    def _complete(self) -> CompletionBody:
        if self.max_tokens == 0 and not self.echo:
            raise _refused("invalid_request", "max_tokens", "max_tokens can be 0 with echo alone")
        if not self.prompts:
            raise _refused("invalid_request", "prompt", "prompt must not be empty")
        if len(self.prompts) > MOST_PROMPTS or len(self.prompts) * self.n > MOST_CHOICES:
            raise _refused("invalid_request", "prompt", f"prompts × n can be up to {MOST_CHOICES}")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each prompt, as text or as token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)  # type: ignore[arg-type]


class ChatBody(SamplingBody):
    """POST /v1/chat/completions."""

    ONLY: ClassVar[dict[str, tuple[Any, ...]]] = {
        "tools": ([],),
        "functions": ([],),
        "tool_choice": ("none", "auto"),
        "function_call": ("none", "auto"),
        "parallel_tool_calls": (True, False),
        "response_format": ({"type": "text"},),
        "modalities": (["text"],),
        "reasoning_effort": ("none",),
        "audio": (),
        "prediction": (),
        "web_search_options": (),
        "moderation": (),
    }

    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Null: until the model ends, or its context is full."
    )
    max_tokens: int | None = Field(default=None, ge=1, le=2**31 - 1, description="The older name of the same.")
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=MOST_FIRED)

    @model_validator(mode="after")
    def _chat(self) -> ChatBody:
        if self.top_logprobs and not self.logprobs:
            raise _refused("invalid_request", "top_logprobs", "top_logprobs goes with logprobs alone")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise _refused(
                "invalid_parameter_combination", "max_tokens", "max_tokens and max_completion_tokens are one: give one"
            )
        return self


def _refused(code: str, field: str, message: str) -> APIError:
    """Raised out of validation as it is: it is no ValueError, which pydantic would reword."""
    return APIError(400, code, message, field=field)
