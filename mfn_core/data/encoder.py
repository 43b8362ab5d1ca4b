"""From text to the token ids that a model reads."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TextEncoder:
    """Token ids of a text as a model reads it. It can be sent to another process, which needs no model.

    Attributes:
        tokenizer: the model's.
        begin: its beginning-of-text token, if it has one.
    """

    tokenizer: PreTrainedTokenizerBase
    begin: int | None

    def __call__(self, text: str) -> list[int]:
        """Token ids, the beginning-of-text token first. Names of special tokens within the text are text."""
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ([] if self.begin is None else [self.begin]) + list(ids)
