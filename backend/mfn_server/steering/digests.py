"""What a stream came to, as two short digests: whether a run was reproduced can be told without keeping it."""

from __future__ import annotations

import hashlib
import struct

DIGITS = 16  # hexadecimal; 64 bits, against accident, not against malice


class StreamDigest:
    """Hashes a stream as it grows."""

    def __init__(self) -> None:
        self._tokens = hashlib.sha256()
        self._exact = hashlib.sha256()

    def add(self, token: int, logprob: float) -> None:
        """Takes the next token in."""
        self._tokens.update(struct.pack("<I", token))
        self._exact.update(struct.pack("<Id", token, logprob))

    @property
    def tokens(self) -> str:
        """Of the token ids (u4, little-endian): equal where the texts are."""
        return self._tokens.hexdigest()[:DIGITS]

    @property
    def exact(self) -> str:
        """Of ids and log-probabilities (u4 and f8 in turn): equal where every number is, to the last bit."""
        return self._exact.hexdigest()[:DIGITS]
