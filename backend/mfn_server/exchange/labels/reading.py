"""From the bytes of a file to its numbered lines. What is wrong with one is told with its number, and what to do."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import ValidationError

from mfn_core.errors import ConfigError
from mfn_server.exchange.labels.lines import LINE, CollectionLine, EndLine, EventLine, HeaderLine
from mfn_server.exchange.labels.report import Why

LONGEST = 1_000_000
"""Bytes of a line: a comment has 5,000 characters, a collection some thousand features."""


class Numbered(NamedTuple):
    """A line that can be read; or what is wrong with it, why it is left out, or that it says what is here already."""

    number: int
    line: HeaderLine | EventLine | CollectionLine | EndLine | None
    problem: str = ""
    hint: str = ""
    why: Why | None = None
    already: bool = False


@contextmanager
def opened_file(path: Path) -> Iterator[IO[bytes]]:
    """A file, plain or compressed by gzip. Raises ConfigError."""
    try:
        with path.open("rb") as begin:
            compressed = begin.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if compressed else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise ConfigError(f"{path} is damaged; make it again") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def read_lines(file: IO[bytes]) -> Iterator[Numbered]:
    """The lines of a file of labels, blank ones left out."""
    number = 0
    while text := file.readline(LONGEST + 1):
        number += 1
        if len(text) > LONGEST:
            while text and not text.endswith(b"\n"):
                text = file.readline(LONGEST)
            yield Numbered(
                number, None, f"is longer than {LONGEST:,} bytes", "no export writes such a line; leave it out"
            )
        elif text.strip():
            yield _numbered(number, text)


def _numbered(number: int, text: bytes) -> Numbered:
    try:
        return Numbered(number, LINE.validate_json(text, strict=False))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return Numbered(number, None, "is no JSON", "is the file cut off, or was it edited? Export it again")
        where = ".".join(str(part) for part in first["loc"][1:])
        said = first["msg"].removeprefix("Value error, ")
        return Numbered(number, None, f"{where}: {said}" if where else said, "correct it, or leave the line out")


def is_labels_file(begin: bytes) -> bool:
    """Whether a file that begins so is one of labels, rather than a table."""
    try:
        first = json.loads(begin.split(b"\n", 1)[0])
    except ValueError:
        return begin.lstrip()[:1] == b"{"
    return isinstance(first, dict)
