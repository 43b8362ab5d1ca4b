"""The log and what follows from it: whatever is said, in whatever order, the tables are what a replay makes of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, delete, select, update

from mfn_server.access.person import Person
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent, LabelSummary, LabelTag
from mfn_server.errors import APIError
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.fold import FeatureState, fold
from mfn_server.labels.log import Event, events_of, lock_log, new_event
from mfn_server.labels.payloads import (
    KINDS,
    Accept,
    Adjudicate,
    Comment,
    FeatureName,
    Flag,
    Opinion,
    Payload,
    Propose,
    Rate,
    Redact,
    Retract,
    Revise,
    Skip,
    StoredPropose,
    Tag,
    Undo,
    Untag,
    Vote,
    Withdraw,
    read_payload,
)
from mfn_server.labels.projections import TABLES, differences, rebuild, rows_of
from mfn_server.labels.reading import discussion
from mfn_server.logged import PayloadError
from tests.server.saying import ADA, ANN, BOB, MODEL, put

PEOPLE = (ANN, BOB, ADA)
WORDS = st.sampled_from(["ships", "snow", "SHIPS ", "<b>&'\"%", "東京 都", "\u202eabc", "a; DROP TABLE label"])
CAMPAIGN = uuid.UUID(int=7)
REFUSALS = {"unknown_label", "unknown_target", "unknown_comment", "not_yours", "already_undone", "already_redacted"}
REFUSALS |= {"cannot_undo", "automatic_label", "stale"}


class Team(RuleBasedStateMachine):
    """Several people and a program, on two features. Nothing is committed, so that many rounds take little time."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.transaction = self.database.write()
        self.connection: Connection = self.transaction.__enter__()
        self.known: dict[tuple[str, int], list[int]] = {("a", 0): [], ("a", 1): []}
        self.sent: list[tuple[Person, Payload, tuple[str, int], uuid.UUID, int, str, Any]] = []
        self.past: list[tuple[tuple[str, int], int, Any]] = []

    def teardown(self) -> None:
        self.transaction.__exit__(KeyError, KeyError(), None)  # rolled back

    @initialize()
    def begin(self) -> None:
        self.by_program(("a", 0), "of a program")
        self.say(("a", 0), ANN, Propose(text="ships"))

    features = st.sampled_from([("a", 0), ("a", 1)])
    people = st.sampled_from(PEOPLE)
    which = st.integers(0, 30)

    def target(self, feature: tuple[str, int], which: int) -> int:
        """An earlier event, of this feature for the most part."""
        known = self.known[feature]
        return known[-1 - which % len(known)] if known else 7

    def say(self, feature: tuple[str, int], person: Person, said: Payload, lag: int = 0) -> None:
        known = self.known[feature]
        base = known[-1 - lag % len(known)] if known else 0
        identity = uuid.uuid4()
        try:
            event = put(self.connection, person, said, feature=feature, identity=identity, base=base, reason="so")
        except APIError as error:
            if error.detail.code not in REFUSALS:
                raise
            return
        known.append(event.stream)
        self.sent.append((person, said, feature, identity, base, "so", event))

    @rule(feature=features, person=people, text=WORDS, lag=which)
    def propose(self, feature: Any, person: Person, text: str, lag: int) -> None:
        self.say(feature, person, Propose(text=text), lag)

    @rule(feature=features, person=people, which=which, text=WORDS, lag=st.integers(0, 3))
    def revise(self, feature: Any, person: Person, which: int, text: str, lag: int) -> None:
        self.say(feature, person, Revise(label=self.target(feature, which), text=text), lag)

    @rule(feature=features, person=people, which=which, value=st.sampled_from(["up", "down", "withdrawn"]))
    def vote(self, feature: Any, person: Person, which: int, value: Any) -> None:
        self.say(feature, person, Vote(label=self.target(feature, which), value=value))

    @rule(feature=features, person=people, which=which, specificity=st.integers(1, 5), of_label=st.booleans())
    def rate(self, feature: Any, person: Person, which: int, specificity: int, of_label: bool) -> None:
        label = self.target(feature, which) if of_label else None
        self.say(feature, person, Rate(label=label, specificity=specificity, evidence="seen"))

    @rule(feature=features, person=people, tag=st.sampled_from(["x", "y"]), on=st.booleans())
    def tag(self, feature: Any, person: Person, tag: str, on: bool) -> None:
        self.say(feature, person, Tag(tag=tag) if on else Untag(tag=tag))

    @rule(feature=features, person=people, text=WORDS, which=which, answers=st.booleans())
    def comment(self, feature: Any, person: Person, text: str, which: int, answers: bool) -> None:
        self.say(feature, person, Comment(text=text, reply_to=self.target(feature, which) if answers else None))

    @rule(feature=features, person=people, flag=st.sampled_from(["dead", "unclear", "polysemantic"]))
    def flag(self, feature: Any, person: Person, flag: Any) -> None:
        self.say(feature, person, Flag(flag=flag, parts=["one", "two"] if flag == "polysemantic" else []))

    @rule(feature=features, person=people, text=WORDS, specificity=st.none() | st.integers(1, 5))
    def opinion(self, feature: Any, person: Person, text: str, specificity: int | None) -> None:
        """Also a second one by the same person, which the campaign would refuse."""
        flag: Any = "unclear" if specificity == 1 else None
        said = {"campaign": CAMPAIGN, "text": text, "flag": flag, "specificity": specificity, "tags": ["x"]}
        self.say(feature, person, Opinion(**said))

    @rule(feature=features, person=people)
    def skip(self, feature: Any, person: Person) -> None:
        self.say(feature, person, Skip())

    @rule(feature=features, person=people, which=which, kind=st.sampled_from([Retract, Undo, Undo, Redact]))
    def take_back(self, feature: Any, person: Person, which: int, kind: Any) -> None:
        self.say(feature, person, kind(target=self.target(feature, which)))

    @rule(feature=features, which=which, kind=st.sampled_from([Accept, Adjudicate]), none=st.booleans())
    def decide(self, feature: Any, which: int, kind: Any, none: bool) -> None:
        label = self.target(feature, which)
        self.say(feature, ADA, Adjudicate() if none and kind is Adjudicate else kind(label=label))

    @rule(feature=features, text=WORDS)
    def by_program(self, feature: Any, text: str) -> None:
        lock_log(self.connection)
        statement = Statement((1, feature[1]), "atlas", {"text": text, "confidence": "low"}, "seen")
        (event,) = record_statements(self.connection, [statement])
        self.known[feature].append(event.stream)

    @rule(which=which)
    def repeat(self, which: int) -> None:
        if self.sent:
            person, said, feature, identity, base, reason, first = self.sent[which % len(self.sent)]
            last = lock_log(self.connection)
            sent = {"feature": feature, "identity": identity, "base": base, "reason": reason}
            again = put(self.connection, person, said, **sent)
            assert lock_log(self.connection) == last
            if again.redacted_by is None:
                assert again == first

    @rule(feature=features)
    def remember(self, feature: Any) -> None:
        now = discussion(self.connection, MODEL, *feature, None, ADA)
        self.past.append((feature, now.version, now))

    @rule(which=which)
    def look_back(self, which: int) -> None:
        """What was is shown as it was; but for words that were taken out since."""
        if self.past:
            feature, version, then = self.past[which % len(self.past)]
            redacted = select(LabelEvent.stream).where(
                LabelEvent.redacted_by > version, LabelEvent.number == feature[1]
            )
            if self.connection.scalar(redacted.limit(1)) is None:
                was = discussion(self.connection, MODEL, *feature, version, ADA)
                assert was == then.model_copy(update={"at": version})

    @invariant()
    def the_tables_are_what_the_log_says(self) -> None:
        assert list(differences(self.connection)) == []

    @invariant()
    def each_feature_shows_one_label_at_most(self) -> None:
        shown = self.connection.execute(select(Label.source_id, Label.number).where(Label.is_primary)).all()
        assert len(shown) == len(set(shown))


