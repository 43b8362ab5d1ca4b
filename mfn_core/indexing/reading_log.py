"""How far the reading of a corpus has got, in a file beside the token ids: what a resumed run need not read again.

Its first line holds the pins of datasets (see `mfn_core.data.pieces`). Each other says with which document a section of
a piece begins; piece number n, where there are n pieces, is the end. A line that is damaged ends the file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

FILE = "reading.jsonl"


class ReadingLog:
    """Where sections of pieces begin.

    Args:
        folder: where the file lies or will lie; without one, all of it is forgotten with the object.

    Attributes:
        pins: as `Corpus.pins_of` gave them; None before `begin`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.pins: dict[str, Any] | None = None
        self._first: dict[tuple[int, int], int] = {}
        self._path = None if folder is None else folder / FILE
        self._file: IO[str] | None = None
        if self._path is not None and self._path.exists():
            self._take_up(self._path.read_bytes())

    def begin(self, pins: dict[str, Any]) -> None:
        """Keeps pins, unless they are those that are there; other ones belong to another corpus."""
        if self.pins == pins:
            return
        self.pins, self._first = pins, {}
        if self._path is not None:
            self._path.write_text(json.dumps(pins) + "\n")

    def clear(self) -> None:
        """Forgets everything."""
        self.pins, self._first = None, {}
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def note(self, piece: int, section: int, first: int) -> None:
        """A section of a piece begins with the document of that ordinal."""
        if self._first.get((piece, section)) == first:
            return
        self._first[piece, section] = first
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps([piece, section, first]) + "\n")

    def first_of(self, piece: int) -> int | None:
        """Ordinal of the first document of a piece, which is one past the last of the piece before; None if unknown."""
        return self._first.get((piece, 0))

    def last_section(self, piece: int, n_known: int) -> tuple[int, int]:
        """The last section of a piece that begins with one of the first `n_known` documents, or right after them.

        Returns:
            Its number, and how many documents of the piece come before it: 0 and 0 where nothing is known.
        """
        begin = self._first.get((piece, 0))
        if begin is None:
            return 0, 0
        known = [(s, first) for (p, s), first in self._first.items() if p == piece and first <= n_known]
        section, first = max(known, default=(0, begin))
        return section, first - begin

    def _take_up(self, data: bytes) -> None:
        good = 0
        for line in data.splitlines(keepends=True):
            try:
                entry = json.loads(line)
                if not line.endswith(b"\n"):
                    break
                if self.pins is None:
                    self.pins = dict(entry)
                else:
                    piece, section, first = map(int, entry)
                    self._first[piece, section] = first
            except (ValueError, TypeError):
                break
            good += len(line)
        assert self._path is not None
        os.truncate(self._path, good)
