"""From texts to token ids, where the model is, whose tokenizer is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
