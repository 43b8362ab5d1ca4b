"""Labelled text from parquet files, told by the names of their columns.

| columns | what is labelled |
|---|---|
| `text`, `label` | the whole text |
| `text`, `language` | the whole text, in pieces |
| `name`, `entity_type` | the name, which is the text |
| `words`, `upos`, `text` if there | each word, with its part of speech |
| `text`, `pronoun` | each word that is in the column `pronoun` anywhere, wherever it stands |
| `good`, `bad`, `phenomenon` if there | the sentence, as acceptable or not |

A concept is called FILE/LABEL, after the file's name without its ending. Of two labels that exclude each other one is a
concept, the later in alphabetical order: the other would say the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mfn_core.errors import CorpusError
from mfn_core.evaluation.labelled import LabelledText, Span
from mfn_core.evaluation.sources import MOST_PIECES, PIECE

MOST_ROWS = 3000  # of a file, drawn by lot
MOST_CONCEPTS = 12  # of a file: those with most instances
Row = Mapping[str, Any]


@dataclass(frozen=True)
class ConceptFile:
    """What a file holds.

    Attributes:
        texts: with what is known of them.
        whole: kinds whose units are whole texts; of others they are tokens.
    """

    texts: list[LabelledText]
    whole: frozenset[str]


def read_concepts(where: str | Path, seed: int = 0) -> ConceptFile:
    """Labelled texts of a parquet file, or of all those of a folder whose columns are known.

    Args:
        where: file or folder.
        seed: of the rows that are drawn where a file has more than `MOST_ROWS`.

    Raises:
        CorpusError: there is no such file, it cannot be read, or no columns are known.
    """
    path = Path(where)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    found = [read for file in files if (read := _read(file, seed, alone=not path.is_dir())) is not None]
    if not found:
        raise CorpusError(f"{path} holds no parquet file with columns that are known: {_known()}")
    return ConceptFile(
        [text for one in found for text in one.texts], frozenset(kind for one in found for kind in one.whole)
    )


def _read(path: Path, seed: int, alone: bool) -> ConceptFile | None:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise CorpusError(f"{path} needs pyarrow: pip install 'mfn-studio[parquet]'") from error
    try:
        columns = set(parquet.read_schema(path).names)
        of = next((columns_of for columns_of in READERS if columns_of <= columns), None)
        if of is None:
            if alone:
                raise CorpusError(f"{path} has the columns {', '.join(sorted(columns))}; known are {_known()}")
            return None
        wanted = sorted(columns & (of | {"text", "phenomenon"}))
        rows = parquet.read_table(path, columns=wanted).to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    drawn = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]
    kept = [rows[n] for n in sorted(drawn)]
    reader, whole = READERS[of]
    try:
        texts = [text for text in reader(path.stem, kept) if text.text.strip()]
    except (TypeError, AttributeError, ValueError) as error:
        raise CorpusError(f"{path} is not as its columns {' and '.join(sorted(of))} promise: {error}") from error
    texts = _most_frequent(texts)
    return ConceptFile(texts, frozenset(kind for text in texts for kind in text.kinds) if whole else frozenset())


def _known() -> str:
    return "; ".join(" and ".join(sorted(columns)) for columns in READERS)


def _most_frequent(texts: Sequence[LabelledText]) -> list[LabelledText]:
    """With the concepts that have most instances, and of two that exclude each other the later alone."""
    counts = Counter(name for text in texts for name in (*text.concepts, *(span.concept for span in text.spans)))
    by_kind: dict[str, list[str]] = {}
    for name in sorted(counts):
        by_kind.setdefault(name.split("/")[0], []).append(name)
    of_whole = {name for text in texts for name in text.concepts}
    found = [
        name
        for names in by_kind.values()
        for name in (names[1:] if len(names) == 2 and names[0] in of_whole else names)
    ]
    kept = set(sorted(found, key=lambda name: (-counts[name], name))[:MOST_CONCEPTS])
    kinds = frozenset(name.split("/")[0] for name in kept)
    return [
        replace(
            text,
            spans=tuple(span for span in text.spans if span.concept in kept),
            concepts=tuple(name for name in text.concepts if name in kept),
        )
        for text in texts
        if text.kinds & kinds
    ]


def _labelled(column: str, texts: str = "text") -> Callable[[str, Sequence[Row]], Iterator[LabelledText]]:
    def read(kind: str, rows: Sequence[Row]) -> Iterator[LabelledText]:
        for number, row in enumerate(rows):
            yield _whole(f"{kind}/{number}", row[texts], kind, row[column])

    return read


def _whole(name: str, text: str, kind: str, label: Any, group: str = "") -> LabelledText:
    return LabelledText(name, text, concepts=(f"{kind}/{_name(label)}",), kinds=frozenset({kind}), group=group)


def _name(label: Any) -> str:
    return str(label).replace("/", "-")


def _languages(kind: str, rows: Sequence[Row]) -> Iterator[LabelledText]:
    """In pieces, so that a language of which there is one text is in both halves."""
    for number, row in enumerate(rows):
        for at in range(0, min(len(row["text"]), PIECE * MOST_PIECES), PIECE):
            yield _whole(f"{kind}/{number}/{at}", row["text"][at : at + PIECE], kind, row["language"])


def _words(kind: str, rows: Sequence[Row]) -> Iterator[LabelledText]:
    for number, row in enumerate(rows):
        text = row.get("text") or " ".join(row["words"])
        spans, at = [], 0
        for word, tag in zip(row["words"], row["upos"], strict=True):
            start = text.find(word, at)
            if start < 0:
                break
            at = start + len(word)
            if word:
                spans.append(Span(start, at, f"{kind}/{_name(tag)}"))
        else:  # a text that is not its words is left out
            yield LabelledText(f"{kind}/{number}", text, tuple(spans), kinds=frozenset({kind}))


def _pronouns(kind: str, rows: Sequence[Row]) -> Iterator[LabelledText]:
    words = sorted({str(row["pronoun"]).lower() for row in rows})
    found = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, words)) + r")(?!\w)", re.IGNORECASE)
    for number, row in enumerate(rows):
        spans = [Span(*match.span(), f"{kind}/{_name(match[0].lower())}") for match in found.finditer(row["text"])]
        yield LabelledText(f"{kind}/{number}", row["text"], tuple(spans), kinds=frozenset({kind}))


def _pairs(kind: str, rows: Sequence[Row]) -> Iterator[LabelledText]:
    """Both sentences of a pair in one half: they differ in little but their label."""
    for number, row in enumerate(rows):
        own = f"{kind}-{_name(row['phenomenon'])}" if row.get("phenomenon") else kind
        for label in ("bad", "good"):
            name = f"{own}/{number}"
            yield _whole(f"{name}/{label}", row[label], own, label, group=name)


READERS: dict[frozenset[str], tuple[Callable[[str, Sequence[Row]], Iterator[LabelledText]], bool]] = {
    frozenset({"words", "upos"}): (_words, False),
    frozenset({"text", "pronoun"}): (_pronouns, False),
    frozenset({"good", "bad"}): (_pairs, True),
    frozenset({"text", "label"}): (_labelled("label"), True),
    frozenset({"text", "language"}): (_languages, True),
    frozenset({"name", "entity_type"}): (_labelled("entity_type", "name"), True),
}
"""By the columns a file needs: how its rows are read, and whether whole texts are the units. The first that fits."""
