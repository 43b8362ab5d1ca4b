"""Scores of labels: what a perfect one gets, a silent one, one that expects everything; and which labels are scored."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from mfn_core import MFNModel
from mfn_core.errors import ConfigError, CorpusError
from mfn_core.naming.measures import balanced_accuracy
from mfn_server.cli import app
from mfn_server.db.score_tables import LabelScore, NamingRun
from mfn_server.db.session import Database
from mfn_server.db.tables import Source
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import lock_log
from mfn_server.labels.payloads import Propose
from mfn_server.naming import figures
from mfn_server.naming.corpus import digest_of, digests_of
from mfn_server.naming.held_out import HeldOut
from mfn_server.naming.judging import Carrier, Wording, least_is
from mfn_server.naming.questions import Questions, questions_of, span
from mfn_server.naming.reader import Purse, ReaderError
from mfn_server.naming.reader_run import ReaderOrder
from mfn_server.naming.runs import RunStoppedError
from mfn_server.naming.score_report import summary
from mfn_server.naming.score_run import ScoreOrder, run_score
from mfn_server.naming.scorers import CHANCE, IN_GROUP, NOT_EXECUTABLE, NOT_READ
from tests.conftest import TINY_TEXTS
from tests.server.naming.planted import PLACE, Scripted, guesses, planted, readable
from tests.server.saying import ANN, put


def quiet(what: str, share: float | None) -> None:
    """Tells nobody."""


def questions(held_out: HeldOut, seed: int = 0, n: int = 20) -> Questions:
    found = questions_of(held_out, PLACE, seed, n)
    assert isinstance(found, Questions)
    return found


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    """A feature that fires on every twentieth token or so, ten times as strongly on the even ones of these."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 99, size=80).astype(np.uint32) for _ in range(60)]
    offsets = np.arange(60) * 80
    firings = np.setdiff1d(np.sort(rng.choice(60 * 80, 200, replace=False)), offsets)
    strengths = np.where(firings % 2 == 0, 10.0, 1.0).astype(np.float32)
    return HeldOut(documents, offsets, {PLACE: firings}, {PLACE: strengths})


def test_precision_and_recall_of_labels_that_tell_all_nothing_and_half(held_out: HeldOut) -> None:
    firings = held_out.firings[PLACE]

    def f1(expected: np.ndarray) -> tuple[float, float, float | None]:
        found = figures.tokens(held_out, PLACE, np.setdiff1d(expected, held_out.offsets), 0)
        assert found.low is not None
        assert found.high is not None
        assert found.value is not None
        assert found.low <= found.value <= found.high
        return found.details["precision"], found.details["recall"], found.value

    assert f1(firings) == (1, 1, 1)
    assert f1(firings[:0]) == (0, 0, 0)
    everything = f1(np.arange(60 * 80))
    assert everything[:2] == (pytest.approx(len(firings) / (60 * 79), abs=1e-6), 1)
    n = int((firings % 2 == 0).sum())
    recall = 10 * n / (10 * n + len(firings) - n)
    assert f1(firings[firings % 2 == 0]) == (
        1,
        pytest.approx(recall, abs=1e-6),
        pytest.approx(2 * recall / (1 + recall), abs=1e-6),
    )


@pytest.mark.parametrize("seed", range(3))
def test_labels_that_are_carried_out_score_1_where_they_are_right_and_chance_where_they_say_nothing(seed: int) -> None:
    text = planted(seed)
    asked, judge = questions(text, seed), Carrier(text, readable(text), seed)
    assert {scorer: judge.judge(scorer, Wording("“ cat”"), asked).value for scorer in judge.scorers} == dict.fromkeys(
        judge.scorers, 1.0
    )
    # of what stands nowhere nothing is expected
    nothing = {scorer: judge.judge(scorer, Wording("“zebra”"), asked).value for scorer in judge.scorers}
    assert nothing == {name: pytest.approx(CHANCE[name], abs=1e-6) for name in judge.scorers}
    everywhere = {scorer: judge.judge(scorer, Wording("/./"), asked).value for scorer in judge.scorers}
    assert everywhere["detection"] == everywhere["fuzzing"] == 0.5
    assert everywhere["simulation"] == 0
    assert judge.judge("detection", Wording("ships and harbours"), asked).why == NOT_EXECUTABLE
    with pytest.raises(ValueError, match="no score by embedding"):
        judge.judge("embedding", Wording("“ cat”"), asked)


