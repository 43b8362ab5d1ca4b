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

from mfn_core.data.corpus import Document, read_corpus
from mfn_core.data.duplicates import Deduplicated, SeenTexts
from mfn_core.data.structured import structured_documents
from mfn_core.errors import CorpusError

STRUCTURED = "structured"
BATCH = 512  # documents tokenised at once
GENERATED = 2000  # documents in an epoch of the generated source, where it is streamed
EPOCH_SEEDS = 7_919  # apart, so that no epoch of one seed is that of a seed nearby

TokenRows = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Source:
    """One source of text.

    Attributes:
        name: `structured` is generated; others are read.
        share: of the tokens, relative to the other sources'.
        corpus: as `read_corpus` takes it; not used by the generated source.
        streamed: whether it is read in its own order instead of being read whole and shuffled.
    """

    name: str
    share: float
    corpus: str = ""
    streamed: bool = False

    @property
    def label(self) -> str:
        """What a recipe calls its corpus: without the folder, which is this machine's."""
        return self.corpus if self.corpus.startswith("hf:") else Path(self.corpus).name

    def documents(self, seed: int, max_characters: int) -> Iterator[tuple[int, str]]:
        """Endless (epoch, text); a source that is used up starts over.

        In a random order that the seed fixes, unless streamed.

        Raises:
            CorpusError: it cannot be read, or holds no text.
        """
        if self.streamed:
            for epoch, _, text in self.documents_from(seed, max_characters):
                yield epoch, text
        if self.name == STRUCTURED:
            for document in structured_documents(seed):
                yield 0, document.text
        texts = [document.text[:max_characters] for document in read_corpus(self.corpus)]
        self._require(texts)
        rng = random.Random(seed)
        epoch = 0
        while True:
            rng.shuffle(texts)
            for text in texts:
                yield epoch, text
            epoch += 1

    def documents_from(
        self, seed: int, max_characters: int, epoch: int = 0, number: int = 0
    ) -> Iterator[tuple[int, int, str]]:
        """Endless (epoch, number in it, text) from a certain document on, in the source's own order.

        The generated source has epochs of its own, each from another seed.

        Raises:
            CorpusError: it cannot be read, or holds no text.
        """
        while True:
            if self.name == STRUCTURED:
                documents: Iterator[Document] = islice(structured_documents(seed + EPOCH_SEEDS * epoch), GENERATED)
            else:
                documents = read_corpus(self.corpus)
            found = 0
            for found, document in enumerate(documents, start=1):
                if found > number:
                    yield epoch, found - 1, document.text[:max_characters]
            self._require(found)
            epoch, number = epoch + 1, 0

    def _require(self, found: object) -> None:
        if not found:
            raise CorpusError(f"{self.corpus} holds no text")


@dataclass(frozen=True)
class Packed:
    """Tokens in rows, and how they came about.

    Attributes:
        rows: uint16 [rows, context], or uint32 where the vocabulary needs it. Each begins with the token that begins
            a document, and their order has nothing to do with the documents'.
        recipe: per source its share, documents, tokens, characters and epochs.
    """

    rows: TokenRows
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
    start: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
    seen: SeenTexts | None = None,
) -> Packed:
    """Draws documents, shuffles them across sources, packs them, and shuffles the rows.

    Rows of one document would otherwise follow each other, and a step would see little else than one long document.

    Args:
        sources: with their shares.
        tokenizer: of the model.
        n_tokens: how many are needed; rounded down to whole rows.
        context: tokens in a row.
        seed: fixes everything.
        max_characters: a longer document is cut there.
        start: the token that begins a document, and every row.
        progress: called with (source, tokens so far, tokens wanted).
        seen: leaves out copies of these texts and of each other, but for generated ones; takes in what is drawn.

    Raises:
        CorpusError: a source cannot be read, or nothing of it is left.
    """
    total = sum(source.share for source in sources)
    pieces: list[TokenRows] = []
    recipe: dict[str, Any] = {}
    for source in sources:
        wanted = int(n_tokens * source.share / total) + context
        count = documents = characters = epoch = 0
        drawn = source.documents(seed, max_characters)
        fresh = None if seen is None or source.name == STRUCTURED else Deduplicated(drawn, seen, source.label)
        texts = drawn if fresh is None else iter(fresh)
        while count < wanted:
            batch = list(islice(texts, BATCH))
            for (number, text), piece in zip(batch, encode(tokenizer, [t for _, t in batch], start), strict=True):
                if count >= wanted:
                    break
                pieces.append(piece[: wanted - count])
                count += len(pieces[-1])
                documents += 1
                epoch = number
                characters += len(text)
            if progress is not None:
                progress(source.name, count, wanted)
        recipe[source.name] = {
            "share": source.share / total,
            "corpus": source.label,
            "documents": documents,
            "tokens": count,
            "characters": characters,
            "epochs": epoch + 1,
            **({} if fresh is None else {"copies_left_out": fresh.dropped}),
        }
    random.Random(seed).shuffle(pieces)
    rows = cut(np.concatenate(pieces), n_tokens // context, context, start)
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    return Packed(rows[order], recipe)


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str], start: int) -> list[TokenRows]:
    """Token ids of each text, `start` before them. Names of special tokens within a text are text."""
    kind: type[np.unsignedinteger[Any]] = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)
    return [np.array([start, *ids], dtype=kind) for ids in encoded["input_ids"]]


def cut(stream: TokenRows, n_rows: int, context: int, start: int) -> TokenRows:
    """Rows [n_rows, context] from a stream of tokens, each begun by `start`, so that none begins in the midst of
    nothing: what a model keeps at the first position is always there.

    Args:
        stream: at least n_rows · context tokens.
        n_rows, context: the shape.
        start: the token that begins a document, and every row.
    """
    rows: TokenRows = np.full((n_rows, context), start, dtype=stream.dtype)
    place = 0
    for row in rows:
        begins = int(stream[place] == start)
        row[1:] = stream[place + begins : place + begins + context - 1]
        place += context - 1 + begins
    return rows
