"""What all schemas of the API share."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

LONGEST_PROMPT = 100_000  # characters; the model's context is the real limit, this one spares the tokenizer


class Schema(BaseModel):
    """Base of request and response bodies: unknown fields are refused, and so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return text


def _finite_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ValueError("must not contain NaN or infinity") from error
    if "\\u0000" in text:
        raise ValueError("must not contain the NUL character")
    return value


Text = Annotated[str, AfterValidator(_storable)]
"""Text as every database can keep it."""

PromptText = Annotated[Text, Field(max_length=LONGEST_PROMPT)]
"""Text that a model is to continue."""

JsonObject = Annotated[dict[str, Any], AfterValidator(_finite_json)]
"""Free JSON as every database can keep it and every client can read it back."""


class Token(Schema):
    """A token and the text it is shown as."""

    id: int
    text: str


class TokenShare(Schema):
    """A token and the share of a feature's firings that it accounts for."""

    text: str
    share: float


def said(message: str) -> WrapValidator:
    """One sentence for what may be several things, instead of what is wrong with it as the first of them."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("none_of_them", message) from None

    return WrapValidator(check)
