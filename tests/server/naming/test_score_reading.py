"""What is shown of scores: of the words that stand, the last time; and how far two labels expect the same."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, select

from mfn_core.naming.measures import kappa
from mfn_server.db.session import Database
from mfn_server.db.tables import Source
from mfn_server.errors import APIError
from mfn_server.labels.payloads import Propose, Redact, Revise
from mfn_server.naming.figures import Figure
from mfn_server.naming.runs import Starter, new_run
from mfn_server.naming.score_reading import feature_scores, score_list
from mfn_server.naming.score_store import Judged, add_scores, scores_of_features
from tests.server.saying import ADA, ANN, BOB, MODEL, put

TRUE = "1110001110"


def judged(label: int, revision: int, value: float, told: str = TRUE, **more: Any) -> Judged:
    figure = Figure(value, value - 0.1, value + 0.05, len(told), told.count("?"), details={"told": told, "true": TRUE})
    fields = {"place": (1, 0), "scorer": "detection", "reader": "", "questions": "q", **more}
    return Judged(label=label, revision=revision, figure=figure, **fields)


def score(connection: Connection, *found: Judged) -> None:
    run = new_run(connection, MODEL, "score", {"corpus": "/secret/held-out.jsonl", "seed": 3}, Starter())
    add_scores(connection, run, found)


def shown(database: Database) -> Any:
    with database.snapshot() as connection:
        return feature_scores(connection, MODEL, "a", 0, ANN)


def test_the_last_score_of_the_words_that_stand_is_shown_and_all_are_kept(bare: Database) -> None:
    with bare.write() as connection:
        first = put(connection, ANN, Propose(text="ships"))
        score(connection, judged(first.stream, first.stream, 0.6))
        score(connection, judged(first.stream, first.stream, 0.7), judged(first.stream, first.stream, 0.9, reader="m"))
    (label,) = shown(bare).labels
    assert (label.label, label.revision) == (first.stream, first.stream)
    assert [(each.reader, each.value, each.chance) for each in label.scores] == [("", 0.7, 0.5), ("m", 0.9, 0.5)]
    assert {(each.corpus, each.seed) for each in label.scores} == {("held-out.jsonl", 3)}, "no folder of the server"
    with bare.write() as connection:
        revised = put(connection, ANN, Revise(label=first.stream, text="boats"), base=first.stream)
    assert shown(bare).labels == [], "other words have not been scored"
    with bare.write() as connection:
        score(connection, judged(first.stream, revised.stream, 0.8))
    assert [each.value for label in shown(bare).labels for each in label.scores] == [0.8]
    with bare.read() as connection:
        assert [row.value for row in scores_of_features(connection, [(1, 0)])] == [0.8, 0.7, 0.9, 0.6]
    with bare.write() as connection:
        put(connection, ADA, Redact(target=revised.stream), base=revised.stream, reason="a name")
    assert shown(bare).labels == []
    with pytest.raises(APIError), bare.snapshot() as connection:
        feature_scores(connection, MODEL, "a", 10, ANN)


def test_labels_agree_as_far_as_they_expect_the_same(bare: Database) -> None:
    with bare.write() as connection:
        place = connection.scalar(select(Source.id).where(Source.key == "a"))
        assert place == 1
        one = put(connection, ANN, Propose(text="ships")).stream
        other = put(connection, BOB, Propose(text="boats"), base=one).stream
        third = put(connection, BOB, Propose(text="apart"), base=other).stream
        score(connection, judged(one, one, 0.9, "1100001110"), judged(other, other, 0.8, "11?0001000"))
        score(connection, judged(third, third, 0.9, questions="others"))
    (pair,) = shown(bare).agreement
    assert (pair.labels, pair.n, pair.readers) == ((one, other), 9, ("", ""))
    a, b, so = ([int(c) for c in text[:2] + text[3:]] for text in ("1100001110", "11?0001000", TRUE))
    for view, (x, y) in zip((pair.between, *pair.with_truth), ((a, b), (a, so), (b, so)), strict=True):
        found = kappa(x, y)
        assert found is not None
        assert (view.value, view.low, view.high) == pytest.approx(tuple(found))


def test_labels_are_listed_by_what_they_score_the_last_time(bare: Database) -> None:
    with bare.write() as connection:
        streams = [put(connection, ANN, Propose(text=f"label {n}"), feature=("a", n), base=0).stream for n in range(4)]
        for n, value in ((0, 0.9), (1, 0.6), (2, 0.7)):
            score(connection, judged(streams[n], streams[n], value, place=(1, n)))
        score(connection, judged(streams[0], streams[0], 0.5, place=(1, 0)))
        score(connection, judged(streams[3], streams[3], 0.1, place=(1, 3)))
        put(connection, ANN, Revise(label=streams[3], text="other words"), feature=("a", 3), base=streams[3])

    def listed(**query: Any) -> list[tuple[int, float]]:
        asked = {"descending": False, "at": 0, "limit": 10, **query}
        with bare.snapshot() as connection:
            found = score_list(connection, MODEL, ANN, "detection", **asked)
        assert found.total == 3
        return [(item.index, item.score.value or 0.0) for item in found.items]

    assert listed() == [(0, 0.5), (1, 0.6), (2, 0.7)]
    assert listed(descending=True, limit=2) == [(2, 0.7), (1, 0.6)]
    assert listed(at=2) == [(2, 0.7)]
