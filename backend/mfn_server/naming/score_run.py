"""`mfn labels score`: what labels are worth on text that nobody saw who wrote them. Each score is stored at once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from mfn_core.data.corpus import read_corpus
from mfn_core.errors import ConfigError, CorpusError
from mfn_core.naming.executing import ReadText
from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import NamedText
from mfn_server.corpus_names import corpus_names
from mfn_server.db.score_tables import WorkState
from mfn_server.db.tables import Label, LabelEvent
from mfn_server.naming.corpus import IndexedModel, digest_of, digests_of, open_indexed
from mfn_server.naming.figures import Figure
from mfn_server.naming.held_out import SNIPPETS, HeldOut, Place
from mfn_server.naming.judging import Carrier, Judge, Wording
from mfn_server.naming.questions import Questions, questions_of
from mfn_server.naming.reader import BudgetSpentError, Purse
from mfn_server.naming.reader_run import ReaderOrder
from mfn_server.naming.run import concepts_of
from mfn_server.naming.runs import LIMITS, Work, begin_work
from mfn_server.naming.score_report import Scored, read_scored
from mfn_server.naming.score_store import Judged, add_scores, scored_by
from mfn_server.naming.scorers import SCORERS, Scorer
from mfn_server.progress import Tell

_AT_ONCE = 50  # labels whose scores are stored together, where none of them costs anything
_OTHERS = 5  # labels that are tried for one that can be asked the same


@dataclass(frozen=True)
class ScoreOrder:
    """Which labels are scored, on what, by whom.

    Attributes:
        model: folder of the bundle.
        database_url: where the labels are, and where scores go.
        corpus: held-out text; documents that the index was made of are left out of it.
        documents: at most so many.
        layers, features: as of a `SuggestOrder`.
        rules: files of rules that tell concepts, as suggestions were made with.
        seed: of the snippets, and of whatever else is drawn.
        snippets: how many of a feature.
        scorers: which; None for all that whoever reads can be asked for.
        reader: a language model that says what labels expect; None where they are carried out, and embedded.
        embedder: folder of an encoder; None for the words of the indexed corpus.
        baselines: whether each label is compared with another feature's, and with a random token; with a language
            model that asks three times as much.
        anew: never go on with a run that was broken off.
    """

    model: Path
    database_url: str
    corpus: str
    documents: int = 2_000
    layers: frozenset[int] | None = None
    features: Sequence[tuple[int, int]] | None = None
    rules: Sequence[Path] = ()
    seed: int = 0
    snippets: int = 2 * SNIPPETS
    scorers: Sequence[Scorer] | None = None
    reader: ReaderOrder | None = None
    embedder: Path | None = None
    baselines: bool = True
    anew: bool = False

    def to_json(self) -> dict[str, Any]:
        """What a run is told: all that its figures depend on, as plain data, and what it may cost."""
        reader = self.reader
        return {
            "corpus": corpus_names([self.corpus])[0],
            "documents": self.documents,
            "layers": None if self.layers is None else sorted(self.layers),
            "features": None if self.features is None else [list(each) for each in self.features],
            "rules": [str(path.resolve()) for path in self.rules],
            "seed": self.seed,
            "snippets": self.snippets,
            "scorers": None if self.scorers is None else [name for name in SCORERS if name in self.scorers],
            "reader": None if reader is None else reader.whom(),
            "embedder": None if self.embedder is None else str(self.embedder.resolve()),
            "baselines": self.baselines,
            LIMITS: None if reader is None else reader.limits(),
        }

    @classmethod
    def from_json(cls, model: Path, database_url: str, told: Mapping[str, Any]) -> ScoreOrder:
        """What `to_json` gave."""
        features = told["features"]
        return cls(
            model=model,
            database_url=database_url,
            corpus=told["corpus"],
            documents=told["documents"],
            layers=None if told["layers"] is None else frozenset(told["layers"]),
            features=None if features is None else [(layer, number) for layer, number in features],
            rules=[Path(path) for path in told["rules"]],
            seed=told["seed"],
            snippets=told["snippets"],
            scorers=told["scorers"],
            reader=None if told["reader"] is None else ReaderOrder.from_json(told["reader"], told[LIMITS]),
            embedder=None if told["embedder"] is None else Path(told["embedder"]),
            baselines=told["baselines"],
        )


@dataclass(frozen=True)
class Asked:
    """A label that is to be scored: where it is, by whom, which events it is from, and its words."""

    place: Place
    stream: int
    revision: int
    author_id: str
    wording: Wording


def run_score(order: ScoreOrder, tell: Tell, run_id: uuid.UUID | None = None) -> Scored:
    """Scores every label with words that stands, and gives all scores of the run.

    Broken off and called with the same order, it goes on where it stood (unless `run_id` says which run it is).

    Raises:
        MFNError: what is wrong with model, index, text or what was asked for.
        RunStoppedError: somebody asked it to end; what was stored stays.
    """
    purse = order.reader.open() if order.reader is not None else None
    tell("reading the model", 0.0)
    with open_indexed(order.model, order.database_url) as known:
        known.check(order.features or ())
        told = order.to_json()
        if order.anew and run_id is None:
            told["anew"] = uuid.uuid4().hex  # so that it is like no other run
        with begin_work(known.database, known.model_id, "score", told, tell, run_id) as work:
            if purse is not None:
                work.pays(purse)
            try:
                _score(order, known, work, purse)
            except BudgetSpentError as error:
                work.outcome, work.message = WorkState.STOPPED, str(error)
        with known.database.snapshot() as connection:
            return read_scored(connection, work.run_id, {row: layer for layer, (row, _) in known.sources.items()})


def _score(order: ScoreOrder, known: IndexedModel, work: Work, purse: Purse | None) -> None:
    with known.database.snapshot() as connection:
        labels = _labels(connection, known, order)
        seen = digests_of(connection, known.run_id)
        done = scored_by(connection, work.run_id)
    if not labels:
        raise ConfigError("there is no label to score")
    documents = _documents(order, known, seen)
    work.tell("reading the text with the model", 0.1)
    held_out = HeldOut.read(known.model, documents, {label.place for label in labels})
    digest = sha256(b"".join(map(digest_of, documents))).hexdigest()[:16]
    work.note(data={"digest": digest, "documents": len(documents), "tokens": held_out.n_tokens, "index": known.run_id})
    plan = _plan(order, known, held_out, purse)
    other = _Others(labels, documents, known.token_texts, order.seed) if order.baselines else None
    questions: dict[Place, Questions | str] = {}
    ready: list[Judged] = []

    def store() -> None:
        with known.database.write() as connection:
            add_scores(connection, work.run_id, ready)
        ready.clear()

    try:
        for at, label in enumerate(labels):
            work.tell(f"layer {label.place[0]}, feature {label.place[1]}", 0.2 + 0.8 * at / len(labels))
            todo = [each for each in plan if (label.revision, each[1], each[0].name) not in done]
            if label.place not in questions:
                questions = {label.place: questions_of(held_out, label.place, order.seed, order.snippets)}
            asked = questions[label.place]
            found = [_judged(judge, scorer, label, asked, known, other, purse) for judge, scorer in todo]
            ready += found  # all of a label or nothing: what a run that was killed has asked of one is asked again
            if purse is not None or len(ready) >= _AT_ONCE * len(plan):
                store()
    finally:
        store()


def _judged(
    judge: Judge,
    scorer: Scorer,
    label: Asked,
    asked: Questions | str,
    known: IndexedModel,
    other: _Others | None,
    purse: Purse | None,
) -> Judged:
    about = (known.sources[label.place[0]][0], label.place[1]), label.stream, label.revision, scorer, judge.name
    if isinstance(asked, str):
        return Judged(*about, Figure(None, why=asked))
    begun, before = time.perf_counter(), _spent(purse)
    figure = judge.judge(scorer, label.wording, asked)
    shuffled = random = None
    if other is not None and figure.value is not None:
        values = (judge.judge(scorer, each, asked).value for each in other.labels(label))
        shuffled = next((value for value in values if value is not None), None)
        random = judge.judge(scorer, other.token(label), asked).value
    read, written, cost = (after - was for after, was in zip(_spent(purse), before, strict=True))
    seconds = round(time.perf_counter() - begun, 4)
    return Judged(*about, figure, shuffled, random, asked.name, int(read), int(written), round(cost, 8), seconds)


def _spent(purse: Purse | None) -> tuple[float, float, float]:
    return (0, 0, 0.0) if purse is None else (purse.read, purse.written, purse.spent)


def _plan(order: ScoreOrder, known: IndexedModel, held_out: HeldOut, purse: Purse | None) -> list[tuple[Judge, Scorer]]:
    """Who is asked for what. Raises ConfigError: for a scorer that nobody can be asked for."""
    judges: list[Judge] = []
    if purse is not None:
        from mfn_server.naming.reading_judge import ReadingJudge

        judges.append(ReadingJudge(held_out, known.token_texts, purse, order.seed))
    else:
        lexicon = Lexicon.of(known.token_texts, concepts_of(order.rules))
        judges.append(Carrier(held_out, ReadText(NamedText(lexicon, held_out.documents)), order.seed))
    if purse is None or order.embedder is not None:
        from mfn_server.naming.embedding import EmbeddingJudge, FolderEmbedder, WordEmbedder

        embedder = (
            WordEmbedder(known.database, known.run_id) if order.embedder is None else FolderEmbedder(order.embedder)
        )
        judges.append(EmbeddingJudge(held_out, known.token_texts, embedder))
    able = {scorer for judge in judges for scorer in judge.scorers}
    wanted = able if order.scorers is None else set(order.scorers)
    if missing := wanted - able:
        raise ConfigError(f"nobody here can be asked for {min(missing)}: there are {', '.join(sorted(able))}")
    return [(judge, scorer) for judge in judges for scorer in judge.scorers if scorer in wanted]


def _documents(order: ScoreOrder, known: IndexedModel, seen: set[bytes]) -> list[NDArray[np.uint32]]:
    """Token ids of the held-out text. Raises CorpusError: there is none that the index was not made of."""
    encoded = [
        np.array(known.model.encode_text(document.text), np.uint32)
        for document in read_corpus(order.corpus, limit=order.documents)
    ]
    documents = [ids for ids in encoded if digest_of(ids) not in seen]
    if not documents:
        left_out = f": all {len(encoded)} documents are in the index" if encoded else ""
        raise CorpusError(f"{order.corpus} holds no text that the index was not made of{left_out}")
    return documents


class _Others:
    """What a label is compared with: labels of other features, and tokens drawn from the text."""

    def __init__(
        self,
        labels: Sequence[Asked],
        documents: Sequence[NDArray[np.uint32]],
        token_texts: Sequence[str],
        seed: int,
    ) -> None:
        self._by: dict[str, list[Asked]] = {}
        for label in labels:
            self._by.setdefault(label.author_id, []).append(label)
        self._all = labels
        self._tokens = np.concatenate([ids[1:] for ids in documents])
        self._texts, self._seed = token_texts, seed

    def labels(self, label: Asked) -> Iterator[Wording]:
        """A few of other features, in an order of this label's own; by its author where that one named several."""
        own = self._by[label.author_id]
        pool = own if {each.place for each in own} != {label.place} else self._all
        generator = np.random.default_rng([self._seed, label.stream, 3])
        order = (pool[at] for at in generator.permutation(len(pool)).tolist())
        yield from islice((each.wording for each in order if each.place != label.place), _OTHERS)

    def token(self, label: Asked) -> Wording:
        """As a label that says so."""
        generator = np.random.default_rng([self._seed, label.stream, 4])
        if not len(self._tokens):
            return Wording("")
        text = self._texts[int(generator.choice(self._tokens))]
        return Wording(f"“{text}”", {"patterns": [[{"before": 0, "token": text}]]})


def _labels(connection: Connection, known: IndexedModel, order: ScoreOrder) -> list[Asked]:
    """The labels asked for, those of one feature behind each other."""
    layer_of = {source_id: layer for layer, (source_id, _) in known.sources.items()}
    rows = connection.execute(
        select(Label.source_id, Label.number, Label.stream, Label.revision, Label.author_id, Label.text)
        .add_columns(LabelEvent.payload)
        .join(LabelEvent, LabelEvent.stream == Label.revision)
        .where(Label.source_id.in_(layer_of), Label.text != "")
        .order_by(Label.source_id, Label.number, Label.stream)
    )
    wanted = None if order.features is None else set(order.features)
    found = []
    for row in rows:
        place = layer_of[row.source_id], row.number
        if (order.layers is None or place[0] in order.layers) and (wanted is None or place in wanted):
            wording = Wording(row.text, row.payload.get("explanation") or {})
            found.append(Asked(place, row.stream, row.revision, row.author_id, wording))
    return found
