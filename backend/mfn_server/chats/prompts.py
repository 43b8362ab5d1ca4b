"""From messages to token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mfn_server.errors import APIError
from mfn_server.settings import PLAIN

if TYPE_CHECKING:
    from mfn_core.model import MFNModel
    from mfn_server.chats.schemas import Message
    from mfn_server.studio import Studio


async def chat_prompt(studio: Studio, messages: Sequence[Message]) -> tuple[int, ...]:
    """A chat as the model reads it, up to where it is to answer. The model does not wait for the template.

    Raises:
        APIError: 422, there is no template, or it does not take these messages; 503, its process was lost.
        ModelNotReadyError: 503.
    """
    given = studio.settings.chat_template_text
    plain = [message.plain for message in messages]
    if given == PLAIN:
        return await studio.worker.run(plain_tokens, plain)
    template, names = await studio.worker.run(template_of, given)
    return await studio.worker.run(chat_tokens, await studio.templates.render(template, plain, names))


def template_of(model: MFNModel, given: str | None) -> tuple[str, dict[str, Any]]:
    """The chat template, and the special tokens that it may name, by what they are.

    Args:
        model: whose tokenizer has one.
        given: to be used instead.

    Raises:
        APIError: 422, there is none.
    """
    tokenizer = model.required_tokenizer
    if given is None and not tokenizer.chat_template:
        raise APIError(
            422,
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
        APIError: 422, there is nothing to read.
    """
    ids = model.required_tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise APIError(
            422, "chat_template_error", "the chat template makes nothing of these messages", field="messages"
        )
    return tuple(ids)


def plain_tokens(model: MFNModel, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
    """The messages' texts, parted by blank lines, as the model reads a text."""
    return tuple(model.encode_text("\n\n".join(message["content"] for message in messages)))
