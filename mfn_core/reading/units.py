"""The tokens of a text, and what is read as one.

A byte-level vocabulary cuts many characters into several tokens, none of which is a character. In running text such
neighbours are joined back into what they spell.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, overload

from transformers import PreTrainedTokenizerBase

from mfn_core.tokens import display, token_bytes

_LONGEST = 6  # tokens that one unit may be made of: a character has at most four bytes, and may end a token


class Unit(NamedTuple):
    """What is read as one.

    Attributes:
        text: as it is to be shown.
        start, stop: the tokens it is made of, [start, stop).
        kind: `text`; `special`, a special token's name; `bytes`, which make no character (shown as ⟨e2 96⟩), or an id
            that stands for no text.
    """

    text: str
    start: int
    stop: int
    kind: str


@dataclass(frozen=True)
class Tokens(Sequence[str]):
    """A text as its tokens: a sequence of their display texts.

    A token that is not whole characters shows its bytes, as ⟨e2 96⟩.

    Attributes:
        ids: T token ids.
        pieces: the bytes of each; empty for an id that stands for no text.
        special: whether each is a special token, whose bytes are its name.
    """

    ids: tuple[int, ...]
    pieces: tuple[bytes, ...]
    special: tuple[bool, ...]

    @classmethod
    def of(cls, ids: Sequence[int], tokenizer: PreTrainedTokenizerBase | None) -> Tokens:
        """The text that token ids stand for. Without a tokenizer there are ids alone."""
        if tokenizer is None:
            return cls(tuple(ids), (b"",) * len(ids), (False,) * len(ids))
        names = set(tokenizer.all_special_ids)
        return cls(tuple(ids), tuple(token_bytes(tokenizer, ids)), tuple(number in names for number in ids))

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        """Display text of a token, or of several."""
        return self._shown[index]

    @property
    def text(self) -> str:
        """The text without its special tokens, broken bytes as U+FFFD."""
        kept = (piece for piece, special in zip(self.pieces, self.special, strict=True) if not special)
        return b"".join(kept).decode(errors="replace")

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The tokens, joined where only several make whole characters; every token is in exactly one."""
        units = []
        start = 0
        while start < len(self):
            units.append(self._unit(start))
            start = units[-1].stop
        return tuple(units)

    def unit_at(self, token: int) -> Unit:
        """The unit that a token is part of."""
        return next(unit for unit in self.units if unit.stop > token)

    @cached_property
    def _shown(self) -> tuple[str, ...]:
        return tuple(
            display(piece) if piece else f"⟨#{number}⟩" for number, piece in zip(self.ids, self.pieces, strict=True)
        )

    def _unit(self, start: int) -> Unit:
        if self.special[start]:
            return Unit(self._shown[start], start, start + 1, "special")
        raw = b""
        for stop in range(start + 1, min(start + _LONGEST, len(self)) + 1):
            if not self.pieces[stop - 1]:
                break
            raw += self.pieces[stop - 1]
            with suppress(UnicodeDecodeError):
                return Unit(raw.decode(), start, stop, "text")
        return Unit(self._shown[start], start, start + 1, "bytes")
