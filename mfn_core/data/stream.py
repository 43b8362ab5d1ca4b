"""Rows of tokens made while they are needed, from texts that are never held all at once; taken up where it stood.

Documents are drawn in shares, each source in its own order, and packed as `mix` packs them; rows leave through a buffer
that mixes them. Nothing is drawn by chance: the seed and the number of a row decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from mfn_core.data.mix import Source, TokenRows, encode

BATCH = 16  # documents tokenised at once; they follow each other until the buffer mixes them


@dataclass
class Position:
    """Where a source stands.

    Attributes:
        epoch, number: documents before this one, whole rounds and those of the present one.
        documents, tokens, characters: what was taken out of it so far.
    """

    epoch: int = 0
    number: int = 0
    documents: int = 0
    tokens: int = 0
    characters: int = 0


class RowStream:
    """Endless rows [context], each begun by the token that begins a document."""

    def __init__(
        self,
        sources: list[Source],
        tokenizer: PreTrainedTokenizerBase,
        context: int,
        seed: int,
        max_characters: int,
        start: int,
        buffer: int,
    ) -> None:
        """Stands at the beginning.

        Args:
            sources: with their shares.
            tokenizer: of the model.
            context: tokens in a row.
            seed: fixes everything.
            max_characters: a longer document is cut there.
            start: the token that begins a document, and every row.
            buffer: rows that wait, among which and the next one it is chosen. 0 for the order in which they are read.
        """
        self.sources, self.tokenizer, self.context, self.seed = sources, tokenizer, context, seed
        self.max_characters, self.start, self.size = max_characters, start, buffer
        self.given = 0
        self.positions = {source.name: Position() for source in sources}
        self._readers: dict[str, Iterator[tuple[int, int, str]]] = {}
        self._left: TokenRows = encode(tokenizer, [""], start)[0][:0]
        self._buffer: list[TokenRows] = []

    def take(self, count: int) -> TokenRows:
        """[count, context], the next rows."""
        rows: TokenRows = np.stack([self._next() for _ in range(count)])
        return rows

    def _next(self) -> TokenRows:
        while len(self._buffer) <= self.size:
            self._read()
        chosen = scatter(self.seed, self.given) % (self.size + 1)
        self.given += 1
        row, self._buffer[chosen] = self._buffer[chosen], self._buffer[self.size]
        del self._buffer[self.size]
        return row

    def _read(self) -> None:
        """Takes documents from the source that is furthest behind its share, and cuts what rows they give."""
        source = min(self.sources, key=lambda s: self.positions[s.name].tokens / s.share)
        position = self.positions[source.name]
        if source.name not in self._readers:
            self._readers[source.name] = source.documents_from(
                self.seed, self.max_characters, position.epoch, position.number
            )
        drawn = list(islice(self._readers[source.name], BATCH))
        pieces = encode(self.tokenizer, [text for _, _, text in drawn], self.start)
        position.epoch, position.number = drawn[-1][0], drawn[-1][1] + 1
        position.documents += len(drawn)
        position.tokens += sum(len(piece) for piece in pieces)
        position.characters += sum(len(text) for _, _, text in drawn)
        stream, place = np.concatenate([self._left, *pieces]), 0
        while True:
            begins = int(place < len(stream) and stream[place] == self.start)
            end = place + self.context - 1 + begins
            if end > len(stream):
                break
            row = np.full(self.context, self.start, dtype=stream.dtype)
            row[1:] = stream[place + begins : end]
            self._buffer.append(row)
            place = end
        self._left = stream[place:]

    def recipe(self) -> dict[str, Any]:
        """Per source its share, and the documents, tokens, characters and epochs read so far."""
        total = sum(source.share for source in self.sources)
        return {
            source.name: {
                "share": source.share / total,
                "corpus": source.label,
                "documents": position.documents,
                "tokens": position.tokens,
                "characters": position.characters,
                "epochs": position.epoch + 1,
            }
            for source, position in ((source, self.positions[source.name]) for source in self.sources)
        }

    def state(self) -> tuple[dict[str, Any], dict[str, TokenRows]]:
        """Where it stands: plain data, and what was read but not yet given out."""
        plain = {"given": self.given, "positions": {name: asdict(p) for name, p in self.positions.items()}}
        empty: TokenRows = np.empty((0, self.context), dtype=self._left.dtype)
        return plain, {"left": self._left, "buffer": np.stack(self._buffer) if self._buffer else empty}

    def load(self, plain: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave. What was read before is passed over, in the time that reading takes."""
        self.given = plain["given"]
        self.positions = {name: Position(**position) for name, position in plain["positions"].items()}
        self._readers = {}
        self._left = np.asarray(arrays["left"], dtype=self._left.dtype)
        self._buffer = list(np.asarray(arrays["buffer"], dtype=self._left.dtype))


def scatter(seed: int, number: int) -> int:
    """A number below 2⁶⁴ that looks as if drawn by chance (SplitMix64)."""
    mask = 2**64 - 1
    z = (seed * 0xD1342543DE82EF95 + (number + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)
