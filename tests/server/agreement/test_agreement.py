"""Which opinions are compared: those of people, on present words, in scope; and what the route makes of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, update
from starlette.testclient import TestClient

from mfn_server.access.person import Person, Role
from mfn_server.agreement.opinions import QuestionName, Scope, opinions_of
from mfn_server.agreement.report import first_day, report_of
from mfn_server.db.session import Database
from mfn_server.db.tables import LabelEvent
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import lock_log
from mfn_server.labels.payloads import Flag, Opinion, Propose, Rate, Retract, Revise, Tag, Vote
from tests.server.saying import ANN, BOB, put, say

CAT = Person("cat", "Cat", Role.LABELLER, is_local=False)
ALL = Scope({1, 2})


def said(connection: Connection, question: QuestionName, scope: Scope = ALL) -> dict[tuple[object, ...], object]:
    """Values by unit and person."""
    return {(*given.unit, given.rater): given.value for given in opinions_of(connection, question, scope)}  # type: ignore[misc]


def test_only_what_holds_of_present_words_counts(bare: Database) -> None:
    with bare.write() as connection:
        label = put(connection, ANN, Propose(text="cats")).stream
        for who, value in ((ANN, "up"), (BOB, "down"), (CAT, "up")):
            put(connection, who, Vote(label=label, value=value))  # type: ignore[arg-type]
        put(connection, CAT, Vote(label=label, value="withdrawn"))
        for who, answer in ((ANN, "yes"), (BOB, "no")):
            put(connection, who, Rate(one_concept=answer, specificity=4))  # type: ignore[arg-type]
            put(connection, who, Rate(label=label, one_concept=answer))  # type: ignore[arg-type]
        put(connection, BOB, Rate(one_concept="partly"))  # the last answers count, and they leave specificity out
        assert said(connection, "vote") == {(1, 0, label, "ann"): "up", (1, 0, label, "bob"): "down"}
        assert said(connection, "specificity") == {(1, 0, 0, "ann"): "4"}
        put(connection, ANN, Revise(label=label, text="lions"), base=label + 9)
        assert said(connection, "vote") == {}
        assert said(connection, "one_concept") == {(1, 0, 0, "ann"): "yes", (1, 0, 0, "bob"): "partly"}


def test_a_verdict_is_a_flag_or_a_name_and_programs_have_none(bare: Database) -> None:
    with bare.write() as connection:
        lock_log(connection)
        record_statements(connection, [Statement((1, 0), "atlas", {"text": "cats"}, None)])
        put(connection, ANN, Propose(text="cats"))
        put(connection, BOB, Propose(text="dogs"))
        flag = put(connection, BOB, Flag(flag="unclear")).stream
        put(connection, BOB, Flag(flag="polysemantic"))
        put(connection, CAT, Flag(flag="dead"), feature=("b", 3))
        assert said(connection, "verdict") == {
            (1, 0, "ann"): "named",
            (1, 0, "bob"): "polysemantic",
            (2, 3, "cat"): "dead",
        }
        put(connection, BOB, Retract(target=flag + 1), base=flag + 1)
        assert said(connection, "verdict")[1, 0, "bob"] == "unclear"


def test_scope_and_what_is_hidden(bare: Database) -> None:
    with bare.write() as connection:
        for number in range(4):
            for who in (ANN, BOB):
                put(connection, who, Rate(specificity=3), feature=("a", number))
        put(connection, ANN, Rate(specificity=1), feature=("b", 0))
        put(connection, CAT, Tag(tag="verb"), feature=("a", 2))

        def units(**scope: object) -> set[tuple[object, ...]]:
            return {key[:2] + key[3:] for key in said(connection, "specificity", Scope({1, 2}, **scope))}  # type: ignore[arg-type]

        assert len(units()) == 9
        assert units(tag="verb") == {(1, 2, "ann"), (1, 2, "bob")}
        assert units(places=[(2, 0), (1, 1)], people=["ann"]) == {(2, 0, "ann"), (1, 1, "ann")}
        assert units(hidden=lambda place, author: place[0] == 1 and author == "ann") == {
            (2, 0, "ann"),
            *((1, number, "bob") for number in range(4)),
        }
        assert units(until=datetime.now(UTC) - timedelta(days=1)) == set()
        assert len(units(since=datetime.now(UTC) - timedelta(days=1))) == 9
        assert said(connection, "specificity", Scope({2})) == {(2, 0, 0, "ann"): "1"}


def test_a_report_takes_agreement_apart(bare: Database) -> None:
    answers = {0: ("yes", "yes", None), 1: ("no", "no", "no"), 2: ("yes", "no", None), 3: ("partly", None, None)}
    with bare.write() as connection:
        for number, row in answers.items():
            for who, answer in zip((ANN, BOB, CAT), row, strict=True):
                if answer:
                    stream = put(connection, who, Rate(one_concept=answer), feature=("a", number)).stream  # type: ignore[arg-type]
                    at = datetime(2026, 3, 30 if number == 1 else 2, 12, tzinfo=UTC)
                    connection.execute(update(LabelEvent).where(LabelEvent.stream == stream).values(created_at=at))
        put(connection, CAT, Tag(tag="verb"), feature=("a", 0))
        put(connection, CAT, Tag(tag="verb"), feature=("a", 2))
        report = report_of(connection, "one_concept", ALL, "week")
    assert (report.total.units, report.total.single, report.total.opinions) == (3, 1, 7)
    assert report.total.missing == pytest.approx(2 / 9)
    assert report.total.raw == pytest.approx(2 / 3)
    assert {pair: found.units for pair, found in report.by_pair.items()} == {
        ("ann", "bob"): 3,
        ("ann", "cat"): 1,
        ("bob", "cat"): 1,
    }
    assert (report.by_tag["verb"].units, report.by_tag["verb"].raw) == (2, 0.5)
    weeks = {day: (found.units, found.raw) for day, found in report.by_time.items()}
    assert weeks == {date(2026, 3, 2): (2, 0.5), date(2026, 3, 30): (1, 1)}
    assert report.names == {"ann": "Ann", "bob": "Bob", "cat": "Cat"}


def test_names_are_those_of_whoever_worded_them_last(bare: Database) -> None:
    with bare.write() as connection:
        lock_log(connection)
        record_statements(connection, [Statement((1, 0), "atlas", {"text": "dogs"}, None)])
        put(connection, ANN, Propose(text="dogs"))
        label = put(connection, ANN, Propose(text="cats and dogs")).stream
        put(connection, BOB, Propose(text="cats"))
        assert said(connection, "name") == {(1, 0, "ann"): "cats and dogs", (1, 0, "bob"): "cats"}
        put(connection, CAT, Revise(label=label, text="lions"), base=label)
        assert said(connection, "name") == {(1, 0, "ann"): "dogs", (1, 0, "bob"): "cats", (1, 0, "cat"): "lions"}
        assert said(connection, "name", Scope({1}, people=["cat"])) == {(1, 0, "cat"): "lions"}
        report = report_of(connection, "name", ALL, "week")
    assert (report.total.units, report.total.raw, report.total.alpha) == (1, 0, 0)


def test_of_a_campaign_what_was_said_in_it_counts_as_it_was_said_then(bare: Database) -> None:
    first, second = UUID(int=1), UUID(int=2)
    with bare.write() as connection:
        mine = put(connection, ANN, Opinion(campaign=first, text="cats", specificity=2, confidence="low")).stream
        put(connection, BOB, Opinion(campaign=first, text="black cats", specificity=2))
        put(connection, CAT, Opinion(campaign=first, flag="dead"))
        put(connection, BOB, Opinion(campaign=second, text="dogs", specificity=5))
        # what is said later, with the others' opinions in view, changes nothing of it
        put(connection, ANN, Revise(label=mine, text="black cats"), base=mine)
        put(connection, ANN, Rate(specificity=5))
        put(connection, CAT, Vote(label=mine, value="up"))
        scope = Scope({1}, campaign=first)
        names = {(1, 0, "ann"): "cats", (1, 0, "bob"): "black cats"}
        verdicts = {(1, 0, "ann"): "named", (1, 0, "bob"): "named", (1, 0, "cat"): "dead"}
        assert said(connection, "name", scope) == names
        assert said(connection, "verdict", scope) == verdicts
        assert said(connection, "specificity", scope) == {(1, 0, "ann"): "2", (1, 0, "bob"): "2"}
        assert said(connection, "confidence", scope) == {(1, 0, "ann"): "low"}
        assert said(connection, "vote", scope) == said(connection, "one_concept", scope) == {}
        assert said(connection, "name", Scope({1}, campaign=second)) == {(1, 0, "bob"): "dogs"}
        assert report_of(connection, "name", scope, "week").total.raw == 0.5


def test_periods_begin_on_a_day() -> None:
    thursday = date(2026, 11, 26)
    assert [first_day(thursday, period) for period in ("day", "week", "month")] == [  # type: ignore[arg-type]
        thursday,
        date(2026, 11, 23),
        date(2026, 11, 1),
    ]


def test_the_route(bare_client: TestClient) -> None:
    source = bare_client.get("/api/model").json()["sources"][0]["key"]
    say(bare_client, f"/api/features/{source}/0", kind="rate", one_concept="yes")
    answer = bare_client.get("/api/labels/agreement", params={"source": source, "person": "local"})
    assert answer.status_code == 200
    found = answer.json()
    assert found["question"] == "one_concept"
    assert [each["question"] for each in found["questions"]] == [
        "one_concept", "specificity", "confidence", "vote", "verdict", "name",
    ]  # fmt: skip
    total = found["questions"][0]["total"]
    assert (total["alpha"], total["units"], total["single"]) == (None, 0, 1)
    assert found["by_time"][0]["single"] == 1
    for wrong, status in (
        ({"source": "no"}, 404),
        ({"question": "?"}, 422),
        ({"since": "yesterday"}, 422),
        ({"campaign": str(UUID(int=1))}, 404),
    ):
        assert bare_client.get("/api/labels/agreement", params=wrong).status_code == status