@pytest.fixture
def machine(bare: Database) -> type[Team]:
    return type("TeamOnADatabase", (Team,), {"database": bare})


def test_any_sequence_of_commands_leaves_the_tables_as_a_replay_makes_them(machine: type[Team]) -> None:
    few = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)


EXAMPLES: dict[str, tuple[Payload, str, Any]] = {
    "propose": (Propose(text="boats"), "labels", ["ships", "boats"]),
    "revise": (Revise(label=2, text="boats"), "labels", ["boats"]),
    "vote": (Vote(label=2, value="down"), "down", 1),
    "rate": (Rate(label=2, one_concept="partly"), "ratings", 1),
    "tag": (Tag(tag="Sea"), "tags", ["old", "sea"]),
    "untag": (Untag(tag="OLD"), "tags", []),
    "comment": (Comment(text="why?"), "comments", ["first", "why?"]),
    "flag": (Flag(flag="duplicate", of=FeatureName(source="b", index=0)), "flags", ["duplicate"]),
    "opinion": (Opinion(campaign=CAMPAIGN, text="boats", flag="unclear"), "labels", ["boats", "ships"]),
    "skip": (Skip(), "skips", 1),
    "retract": (Retract(target=4), "comments", [""]),
    "undo": (Undo(target=3), "tags", []),
    "accept": (Accept(label=2), "accepted", 2),
    "adjudicate": (Adjudicate(label=2), "decided_by", 5),
    "redact": (Redact(target=2), "labels", [""]),
    "withdraw": (Withdraw(), "automatic", 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_does_what_it_says_and_can_be_stored(kind: str, bare: Database) -> None:
    """After: 1 a program's label, 2 ships, 3 the tag old, 4 a comment."""
    said, what, expected = EXAMPLES[kind]
    with bare.write() as connection:
        lock_log(connection)
        record_statements(connection, [Statement((1, 0), "atlas", {"text": "of a program"}, None)])
        for first in (Propose(text="ships"), Tag(tag="old"), Comment(text="first")):
            put(connection, ANN, first)
        if kind == "withdraw":
            lock_log(connection)
            record_statements(connection, [Statement((1, 0), "atlas", None, None)])
        else:
            put(connection, ADA, said, base=4, reason="so")
        (event,) = connection.execute(select(LabelEvent).where(LabelEvent.stream == 5)).all()
        assert (event.type, event.payload) == (kind, said.kept())
        assert read_payload(kind, event.payload_version, event.payload).kept() == said.kept()
        found = discussion(connection, MODEL, "a", 0, None, ADA)
        assert list(differences(connection)) == []
    people = [label for label in found.labels if label.origin == "human"]
    seen = {
        "labels": [label.text for label in people][::-1],
        "automatic": len(found.labels) - len(people),
        "down": people[0].down,
        "ratings": len(people[0].ratings),
        "tags": [tag.tag for tag in found.tags],
        "comments": [comment.text for comment in found.comments],
        "flags": [flag.flag for flag in found.flags],
        "skips": found.n_skips,
        "accepted": found.accepted,
        "decided_by": found.decided_by,
    }
    assert (seen[what] if what != "labels" else sorted(seen[what])) == (
        expected if what != "labels" else sorted(expected)
    )


def test_every_kind_has_its_example() -> None:
    assert set(EXAMPLES) == set(KINDS)
    for kind, (said, _, _) in EXAMPLES.items():
        assert said.kind == kind


def test_old_payloads_are_read_and_newer_ones_refused() -> None:
    for version, payload in (
        (1, {"text": "ships"}),
        (2, {"text": "", "confidence": None, "unclear": True}),
        (3, {"text": "ships", "explanation": {"id": "x"}}),
    ):
        said = read_payload("propose", version, payload)
        assert isinstance(said, StoredPropose)
        assert (said.text, said.unclear) == (payload["text"], version == 2)
    assert read_payload("withdraw", 2, {"text": "", "confidence": None, "unclear": False}).kind == "withdraw"
    for kind, version in (("propose", 4), ("prophesy", 1)):
        with pytest.raises(PayloadError, match="newer version"):
            read_payload(kind, version, {"text": "x"})


def test_events_about_what_is_not_there_have_no_effect() -> None:
    said: Sequence[Payload] = (
        Revise(label=9, text="x"),
        Vote(label=9, value="up"),
        Rate(label=9, specificity=1),
        Untag(tag="x"),
        Retract(target=9),
        Undo(target=9),
        Accept(label=9),
        Adjudicate(label=9),
    )
    events = [_numbered(i, each) for i, each in enumerate(said, start=1)]
    assert fold(events) == FeatureState(version=len(said))
    assert fold([]) == FeatureState()


def test_an_undo_of_something_later_or_of_itself_does_nothing() -> None:
    events = [_numbered(1, Undo(target=2)), _numbered(2, Skip()), _numbered(3, Undo(target=3))]
    assert fold(events).skips == {"ann": 2}


def _numbered(stream: int, said: Payload) -> Event:
    return Event(**{**vars(new_event((1, 0), said, "ann", "Ann")), "stream": stream})


def test_differences_are_found_and_a_replay_mends_them(bare: Database) -> None:
    with bare.write() as connection:
        for i in range(3):
            put(connection, ANN, Propose(text=f"label {i}"), feature=("b", i))
            put(connection, ANN, Tag(tag="t"), feature=("b", i))
    with bare.write() as connection:
        connection.execute(update(Label).where(Label.number == 0).values(text="another"))
        connection.execute(delete(LabelTag).where(LabelTag.number == 1))
        connection.execute(update(LabelSummary).where(LabelSummary.number == 2).values(number=7))
    with bare.snapshot() as connection:
        found = {(each.place, each.table) for each in differences(connection)}
    assert found == {
        ((2, 0), "label"),
        ((2, 1), "label_tag"),
        ((2, 2), "label_summary"),
        ((2, 7), "label_summary"),
    }
    with bare.write() as connection:
        assert rebuild(connection) == 3
    with bare.snapshot() as connection:
        assert list(differences(connection)) == []
        states = fold(events_of(connection, (2, 0)))
        assert len(rows_of((2, 0), states)) == len(TABLES)