def test_fuzzing_asks_which_tokens_not_which_text() -> None:
    """A label of the tokens around tells detection all, and fuzzing little."""
    text = planted()
    asked = questions(text)
    around = {int(p) + d for p in text.firings[PLACE] for d in range(-3, 4)}
    told = [any(p in around for p in range(*span(text, window))) for window, _ in asked.snippets]
    right = [sum(int(p) in around for p in mark.positions) * 2 >= len(mark.positions) for mark in asked.marks]
    assert figures.detection(asked, told).value == 1
    assert figures.fuzzing(asked, [True] * len(right)).value == 0.5


def test_what_is_asked_holds_and_depends_on_text_feature_and_seed_alone() -> None:
    text = planted()
    asked = questions(text)
    fires = set(text.firings[PLACE].tolist())
    for window, so in asked.snippets:
        assert bool(fires & set(range(*span(text, window)))) is so
    for mark in asked.marks:
        assert set(mark.positions.tolist()) <= set(range(*span(text, mark.window)))
        assert (set(mark.positions.tolist()) <= fires) is mark.fires
        assert bool(set(mark.positions.tolist()) & fires) is mark.fires
    assert len(asked.snippets) == 20
    assert len(asked.groups) == sum(not so for _, so in asked.snippets)
    for members, at in asked.groups:
        assert len(set(members)) == IN_GROUP
        assert [asked.snippets[n][1] for n in members] == [n != at for n in range(IN_GROUP)]
    for n, (one, _) in enumerate(asked.snippets):
        assert not any(one.overlaps(other) for other, _ in asked.snippets[:n])
    assert asked.name == questions(planted()).name
    assert asked.name != questions(text, seed=1).name
    assert asked.name != questions(text, n=10).name


def test_why_there_is_no_score(held_out: HeldOut) -> None:
    assert questions_of(held_out, (0, 1), 0) == "never fires in this text"
    seldom = HeldOut(held_out.documents, held_out.offsets, {PLACE: np.array([5])}, {PLACE: np.ones(1, np.float32)})
    assert questions_of(seldom, PLACE, 0) == "fires in fewer than 3 snippets that lie apart"


