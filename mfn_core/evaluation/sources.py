"""Labelled text that needs no hand: generated formats, and scripts, which can be told from the characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from mfn_core.data.corpus import read_corpus
from mfn_core.data.structured import KINDS, structured_documents
from mfn_core.evaluation.labelled import LabelledText, Span
from mfn_core.scripts import script_of

SEED = 20_000  # far from the seeds with which training text is generated
PIECE = 240  # characters
MOST_PIECES = 8  # of one document


def formats(per_kind: int, seed: int = SEED) -> Iterator[LabelledText]:
    """So many generated documents of each kind that training text has, too; `format/KIND` is their concept."""
    counts: dict[str, int] = {}
    documents = structured_documents(seed)
    while not counts or min(counts.values()) < per_kind or len(counts) < len(KINDS):
        document = next(documents)
        kind = str(document.meta["kind"])
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= per_kind:
            yield LabelledText(f"format/{kind}/{counts[kind]}", document.text, (), (f"format/{kind}",))


def unlabelled(corpus: str | Path) -> Iterator[LabelledText]:
    """Pieces of a corpus's documents, of which nothing is known but what can be told from the characters.

    Pieces, so that a script in which there is but one document is in both halves.

    Raises:
        CorpusError: it cannot be read.
    """
    for number, document in enumerate(read_corpus(corpus)):
        for at in range(0, min(len(document.text), PIECE * MOST_PIECES), PIECE):
            name, text = f"{Path(corpus).name}/{number}/{at}", document.text[at : at + PIECE]
            if text.strip():
                yield LabelledText(name, text, kinds=frozenset({"script"}))


def with_scripts(texts: Iterable[LabelledText]) -> Iterator[LabelledText]:
    """The same texts, each run of letters of a script other than Latin marked as `script/NAME`."""
    for text in texts:
        yield replace(text, spans=tuple(sorted((*text.spans, *_scripts(text.text)), key=lambda s: (s.start, s.stop))))


def _scripts(text: str) -> Iterator[Span]:
    at = 0
    for script, run in groupby(text, script_of):
        length = sum(1 for _ in run)
        if script is not None:
            yield Span(at, at + length, f"script/{script}")
        at += length
