"""`mfn labels score`: labels of a model, taken at their word, on held-out text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from sqlalchemy import Connection, select

from mfn_core.data.corpus import read_corpus
from mfn_core.errors import ConfigError, CorpusError
from mfn_core.evaluation.journal import Journal
from mfn_core.files import replace_file
from mfn_core.naming.executing import Executable, ReadText, read_label
from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import NamedText
from mfn_server.db.tables import Label, LabelEvent
from mfn_server.naming.corpus import IndexedModel, digest_of, digests_of, open_indexed
from mfn_server.naming.held_out import HeldOut, Place
from mfn_server.naming.reader_run import NOT_READ, ReaderOrder, ReadingJudge
from mfn_server.naming.run import concepts_of
from mfn_server.naming.scoring import Score, questions_of, score
from mfn_server.naming.suggesting import spelled_out
from mfn_server.progress import Tell

RESAMPLES = 2_000
PROGRAM = "program:"  # how ids of programs begin
NOT_EXECUTABLE = "holds nothing that can be carried out"


@dataclass(frozen=True)
class ScoreOrder:
    """Which labels are scored, on what.

    Attributes:
        model: folder of the bundle.
        database_url: where the labels are.
        corpus: held-out text; documents that the index was made of are left out of it.
        documents: at most so many.
        layers, features: as of a `SuggestOrder`.
        rules: files of rules that tell concepts, as suggestions were made with.
        seed: of the snippets.
        reader: a language model that says what labels expect; None where they are taken at their word.
        journal: where its answers are kept, so that a run that was broken off goes on.
    """

    model: Path
    database_url: str
    corpus: str
    documents: int = 2_000
    layers: frozenset[int] | None = None
    features: Sequence[tuple[int, int]] | None = None
    rules: Sequence[Path] = ()
    seed: int = 0
    reader: ReaderOrder | None = None
    journal: Path | None = None


@dataclass(frozen=True)
class ScoredLabel:
    """A label and what it scores; or why it has no score."""

    place: Place
    stream: int
    author: str
    text: str
    result: Score | str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        said = {"layer": self.place[0], "feature": self.place[1], "label": self.stream, "by": self.author}
        result = self.result
        return {**said, "text": self.text, **({"why": result} if isinstance(result, str) else result.to_json())}


@dataclass(frozen=True)
class Scored:
    """What came of it. `reader`: which language model was asked, tokens read and written by it now, and their cost."""

    labels: list[ScoredLabel]
    reader: dict[str, Any] | None


def run_score(order: ScoreOrder, tell: Tell) -> Scored:
    """Scores every label with words that stands.

    Raises:
        MFNError: what is wrong with model, index, text or what was asked for.
    """
    purse = order.reader.open() if order.reader is not None else None
    tell("reading the model", 0.0)
    with open_indexed(order.model, order.database_url) as known:
        known.check(order.features or ())
        with known.database.snapshot() as connection:
            labels = _labels(connection, known, order)
            seen = digests_of(connection, known.run_id)
        if not labels:
            raise ConfigError("there is no label to score")
        encoded = [
            np.array(known.model.encode_text(document.text), np.uint32)
            for document in read_corpus(order.corpus, limit=order.documents)
        ]
        documents = [ids for ids in encoded if digest_of(ids) not in seen]
        if not documents:
            left_out = f": all {len(encoded)} documents are in the index" if encoded else ""
            raise CorpusError(f"{order.corpus} holds no text that the index was not made of{left_out}")
        tell("reading the text with the model", 0.1)
        held_out = HeldOut.read(known.model, documents, {place for place, *_ in labels})
        lexicon = Lexicon.of(known.token_texts, concepts_of(order.rules))
        text = ReadText(NamedText(lexicon, documents))
        judge = None
        if purse is not None:
            journal = Journal(order.journal, ReadingJudge.settings(purse))
            judge = ReadingJudge(purse, journal, known.token_texts)
        found = []
        for done, (place, stream, author, words, explanation) in enumerate(labels):
            tell(f"layer {place[0]}, feature {place[1]}", 0.5 + 0.5 * done / len(labels))
            result: Score | str
            if judge is not None:
                asked = questions_of(held_out, place, order.seed)
                result = asked if isinstance(asked, str) else judge.score(held_out, words, asked)
            elif label := _executable(words, explanation, text):
                result = _result(label, held_out, place, text, order.seed)
            else:
                result = NOT_EXECUTABLE
            found.append(ScoredLabel(place, stream, author, words, result))
    return Scored(found, None if purse is None else purse.to_json())


def write_report(path: Path, order: ScoreOrder, scored: Scored) -> None:
    """All scores, as JSON. A file of that name is replaced once the new one is complete; the journal goes then."""
    report = {
        "kind": "behavioural-label-scores",
        "corpus": order.corpus if order.corpus.startswith("hf:") else Path(order.corpus).name,
        "seed": order.seed,
        "reader": scored.reader,
        "authors": summary(scored.labels),
        "labels": [each.to_json() for each in scored.labels],
    }
    written = json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n"
    replace_file(path, lambda file: file.write(written))
    if order.journal is not None:
        order.journal.unlink(missing_ok=True)


def summary(found: Sequence[ScoredLabel]) -> dict[str, dict[str, Any]]:
    """Figures by the program that wrote the labels, and for those of all people together.

    `detection` is the mean over labels with a score, `with_others` the same with chance (0.5) for those that cannot be
    carried out, or about which a language model's answer could not be read: what the labels are good for together.
    Labels whose features fire too seldom are in neither.
    """
    by: dict[str, list[ScoredLabel]] = {}
    for each in found:
        by.setdefault(each.author, []).append(each)
    return {author: _of(each) for author, each in sorted(by.items())}


def table_of(summaries: Mapping[str, Mapping[str, Any]]) -> Table:
    """For people to read."""
    table = Table(box=None, header_style="bold")
    for name in ("labels by", "scored", "unscorable", "too seldom", "detection", "95 %", "fuzzing", "F1", "all"):
        table.add_column(name, justify="left" if name == "labels by" else "right")
    for author, of in summaries.items():
        low, high = of["interval"] or (None, None)
        table.add_row(
            author,
            *(str(of[name]) for name in ("scored", "not_executable", "too_seldom")),
            _figure(of["detection"]),
            "" if low is None else f"{low:.2f} to {high:.2f}",
            *(_figure(of[name]) for name in ("fuzzing", "f1", "with_others")),
        )
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _of(found: Sequence[ScoredLabel]) -> dict[str, Any]:
    scores = [each.result for each in found if isinstance(each.result, Score)]
    not_executable = sum(each.result in (NOT_EXECUTABLE, NOT_READ) for each in found)
    detection = np.array([each.detection for each in scores])
    interval = None
    if len(detection) > 1:
        drawn = np.random.default_rng(0).choice(detection, (RESAMPLES, len(detection))).mean(axis=1)
        interval = [round(float(end), 4) for end in np.quantile(drawn, (0.025, 0.975))]
    return {
        "scored": len(scores),
        "not_executable": not_executable,
        "too_seldom": len(found) - len(scores) - not_executable,
        "detection": _mean(detection.tolist()),
        "interval": interval,
        "fuzzing": _mean([each.fuzzing for each in scores if each.fuzzing is not None]),
        "f1": _mean([each.fit.f1 for each in scores if each.fit is not None]),
        "with_others": _mean([*detection.tolist(), *[0.5] * not_executable]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _result(label: Executable, held_out: HeldOut, place: Place, text: ReadText, seed: int) -> Score | str:
    try:
        expected: NDArray[np.int64] = text.expected(label)
    except TimeoutError:
        return NOT_EXECUTABLE
    return score(held_out, place, expected, seed)


def _executable(words: str, explanation: Mapping[str, Any], text: ReadText) -> Executable:
    """A suggestion's own patterns where it has some, else what its words say."""
    lexicon = text.tokens.lexicon
    patterns = spelled_out(explanation.get("patterns") or [], lexicon)
    return Executable(tuple(patterns)) if patterns else read_label(words, lexicon)


def _labels(
    connection: Connection, known: IndexedModel, order: ScoreOrder
) -> list[tuple[Place, int, str, str, Mapping[str, Any]]]:
    """(feature, stream, author, words, explanation) of the labels asked for."""
    layer_of = {source_id: layer for layer, (source_id, _) in known.sources.items()}
    rows = connection.execute(
        select(Label.source_id, Label.number, Label.stream, Label.author_id, Label.text, LabelEvent.payload)
        .join(LabelEvent, LabelEvent.stream == Label.revision)
        .where(Label.source_id.in_(layer_of), Label.text != "")
        .order_by(Label.source_id, Label.number, Label.stream)
    )
    wanted = None if order.features is None else set(order.features)
    found = []
    for row in rows:
        place = layer_of[row.source_id], row.number
        if (order.layers is None or place[0] in order.layers) and (wanted is None or place in wanted):
            explanation = row.payload.get("explanation") or {}
            found.append((place, row.stream, _author(row.author_id), row.text, explanation))
    return found


def _author(author_id: str) -> str:
    return author_id.removeprefix(PROGRAM) if author_id.startswith(PROGRAM) else "people"
