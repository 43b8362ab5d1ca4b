"""Text of any shape made ready for a run: cut into pieces, held-out text set apart, nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from mfn_core.data.corpus import Document, read_corpus
from mfn_core.errors import ConfigError, CorpusError

TRAIN, HELD_OUT, ABOUT = "train.jsonl", "held-out.jsonl", "about.json"
EVERY = 10  # of so many pieces one is held out, until there are enough


def split_text(
    corpora: Sequence[str],
    held_out: Sequence[str],
    folder: Path,
    characters: int,
    held_out_characters: int,
    longest: int,
) -> None:
    """Writes `train.jsonl` and `held-out.jsonl`, unless they are there.

    Corpora are read in turn, a document of each, until there is enough. Documents are cut into pieces at line ends. A
    piece that occurs twice is used once, so that no held-out piece is trained on.

    Args:
        corpora: as `read_corpus` takes them.
        held_out: text to hold out; where there is none, it is taken out of the corpora.
        folder: receives the files.
        characters: how much training text is enough.
        held_out_characters: how much held-out text is enough.
        longest: characters in a piece.

    Raises:
        CorpusError: a corpus cannot be read, or there is too little text.
        ConfigError: the folder holds other text.
    """
    about = json.dumps({"data": list(corpora), "held_out": list(held_out), "characters": characters}, indent=2) + "\n"
    if (folder / ABOUT).exists():
        if (folder / ABOUT).read_text(encoding="utf-8") != about:
            raise ConfigError(f"{folder} holds the text of another run: choose another folder, or delete it")
        return
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[bytes] = set()
    train_left, held_left = characters, held_out_characters
    with (
        (folder / TRAIN).open("w", encoding="utf-8") as train,
        (folder / HELD_OUT).open("w", encoding="utf-8") as apart,
    ):
        for piece in _new_pieces(held_out, longest, seen):
            held_left -= _write(apart, piece)
            if held_left <= 0:
                break
        for number, piece in enumerate(_new_pieces(corpora, longest, seen)):
            if not held_out and held_left > 0 and number % EVERY == 0:
                held_left -= _write(apart, piece)
            else:
                train_left -= _write(train, piece)
            if train_left <= 0:
                break
    if held_left == held_out_characters or train_left == characters:
        raise CorpusError(f"there is too little text in {', '.join([*corpora, *held_out])}")
    (folder / ABOUT).write_text(about, encoding="utf-8")


def pieces(text: str, longest: int) -> Iterator[str]:
    """A text in pieces of at most so many characters, cut behind a line end or, if need be, a space."""
    while len(text) > longest:
        end = text.rfind("\n", 0, longest) + 1 or text.rfind(" ", 0, longest) + 1 or longest
        yield text[:end]
        text = text[end:]
    yield text


def _new_pieces(corpora: Sequence[str], longest: int, seen: set[bytes]) -> Iterator[str]:
    """The pieces of all corpora that were not seen before; now they are."""
    for document in _in_turn([read_corpus(corpus) for corpus in corpora]):
        for piece in pieces(document.text, longest):
            mark = hashlib.blake2b(piece.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()
            if piece.strip() and mark not in seen:
                seen.add(mark)
                yield piece


def _in_turn(readers: list[Iterator[Document]]) -> Iterator[Document]:
    while readers:
        for reader in list(readers):
            document = next(islice(reader, 1), None)
            if document is None:
                readers.remove(reader)
            else:
                yield document


def _write(file: IO[str], piece: str) -> int:
    file.write(json.dumps({"text": piece}) + "\n")
    return len(piece)
