"""Scores of labels: what a perfect one gets, a silent one, one that expects everything; and which labels are scored."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mfn_core import MFNModel
from mfn_core.errors import CorpusError
from mfn_server.cli import app
from mfn_server.db.session import Database
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import lock_log
from mfn_server.labels.payloads import Propose
from mfn_server.naming.held_out import HeldOut
from mfn_server.naming.score_run import NOT_EXECUTABLE, ScoreOrder, run_score, summary
from mfn_server.naming.scoring import Score, balanced_accuracy, score
from tests.conftest import TINY_TEXTS
from tests.server.saying import ANN, put

PLACE = (0, 0)


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    """A feature that fires on every twentieth token or so, ten times as strongly on the even ones of these."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 99, size=80).astype(np.uint32) for _ in range(60)]
    offsets = np.arange(60) * 80
    firings = np.setdiff1d(np.sort(rng.choice(60 * 80, 200, replace=False)), offsets)
    strengths = np.where(firings % 2 == 0, 10.0, 1.0).astype(np.float32)
    return HeldOut(documents, offsets, {PLACE: firings}, {PLACE: strengths})


def scored(held_out: HeldOut, expected: np.ndarray, seed: int = 0) -> Score:
    found = score(held_out, PLACE, expected, seed)
    assert isinstance(found, Score)
    assert found.fit is not None
    return found


def test_labels_that_tell_all_nothing_and_half(held_out: HeldOut) -> None:
    firings = held_out.firings[PLACE]
    perfect = scored(held_out, firings)
    assert (perfect.fit.precision, perfect.fit.recall, perfect.detection, perfect.fuzzing) == (1, 1, 1, 1)
    nothing = scored(held_out, firings[:0])
    assert (nothing.fit.precision, nothing.fit.recall, nothing.fit.f1) == (0, 0, 0)
    assert (nothing.detection, nothing.fuzzing) == (0.5, 0.5)
    everything = scored(held_out, np.arange(60 * 80))
    assert everything.fit.precision == pytest.approx(len(firings) / (60 * 79))
    assert (everything.fit.recall, everything.detection, everything.fuzzing) == (1, 0.5, 0.5)
    strong = scored(held_out, firings[firings % 2 == 0])
    n = int((firings % 2 == 0).sum())
    assert strong.fit.recall == pytest.approx(10 * n / (10 * n + len(firings) - n))
    assert 0.5 < strong.detection < 1


def test_fuzzing_asks_which_tokens_not_which_text(held_out: HeldOut) -> None:
    """A label that expects every token of a text in which it fires tells detection all, and fuzzing nothing."""
    firings = held_out.firings[PLACE]
    around = np.unique(np.concatenate([np.arange(p - 2, p + 3) for p in firings]))
    around = around[(around >= 0) & (around < 60 * 80)]
    by_seed = [scored(held_out, around, seed) for seed in range(10)]
    assert np.mean([each.fuzzing for each in by_seed]) < 0.95
    assert np.mean([each.fuzzing for each in by_seed]) > 0.5
    assert scored(held_out, firings, 1) != scored(held_out, firings[:50], 1)


def test_why_there_is_no_score(held_out: HeldOut) -> None:
    assert score(held_out, (0, 1), np.zeros(0, np.int64), 0) == "never fires in this text"
    seldom = HeldOut(held_out.documents, held_out.offsets, {PLACE: np.array([5])}, {PLACE: np.ones(1, np.float32)})
    assert score(seldom, PLACE, np.array([5]), 0) == "fires in fewer than 3 snippets that lie apart"


def test_balanced_accuracy_is_the_mean_of_both_shares() -> None:
    assert balanced_accuracy([True, True, True, False], [True, False, False, False]) == pytest.approx((1 / 3 + 1) / 2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty texts of the words of the tiny ones, and two of the tiny ones themselves."""
    rng = random.Random(0)
    words = " ".join(TINY_TEXTS).split()
    texts = [" ".join(rng.choices(words, k=60)) for _ in range(60)] + TINY_TEXTS[:2]
    path = tmp_path_factory.mktemp("held-out") / "text.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_labels_are_scored_on_text_that_was_not_indexed(
    indexed: Database, database_url: str, tiny_bundle: Path, tiny_model: MFNModel, corpus: Path, tmp_path: Path
) -> None:
    source = 1
    with indexed.write() as connection:
        key = connection.exec_driver_sql(f"SELECT key FROM source WHERE id = {source}").scalar_one()
        for number in range(tiny_model.n_features[0]):
            if number % 2:
                put(connection, ANN, Propose(text="the word “the”"), feature=(key, number))
            else:
                lock_log(connection)
                said = {"text": "ships and harbours" if number % 4 else "“ the”"}
                record_statements(connection, [Statement((source, number), "suggest.patterns", said, None)])
    order = ScoreOrder(tiny_bundle, database_url, str(corpus))
    found = run_score(order, lambda what, share: None).labels
    assert len(found) == tiny_model.n_features[0]
    by_people = [each.result for each in found if each.author == "people" and isinstance(each.result, Score)]
    assert by_people
    assert {each.result for each in found if each.text.startswith("ships")} == {NOT_EXECUTABLE}

    # the same by hand, without the two texts that the index was made of
    texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()][:60]
    documents = [np.array(tiny_model.encode_text(text), np.uint32) for text in texts]
    places = {each.place for each in found}
    read = HeldOut.read(tiny_model, documents, places)
    tokens = np.concatenate(documents)
    the = np.flatnonzero(tokens == tiny_model.tokenizer.encode(" the", add_special_tokens=False)[0])  # type: ignore[union-attr]
    for each in found:
        if each.text == "“ the”":
            assert each.result == score(read, each.place, the, 0)

    of = summary(found)
    assert set(of) == {"people", "suggest.patterns"}
    patterns = of["suggest.patterns"]
    n, chance = patterns["scored"], patterns["not_executable"]
    assert patterns["with_others"] == pytest.approx((patterns["detection"] * n + 0.5 * chance) / (n + chance), abs=1e-3)

    only = tmp_path / "indexed.jsonl"
    only.write_text("".join(json.dumps({"text": text}) + "\n" for text in TINY_TEXTS[:2]))
    with pytest.raises(CorpusError, match="all 2 documents are in the index"):
        run_score(ScoreOrder(tiny_bundle, database_url, str(only)), lambda what, share: None)

    report = tmp_path / "scores.json"
    arguments = ["labels", "score", str(tiny_bundle), "--corpus", str(corpus), "--db", database_url]
    done = CliRunner().invoke(app, [*arguments, "--layer", "0", "--json", str(report)])
    assert done.exit_code == 0, done.output
    assert "people" in done.output
    assert json.loads(report.read_text())["labels"] == [each.to_json() for each in found]
