"""A mix of sources, drawn in shares and packed into rows of tokens, with a recipe that says what went in."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from mfn_core.data.corpus import read_corpus
from mfn_core.data.structured import structured_documents

STRUCTURED = "structured"
BATCH = 512  # documents tokenised at once


@dataclass(frozen=True)
class Source:
    """One source of text.

    Attributes:
        name: `structured` is generated; others are read.
        share: of the tokens, relative to the other sources'.
        corpus: as `read_corpus` takes it; not used by the generated source.
    """

    name: str
    share: float
    corpus: str = ""

    def documents(self, seed: int, max_characters: int) -> Iterator[tuple[int, str]]:
        """Endless (epoch, text) in a random order that the seed fixes; a read source starts over when it is used up."""
        if self.name == STRUCTURED:
            for document in structured_documents(seed):
                yield 0, document.text
            return
        texts = [document.text[:max_characters] for document in read_corpus(self.corpus)]
        rng = random.Random(seed)
        epoch = 0
        while True:
            rng.shuffle(texts)
            for text in texts:
                yield epoch, text
            epoch += 1


@dataclass(frozen=True)
class Packed:
    """Tokens in rows, and how they came about.

    Attributes:
        rows: uint16 [rows, context]; documents follow one another, each begun by the tokenizer's first token.
        recipe: per source its share, documents, tokens, characters and epochs.
    """

    rows: NDArray[np.uint16]
    recipe: dict[str, Any]


def sample_text(sources: list[Source], characters: int, seed: int, max_characters: int) -> list[str]:
    """Texts of all sources in their shares, about so many characters in all: what a vocabulary is fitted to."""
    total = sum(source.share for source in sources)
    out: list[str] = []
    for source in sources:
        left = characters * source.share / total
        for _, text in source.documents(seed, max_characters):
            out.append(text)
            left -= len(text)
            if left <= 0:
                break
    return out


def pack(
    sources: list[Source],
    tokenizer: PreTrainedTokenizerBase,
    n_tokens: int,
    context: int,
    seed: int,
    max_characters: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Packed:
    """Draws documents, shuffles them across sources, and packs them.

    Args:
        sources: with their shares.
        tokenizer: fewer than 65,536 tokens; token 0 begins a document.
        n_tokens: how many are needed; rounded down to whole rows.
        context: tokens in a row.
        seed: fixes everything.
        max_characters: a longer document is cut there.
        progress: called with (source, tokens so far, tokens wanted).
    """
    total = sum(source.share for source in sources)
    pieces: list[NDArray[np.uint16]] = []
    recipe: dict[str, Any] = {}
    for source in sources:
        wanted = int(n_tokens * source.share / total) + context
        count = documents = characters = epoch = 0
        drawn = source.documents(seed, max_characters)
        while count < wanted:
            batch = list(islice(drawn, BATCH))
            encoded = tokenizer([text for _, text in batch], add_special_tokens=False, split_special_tokens=True)
            for (number, text), ids in zip(batch, encoded["input_ids"], strict=True):
                if count >= wanted:
                    break
                piece = np.array([0, *ids], dtype=np.uint16)[: wanted - count]
                pieces.append(piece)
                count += len(piece)
                documents += 1
                epoch = number
                characters += len(text)
            if progress is not None:
                progress(source.name, count, wanted)
        recipe[source.name] = {
            "share": source.share / total,
            "corpus": Path(source.corpus).name,
            "documents": documents,
            "tokens": count,
            "characters": characters,
            "epochs": epoch + 1,
        }
    random.Random(seed).shuffle(pieces)
    stream = np.concatenate(pieces)
    n_rows = n_tokens // context
    return Packed(stream[: n_rows * context].reshape(n_rows, context), recipe)
