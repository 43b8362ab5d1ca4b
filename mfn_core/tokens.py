"""Tokens as bytes and as text fit to be shown."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase


@lru_cache(maxsize=1)
def _byte_of_character() -> dict[str, int]:
    """The alphabet in which byte-level BPE writes bytes: printable ones as themselves, others from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    table.update({chr(256 + n): byte for n, byte in enumerate(others)})
    return table


def token_bytes(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int] | None = None) -> list[bytes]:
    """The bytes that token ids stand for, for byte-level and for SentencePiece-like vocabularies.

    Special tokens give the bytes of their name, ids that the vocabulary lacks give none.

    Args:
        ids: which ids; the whole vocabulary in order if left out.
    """
    byte_level = "ByteLevel" in repr(tokenizer.backend_tokenizer.decoder)
    special = set(tokenizer.all_special_ids)
    chosen = list(range(len(tokenizer)) if ids is None else ids)
    pieces = tokenizer.convert_ids_to_tokens(chosen)
    return [
        (piece or "").encode() if number in special else _piece_bytes(piece or "", byte_level)
        for number, piece in zip(chosen, pieces, strict=True)
    ]


def _piece_bytes(piece: str, byte_level: bool) -> bytes:
    if byte_level:
        table = _byte_of_character()
        if all(character in table for character in piece):
            return bytes(table[character] for character in piece)
        return piece.encode()  # an added token is written as plain text
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()


def token_strings(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Display text of each token id. One that is not whole characters is shown by its bytes, as ⟨e2 96⟩."""
    return [display(raw) for raw in token_bytes(tokenizer)]


def vocabulary_strings(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> list[str]:
    """Display text of every token id that a model has; embeddings may be padded beyond the vocabulary, with none."""
    texts = token_strings(tokenizer)
    return texts + [""] * (vocab_size - len(texts))


def display(raw: bytes) -> str:
    """Text where the bytes are whole characters, else their hexadecimal form between ⟨ and ⟩."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"⟨{raw.hex(' ')}⟩"


class IncrementalDecoder:
    """Turns tokens into text one at a time, holding bytes back until they make a character."""

    def __init__(self, pieces: list[bytes]) -> None:
        """Args: pieces: what `token_bytes` gives; made once for a model and shared by its decoders."""
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is unfinished."""
        return self._decoder.decode(self._pieces[token])

    def flush(self) -> str:
        """What was held back, broken bytes as U+FFFD."""
        return self._decoder.decode(b"", final=True)


def ending_ids(*configs: Any) -> frozenset[int]:
    """The ids that end a text, from the first configuration of transformers that names any."""
    for config in configs:
        ids = getattr(config, "eos_token_id", None)
        if ids is not None:
            return frozenset([ids] if isinstance(ids, int) else ids)
    return frozenset()
