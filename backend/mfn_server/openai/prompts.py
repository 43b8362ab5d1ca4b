"""From texts and messages to token ids. These functions run where the model is, whose tokenizer they use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mfn_server.errors import APIError

if TYPE_CHECKING:
    from mfn_core.model import MFNModel


def tokens_of(model: MFNModel, prompts: Sequence[str | list[int]]) -> list[tuple[int, ...]]:
    """Each prompt as the model reads it. Text begins with the beginning-of-text token; ids are taken as they are.

    Raises:
        APIError: 400, there is no such token, or nothing to read.
    """
    found = []
    for prompt in prompts:
        ids = model.encode_text(prompt) if isinstance(prompt, str) else prompt
        if max(ids, default=0) >= model.vocab_size:
            message = f"there is no token {max(ids)}: the model has 0 to {model.vocab_size - 1}"
            raise APIError(400, "unknown_token", message, field="prompt")
        if not ids:
            raise APIError(400, "invalid_request", "this model cannot begin with an empty prompt", field="prompt")
        found.append(tuple(ids))
    return found


def template_of(model: MFNModel, given: str | None) -> tuple[str, dict[str, Any]]:
    """The chat template, and the special tokens that it may name, by what they are.

    Args:
        model: whose tokenizer has one.
        given: to be used instead.

    Raises:
        APIError: 400, there is none.
    """
    tokenizer = model.required_tokenizer
    if given is None and not tokenizer.chat_template:
        raise APIError(
            400,
            "no_chat_template",
            "this model continues texts and knows no chats: its tokenizer has no chat template",
            hint="use /v1/completions, or have the server started with --chat-template FILE, or plain",
            field="messages",
        )
    names = {
        name: list(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in tokenizer.special_tokens_map.items()
    }
    return tokenizer.get_chat_template(given), names


def chat_tokens(model: MFNModel, text: str) -> tuple[int, ...]:
    """A chat that was rendered, as the model reads it: names of special tokens are special tokens, as the template
    means them.

    Raises:
        APIError: 400, there is nothing to read.
    """
    ids = model.required_tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise APIError(
            400, "chat_template_error", "the chat template makes nothing of these messages", field="messages"
        )
    return tuple(ids)


def plain_tokens(model: MFNModel, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
    """The messages' texts, parted by blank lines, as the model reads a text."""
    return tuple(model.encode_text("\n\n".join(message["content"] for message in messages)))
