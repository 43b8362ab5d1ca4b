"""What all schemas of the API share."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict


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
