"""Messages of a chat, as OpenAI's API has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mfn_server.schemas import PromptText, Schema, Text, said

MOST_MESSAGES = 1024


class ContentPart(Schema):
    """A part of a message. Text alone: no model here sees or hears."""

    type: Literal["text"]
    text: PromptText


Content = Annotated[
    PromptText | Annotated[list[ContentPart], Field(max_length=256)], said("must be text, or a list of text parts")
]


class Message(Schema):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: Text | None = Field(default=None, max_length=100, description="Let pass.")

    @property
    def plain(self) -> dict[str, str]:
        """As chat templates want it: `developer` is OpenAI's newer name of `system`."""
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, body: Any) -> Any:
        return {k: v for k, v in body.items() if v is not None} if isinstance(body, dict) else body
