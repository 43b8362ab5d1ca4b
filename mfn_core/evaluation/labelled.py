"""Text of which is known what it is about, or what its parts are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from mfn_core.data.corpus import Document, read_corpus
from mfn_core.errors import CorpusError

EVERYWHERE = frozenset({"format", "script"})  # kinds that are known of any text: it is prose, and has its characters


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` up to `stop` of a text are an instance of `concept`, named KIND/NAME."""

    start: int
    stop: int
    concept: str


@dataclass(frozen=True)
class LabelledText:
    """A text with what is known of it.

    Attributes:
        name: tells it from all others; decides which half it belongs to, where no group does.
        text: never empty.
        spans: concepts of its parts.
        concepts: of the text as a whole, named KIND/NAME.
        kinds: of which kinds of concepts all instances in it are marked. Of others nothing is known.
        group: of texts that belong to one half together; empty where it belongs to none.
    """

    name: str
    text: str
    spans: tuple[Span, ...] = ()
    concepts: tuple[str, ...] = ()
    kinds: frozenset[str] = EVERYWHERE
    group: str = ""

    @property
    def scored(self) -> bool:
        """Whether it is in the half on which is scored what was chosen on the other. Follows from its names alone."""
        return hashlib.blake2b((self.group or self.name).encode(), digest_size=1).digest()[0] % 2 == 1


def read_labelled(path: str | Path) -> Iterator[LabelledText]:
    """Labelled texts of a file or a folder of JSON lines.

    A line holds `id`, `text`, `kind`, and either `spans`, [[start, stop, name], …] in characters, or `concept`, a name
    for the whole text. All instances of that kind have to be marked.

    Raises:
        CorpusError: a line that is none of these, and why.
    """
    for document in read_corpus(path):
        yield _labelled(document)


def _labelled(document: Document) -> LabelledText:
    meta = document.meta
    name, kind, whole = meta.get("id"), meta.get("kind"), meta.get("concept")
    for key, value in (("an id", name), ("a kind", kind)):
        if not isinstance(value, str) or not value:
            raise CorpusError(f"a labelled text needs {key}: {document.text[:60]!r}")
    if whole is not None and not isinstance(whole, str):
        raise CorpusError(f"{name}: concept must be a string, not {whole!r}")
    return LabelledText(
        str(name),
        document.text,
        tuple(_span(document.text, entry, str(name), str(kind)) for entry in meta.get("spans", [])),
        () if whole is None else (f"{kind}/{whole}",),
        EVERYWHERE | {str(kind)},
    )


def _span(text: str, entry: Any, name: str, kind: str) -> Span:
    match entry:
        case [int(start), int(stop), str(concept)] if 0 <= start < stop <= len(text):
            return Span(start, stop, f"{kind}/{concept}")
    raise CorpusError(f"{name}: a span is [start, stop, name] inside of the text, not {entry!r}")


@dataclass(frozen=True)
class LabelledTokens:
    """A labelled text as the model reads it.

    Attributes:
        ids: int64 [T], beginning with the token that begins a document.
        labels: int8 [T, C]: 1 where a token is an instance of a concept, 0 where it is not, −1 where that is unknown.
            A concept of the whole text marks all its tokens but the first.
        scored: see `LabelledText`.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int8]
    scored: bool


class Padded(NamedTuple):
    """Some labelled texts as one batch.

    Attributes:
        ids: int64 [B, T].
        keep: bool [B, T], all but padding and each text's first token.
        labels: int8 [B, T, C], 1, 0 or −1 as in `LabelledTokens`; 0 at padding.
    """

    ids: Tensor
    keep: Tensor
    labels: Tensor


def padded(texts: Iterable[LabelledTokens], size: int, device: torch.device) -> Iterator[Padded]:
    """Batches of so many texts, those of like length together, padded behind."""
    order = sorted(texts, key=lambda text: len(text.ids))
    for at in range(0, len(order), size):
        group = order[at : at + size]
        length = max(len(text.ids) for text in group)
        ids = torch.zeros(len(group), length, dtype=torch.int64)
        keep = torch.zeros(len(group), length, dtype=torch.bool)
        labels = torch.zeros(len(group), length, group[0].labels.shape[1], dtype=torch.int8)
        for row, text in enumerate(group):
            ids[row, : len(text.ids)] = torch.from_numpy(text.ids)
            keep[row, 1 : len(text.ids)] = True
            labels[row, : len(text.ids)] = torch.from_numpy(text.labels)
        yield Padded(ids.to(device), keep.to(device), labels.to(device))


def concepts_of(texts: Iterable[LabelledText], fewest: int = 1) -> list[str]:
    """All concepts that occur in at least so many texts, in alphabetical order."""
    found = Counter(name for text in texts for name in {*text.concepts, *(span.concept for span in text.spans)})
    return sorted(name for name, count in found.items() if count >= fewest)


def tokenise(
    text: LabelledText, concepts: Sequence[str], tokenizer: PreTrainedTokenizerBase, start: int | None, longest: int
) -> LabelledTokens:
    """A labelled text in tokens, cut to `longest`. A token that shares a character other than a space with a span has
    the span's concept.

    Args:
        text: the text.
        concepts: whose number is a column of `labels`.
        tokenizer: a fast one.
        start: token put at the beginning, or None.
        longest: most tokens, that one included.
    """
    encoded = tokenizer(text.text, return_offsets_mapping=True, add_special_tokens=False, split_special_tokens=True)
    begin = [] if start is None else [start]
    ids = np.asarray([*begin, *encoded["input_ids"]], dtype=np.int64)[:longest]
    offsets = [*((0, 0) for _ in begin), *encoded["offset_mapping"]][:longest]
    column = {concept: number for number, concept in enumerate(concepts)}
    labels = np.zeros((len(ids), len(concepts)), dtype=np.int8)
    labels[:, [concept.split("/")[0] not in text.kinds for concept in concepts]] = -1
    for concept in column.keys() & set(text.concepts):
        labels[len(begin) :, column[concept]] = 1
    visible = np.asarray([not character.isspace() for character in text.text], dtype=np.bool_)
    for span in (span for span in text.spans if span.concept in column):
        for place, (first, last) in enumerate(offsets):
            if visible[max(first, span.start) : min(last, span.stop)].any():
                labels[place, column[span.concept]] = 1
    return LabelledTokens(ids, labels, text.scored)
