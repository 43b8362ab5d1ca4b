"""From texts and messages to token ids. These functions run where the model is, whose tokenizer they use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mfn_server.errors import APIError
from mfn_server.settings import PLAIN

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


def chat_tokens(model: MFNModel, messages: Sequence[dict[str, str]], template: str | None) -> tuple[int, ...]:
    """A chat as the model reads it, up to where it is to answer.

    The template is rendered by transformers, in a sandbox that can neither import nor change anything. What it writes
    is split into tokens as it stands, names of special tokens included, as the template means them.

    Args:
        model: whose tokenizer and template are used.
        messages: role and content of each.
        template: to be used instead of the tokenizer's: Jinja, or `plain`.

    Raises:
        APIError: 400, there is no template, or it refuses these messages.
    """
    tokenizer = model.required_tokenizer
    if template == PLAIN:
        return tuple(model.encode_text("\n\n".join(message["content"] for message in messages)))
    if template is None and not tokenizer.chat_template:
        raise APIError(
            400,
            "no_chat_template",
            "this model continues texts and knows no chats: its tokenizer has no chat template",
            hint="use /v1/completions, or have the server started with --chat-template FILE, or plain",
            field="messages",
        )
    try:
        text = tokenizer.apply_chat_template(
            list(messages), chat_template=template, tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # of the template, which may raise whatever it likes
        message = f"the chat template does not take these messages: {str(error)[:500]}"
        raise APIError(400, "chat_template_error", message, field="messages") from error
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise APIError(
            400, "chat_template_error", "the chat template makes nothing of these messages", field="messages"
        )
    return tuple(ids)