def test_an_answer_that_cannot_be_read_counts_as_chance_and_is_counted() -> None:
    asked = questions(planted())
    told: list[bool | None] = list(asked.fires.tolist())
    told[:10] = [None] * 10
    found = figures.detection(asked, told)
    credits = [0.5] * 10 + [1.0] * 10
    assert found.value == pytest.approx(balanced_accuracy(asked.fires, credits).value, abs=1e-6)
    assert (found.n, found.unread, found.details["told"][:10]) == (20, 10, "?" * 10)
    assert figures.detection(asked, [None] * 20).why == NOT_READ
    assert (least_is([2, 0, 0, 1], 1), least_is([2, 0, 0, 1], 0)) == (0.5, 0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty texts of the words of the tiny ones, and two of the tiny ones themselves."""
    rng = random.Random(0)
    words = " ".join(TINY_TEXTS).split()
    texts = [" ".join(rng.choices(words, k=60)) for _ in range(60)] + TINY_TEXTS[:2]
    path = tmp_path_factory.mktemp("held-out") / "text.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture
def named(indexed: Database, tiny_model: MFNModel) -> Database:
    """Every feature of the first layer has a label: a person's, or a program's, of which every other says nothing."""
    with indexed.write() as connection:
        key = connection.scalar(select(Source.key).where(Source.id == 1)) or ""
        for number in range(tiny_model.n_features[0]):
            if number % 2:
                put(connection, ANN, Propose(text="the word “the”"), feature=(key, number))
            else:
                lock_log(connection)
                said = {"text": "ships and harbours" if number % 4 else "“ the”"}
                record_statements(connection, [Statement((1, number), "suggest.patterns", said, None)])
    return indexed


def stored(database: Database) -> list[dict[str, Any]]:
    """All scores, without when they were stored and what that took."""
    apart = {"id", "run_id", "created_at", "seconds"}
    columns = [column for column in LabelScore.__table__.columns if column.name not in apart]
    with database.read() as connection:
        order = (LabelScore.number, LabelScore.revision, LabelScore.scorer, LabelScore.reader)
        return [dict(row._mapping) for row in connection.execute(select(*columns).order_by(*order))]


def test_labels_are_scored_on_text_that_was_not_indexed(
    named: Database, database_url: str, tiny_bundle: Path, tiny_model: MFNModel, corpus: Path, tmp_path: Path
) -> None:
    order = ScoreOrder(tiny_bundle, database_url, str(corpus))
    found = run_score(order, quiet)
    names = ("tokens", "detection", "fuzzing", "intruder", "embedding", "simulation")
    assert len(found.lines) == len(names) * tiny_model.n_features[0]
    assert found.data["documents"] == 60
    said_nothing = {
        line.row.why
        for line in found.lines
        if line.text.startswith("ships") and line.row.scorer in ("tokens", "detection")
    }
    assert NOT_EXECUTABLE in said_nothing

    # the same by hand, without the two texts that the index was made of
    texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
    documents = [np.array(tiny_model.encode_text(text), np.uint32) for text in texts]
    with named.read() as connection:
        seen = digests_of(connection, found.data["index"])
    assert [digest_of(ids) in seen for ids in documents] == [False] * 60 + [True] * 2
    read = HeldOut.read(tiny_model, documents[:60], {(line.layer, line.number) for line in found.lines})
    tokens = np.concatenate(documents[:60])
    the = np.flatnonzero(tokens == tiny_model.tokenizer.encode(" the", add_special_tokens=False)[0])  # type: ignore[union-attr]
    compared = 0
    for line in found.lines:
        if line.text == "“ the”" and line.row.scorer == "tokens" and line.row.value is not None:
            assert line.row.value == figures.tokens(read, (line.layer, line.number), the, 0).value
            compared += 1
    assert compared
    compared = 0
    for line in found.lines:
        if line.row.scorer == "detection" and line.row.value is not None:
            asked = questions_of(read, (line.layer, line.number), 0, 20)
            assert isinstance(asked, Questions)
            assert line.row.questions == asked.name
            assert line.row.details["true"] == "".join(str(int(so)) for so in asked.fires)
            compared += 1
    assert compared

    of = {(each["by"], each["scorer"]): each for each in summary(found.lines)}
    assert {by for by, _ in of} == {"people", "suggest.patterns"}
    patterns = of["suggest.patterns", "detection"]
    n, chance = patterns["scored"], patterns["unscorable"]
    assert chance
    assert patterns["all"] == pytest.approx((patterns["mean"] * n + 0.5 * chance) / (n + chance), abs=1e-3)

    only = tmp_path / "indexed.jsonl"
    only.write_text("".join(json.dumps({"text": text}) + "\n" for text in TINY_TEXTS[:2]))
    with pytest.raises(CorpusError, match="all 2 documents are in the index"):
        run_score(ScoreOrder(tiny_bundle, database_url, str(only)), quiet)
    by_a_model = ScoreOrder(
        tiny_bundle, database_url, str(corpus), reader=ReaderOrder(folder=tiny_bundle), scorers=["embedding"]
    )
    with pytest.raises(ConfigError, match="nobody here can be asked for embedding"):
        run_score(by_a_model, quiet)

    report = tmp_path / "scores.json"
    arguments = ["labels", "score", str(tiny_bundle), "--corpus", str(corpus), "--db", database_url]
    done = CliRunner().invoke(app, [*arguments, "--layer", "0", "--scorer", "detection", "--json", str(report)])
    assert done.exit_code == 0, done.output
    assert "people" in done.output
    kept = json.loads(report.read_text())
    assert [each["value"] for each in kept["scores"]] == [
        line.row.value for line in found.lines if line.row.scorer == "detection"
    ]


class Killed(BaseException):
    """What a signal does: nobody catches it."""


def test_a_run_that_was_killed_goes_on_and_comes_to_the_same(
    named: Database, database_url: str, tiny_bundle: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a language model: what was stored is not asked again, and all figures are those of a run in one piece."""
    readers: list[Scripted] = []

    def reads(kill_at: int | None) -> Callable[[ReaderOrder], Purse]:
        def answer(system: str, question: str) -> str:
            if len(readers[-1].asked) == kill_at:
                raise Killed
            return guesses(crc32(question.encode()))(system, question)  # the same for the same question

        def opened(order: ReaderOrder) -> Purse:
            readers.append(Scripted(answer))
            return Purse(readers[-1], order.prices, order.budget)

        return opened

    reader = ReaderOrder(prices=(1.0, 1.0))
    order = ScoreOrder(
        tiny_bundle, database_url, str(corpus), reader=reader, scorers=["detection", "intruder"], baselines=False
    )
    monkeypatch.setattr(ReaderOrder, "open", reads(kill_at=30))
    with pytest.raises(Killed):
        run_score(order, quiet)
    some = stored(named)
    assert some
    with named.read() as connection:
        assert connection.scalars(select(NamingRun.state)).all() == ["failed"]
    monkeypatch.setattr(ReaderOrder, "open", reads(kill_at=None))
    once = run_score(order, quiet)
    assert once.message is None
    asked = [question for each in readers for question in each.asked]
    repeated = len(asked) - len(set(asked))
    assert repeated <= 20, "at most what was asked of one label is asked again"
    first, rest = stored(named), len(once.lines)
    assert len(first) == rest
    assert first[: len(some)] == some

    run_score(order, quiet)  # that one was at its end, so this is another
    with named.read() as connection:
        assert connection.scalars(select(NamingRun.state)).all() == ["done", "done"]
    both = stored(named)
    assert both[::2] == both[1::2] == first
    assert len(both) == 2 * len(first)


def test_a_run_ends_when_it_is_asked_to_and_where_its_budget_does(
    named: Database, database_url: str, tiny_bundle: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ScoreOrder(tiny_bundle, database_url, str(corpus), scorers=["detection"], baselines=False)

    def stop(what: str, share: float | None) -> None:
        if what.startswith("layer"):
            with named.write() as connection:
                connection.execute(update(NamingRun).values(stop=True))

    monkeypatch.setattr("mfn_server.naming.runs._EVERY", 0.0)
    with pytest.raises(RunStoppedError, match="asked to end"):
        run_score(order, stop)
    monkeypatch.setattr(ReaderOrder, "open", lambda self: Purse(Scripted(guesses(0)), self.prices, self.budget))
    priced = ReaderOrder(prices=(1.0, 1.0), budget=0.005)
    limited = ScoreOrder(tiny_bundle, database_url, str(corpus), reader=priced, scorers=["detection"], baselines=False)
    found = run_score(limited, quiet)
    assert found.message is not None
    assert "are spent" in found.message
    assert 0 < found.cost <= 0.005
    with named.read() as connection:
        runs = connection.execute(select(NamingRun).order_by(NamingRun.created_at)).all()
    assert [(run.state, run.told["reader"] is None) for run in runs] == [("stopped", True), ("stopped", False)]
    assert runs[1].cost == pytest.approx(found.cost)
    one_question = 110e-6  # of a label that did not get to its end
    assert found.cost - one_question - 1e-9 <= sum(line.row.cost for line in found.lines) <= found.cost + 1e-9
    more = run_score(
        ScoreOrder(
            tiny_bundle,
            database_url,
            str(corpus),
            reader=ReaderOrder(prices=(1.0, 1.0)),
            scorers=["detection"],
            baselines=False,
        ),
        quiet,
    )
    assert more.message is None
    assert more.cost > found.cost, "what was spent before counts"


def test_a_reader_that_is_gone_leaves_what_was_stored(
    named: Database, database_url: str, tiny_bundle: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(system: str, question: str) -> str:
        raise ReaderError("it cannot be reached")

    monkeypatch.setattr(ReaderOrder, "open", lambda self: Purse(Scripted(gone)))
    order = ScoreOrder(tiny_bundle, database_url, str(corpus), reader=ReaderOrder(), scorers=["detection"])
    with pytest.raises(ReaderError):
        run_score(order, quiet)
    with named.read() as connection:
        assert connection.execute(select(NamingRun.state, NamingRun.message)).all() == [
            ("failed", "it cannot be reached")
        ]
