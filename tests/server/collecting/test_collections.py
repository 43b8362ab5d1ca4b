"""Collections: whatever is done, in whatever order, the tables are what the log says, and nobody's words are lost."""

from __future__ import annotations

import uuid
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, select, update
from starlette.testclient import TestClient

from mfn_server.access.person import Person
from mfn_server.campaigns.blind import Hidden
from mfn_server.collecting.commands import do, make, redact
from mfn_server.collecting.events import Entry, Redact, StoredRedact, fold_collection, read_deed, seen_by
from mfn_server.collecting.log import collection_differences, entries_of
from mfn_server.collecting.reading import collection_history, collection_list, collection_view
from mfn_server.collecting.schemas import CollectionDeedBody, CollectionRedactBody, CollectionView, MakeBody
from mfn_server.db.collection_tables import CollectionEvent, CollectionItem, FeatureCollection
from mfn_server.db.session import Database
from mfn_server.errors import APIError
from tests.server.saying import ADA, ANN, BOB, MODEL

REFUSALS = {"not_in_collection", "unknown_target", "not_yours", "already_undone", "cannot_undo", "stale"}
REFUSALS |= {"collection_deleted", "already_redacted"}
FEATURES = st.builds(lambda source, index: {"source": source, "index": index}, st.sampled_from("ab"), st.integers(0, 3))


def begin(connection: Connection, *indices: int, person: Person = ANN) -> uuid.UUID:
    identity = uuid.uuid4()
    items = [Entry(source="a", index=index) for index in indices]
    assert make(connection, MODEL, person, MakeBody(id=identity, name="ships", items=items))
    return identity


def act(
    connection: Connection, collection: uuid.UUID, person: Person, base: int | None = None, **event: Any
) -> CollectionView:
    body = CollectionDeedBody.model_validate({"id": uuid.uuid4(), "base_version": base, "event": event})
    do(connection, MODEL, collection, person, body, base)
    return collection_view(connection, MODEL, collection, person)


def take_out(
    connection: Connection,
    collection: uuid.UUID,
    target: int,
    identity: uuid.UUID | None = None,
    reason: str = "an address",
) -> bool:
    body = CollectionRedactBody(id=identity or uuid.uuid4(), event=Redact(target=target), reason=reason)
    return redact(connection, MODEL, collection, ADA, body)


def feature(index: int, source: str = "a", **more: Any) -> dict[str, Any]:
    return {"source": source, "index": index, **more}


def keys(view: CollectionView) -> list[tuple[str, int, str | None]]:
    return [(item.source, item.index, item.note) for item in view.items]


class Team(RuleBasedStateMachine):
    """Two people and a reviewer at one collection. Nothing is committed."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.transaction = self.database.write()
        self.connection: Connection = self.transaction.__enter__()

    def teardown(self) -> None:
        self.transaction.__exit__(KeyError, KeyError(), None)  # rolled back

    @initialize()
    def start(self) -> None:
        self.identity = begin(self.connection, 0, 1)

    people = st.sampled_from([ANN, BOB, ADA])
    notes = st.none() | st.sampled_from(["sails", "=1+1", "東京 <b>"])

    def act(self, person: Person, lag: int = 0, **event: Any) -> None:
        streams = [entry.stream for entry in entries_of(self.connection, self.identity)]
        try:
            act(self.connection, self.identity, person, streams[-1 - lag % len(streams)], **event)
        except APIError as error:
            if error.detail.code not in REFUSALS:
                raise

    @rule(person=people, items=st.lists(FEATURES, min_size=1, max_size=3), note=notes)
    def add(self, person: Person, items: Any, note: str | None) -> None:
        self.act(person, kind="add", items=[item | {"note": note} for item in items])

    @rule(person=people, items=st.lists(FEATURES, min_size=1, max_size=2), lag=st.integers(0, 2))
    def remove(self, person: Person, items: Any, lag: int) -> None:
        self.act(person, lag, kind="remove", items=items)

    @rule(person=people, item=FEATURES, note=notes, lag=st.integers(0, 2))
    def annotate(self, person: Person, item: Any, note: str | None, lag: int) -> None:
        self.act(person, lag, kind="note", item=item, note=note)

    @rule(person=people, item=FEATURES, before=st.none() | FEATURES)
    def move(self, person: Person, item: Any, before: Any) -> None:
        self.act(person, kind="move", item=item, before=before)

    @rule(person=people, name=st.sampled_from(["ships", "boats"]))
    def describe(self, person: Person, name: str) -> None:
        self.act(person, kind="describe", name=name)

    @rule(person=people)
    def delete(self, person: Person) -> None:
        self.act(person, kind="delete")

    @rule(person=people, back=st.integers(0, 6))
    def undo(self, person: Person, back: int) -> None:
        streams = [entry.stream for entry in entries_of(self.connection, self.identity)]
        self.act(person, kind="undo", target=streams[-1 - back % len(streams)])

    @rule(back=st.integers(0, 6))
    def redact(self, back: int) -> None:
        streams = [entry.stream for entry in entries_of(self.connection, self.identity)]
        try:
            take_out(self.connection, self.identity, streams[-1 - back % len(streams)])
        except APIError as error:
            if error.detail.code not in REFUSALS:
                raise

    @invariant()
    def the_tables_are_what_the_log_says(self) -> None:
        assert collection_differences(self.connection) == []
        state = fold_collection(entries_of(self.connection, self.identity))
        assert state is not None
        (listed,) = collection_list(self.connection, MODEL, ANN, None, deleted=state.deleted is not None).items
        assert (listed.n_items, listed.version, listed.name) == (len(state.items), state.version, state.name)

    @invariant()
    def whoever_is_blind_sees_what_would_be_there_without_the_others(self) -> None:
        """Of a hidden feature nothing is told, and of the others all; one's own words stay."""
        entries = entries_of(self.connection, self.identity)
        hidden = Hidden("bob", frozenset({(1, 0)}))
        seen = fold_collection(seen_by(entries, hidden, {"a": 1, "b": 2}))
        whole = fold_collection(entries)
        assert seen is not None
        assert whole is not None
        mine = [entry for entry in entries if entry.author_id == "bob"]
        if all("'index': 0" not in str(entry.deed.kept()) for entry in mine):
            assert ("a", 0) not in seen.items
            if not any(entry.deed.kind == "undo" for entry in entries):
                assert seen.items.keys() == whole.items.keys() - {("a", 0)}


@pytest.fixture
def machine(bare: Database) -> type[Team]:
    return type("TeamOnADatabase", (Team,), {"database": bare})


def test_any_sequence_of_commands_leaves_the_tables_as_the_log_has_it(machine: type[Team]) -> None:
    few = settings(max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)


def test_a_table_that_is_not_what_the_log_says_is_found(bare: Database) -> None:
    with bare.write() as connection:
        begin(connection, 0, 1)
        connection.execute(update(CollectionItem).where(CollectionItem.number == 1).values(note="changed"))
        (found,) = collection_differences(connection)
        assert found.table == "collection_item"


def test_two_add_at_once_and_neither_loses_a_word(bare: Database) -> None:
    with bare.write() as connection:
        identity = begin(connection, 0)
        seen = collection_view(connection, MODEL, identity, ANN).version
        act(connection, identity, ANN, seen, kind="add", items=[feature(1, note="sails"), feature(0, note="hulls")])
        now = act(connection, identity, BOB, seen, kind="add", items=[feature(1, note="masts"), feature(2)])
        assert keys(now) == [("a", 0, "hulls"), ("a", 1, "sails\n\nmasts"), ("a", 2, None)]
        again = act(connection, identity, BOB, kind="add", items=[feature(1, note="masts")])
        assert keys(again) == keys(now)


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "note", "item": feature(0), "note": "mine"},
        {"kind": "remove", "items": [feature(0)]},
        {"kind": "delete"},
        {"kind": "undo", "target": "add"},
    ],
)
def test_what_would_write_over_anothers_note_is_stale(bare: Database, event: dict[str, Any]) -> None:
    with bare.write() as connection:
        identity = begin(connection)
        added = act(connection, identity, ANN, kind="add", items=[feature(0), feature(1)])
        event = event | ({"target": added.version} if "target" in event else {})
        act(connection, identity, BOB, added.version, kind="note", item=feature(1), note="not about 0")
        act(connection, identity, BOB, added.version, kind="note", item=feature(0), note="theirs")
        with pytest.raises(APIError) as refused:
            act(connection, identity, ANN, added.version, **event)
        assert refused.value.detail.code == "stale"
        conflict = refused.value.more["conflict"]
        assert [change["payload"].get("note") for change in conflict["changes"]] == ["not about 0", "theirs"]
        act(connection, identity, ANN, conflict["version"], **event)
        with pytest.raises(APIError) as untold:
            act(connection, identity, ANN, **event)
        assert untold.value.status == 428


def test_a_deleted_collection_comes_back_whole_by_undo(bare: Database) -> None:
    with bare.write() as connection:
        identity = begin(connection, 0, 1)
        version = collection_view(connection, MODEL, identity, ANN).version
        with pytest.raises(APIError, match="only who made"):
            act(connection, identity, BOB, version, kind="delete")
        gone = act(connection, identity, ADA, version, kind="delete")
        assert gone.deleted
        assert len(gone.items) == 2
        assert collection_list(connection, MODEL, ANN, None, deleted=False).items == []
        with pytest.raises(APIError, match="was deleted"):
            act(connection, identity, ANN, kind="add", items=[feature(2)])
        with pytest.raises(APIError, match="only its author"):
            act(connection, identity, ANN, gone.version, kind="undo", target=gone.version)
        back = act(connection, identity, ADA, gone.version, kind="undo", target=gone.version)
        assert not back.deleted
        assert keys(back) == [("a", 0, None), ("a", 1, None)]
        history = collection_history(connection, MODEL, identity, ANN, None, 2)
        assert [(entry.kind, entry.undone_by) for entry in history.items] == [("undo", None), ("delete", back.version)]
        older = collection_history(connection, MODEL, identity, ANN, history.next_before, 2)
        assert ([entry.kind for entry in older.items], older.next_before) == (["make"], None)
        assert collection_view(connection, MODEL, identity, ANN, at=gone.version).deleted


def test_redaction_takes_the_words_out_of_the_database_and_leaves_the_rest(bare: Database) -> None:
    secret = "lives in Elm Street"
    with bare.write() as connection:
        identity = uuid.uuid4()
        made = MakeBody(id=identity, name=secret, description=secret, items=[Entry(source="a", index=0, note=secret)])
        make(connection, MODEL, ANN, made)
        more: list[dict[str, Any]] = [
            {"kind": "add", "items": [feature(1, note=secret), feature(0, note="hulls")]},
            {"kind": "note", "item": feature(1), "note": f"{secret}, too"},
            {"kind": "describe", "name": f"{secret}!", "description": secret},
        ]
        bodies = [CollectionDeedBody.model_validate({"id": uuid.uuid4(), "event": event}) for event in more]
        for body in bodies:
            base = collection_view(connection, MODEL, identity, ANN).version
            do(connection, MODEL, identity, ANN, body, base)
        streams = [entry.stream for entry in entries_of(connection, identity)]
        taken = {stream: uuid.uuid4() for stream in streams}
        assert all(take_out(connection, identity, stream, id) for stream, id in taken.items())
        assert not any(take_out(connection, identity, stream, id) for stream, id in taken.items())  # the same again
        now = collection_view(connection, MODEL, identity, ANN)
        assert (now.name, now.description) == ("(redacted)", None)
        assert keys(now) == [("a", 0, None), ("a", 1, None)]
        history = collection_history(connection, MODEL, identity, ANN, None, 50)
        marks = {entry.stream: entry.redacted_by for entry in history.items if entry.redacted_by}
        assert marks == {stream: stream + len(streams) for stream in streams}
        reasons = [entry.reason for entry in reversed(history.items)]
        assert reasons == [None] * len(streams) + ["an address"] * len(streams)
        assert collection_view(connection, MODEL, identity, ANN, at=streams[-1]).name == "(redacted)"
        for table in (CollectionEvent, FeatureCollection, CollectionItem):
            assert "Elm" not in str([tuple(row) for row in connection.execute(select(table))])
        assert collection_differences(connection) == []

        # a request that is sent again is still the first one, and what is gone does not come back
        assert not make(connection, MODEL, ANN, made)
        assert not do(connection, MODEL, identity, ANN, bodies[-1], None)
        with pytest.raises(APIError, match="gone for good"):
            act(connection, identity, ADA, now.version, kind="undo", target=now.version)
        with pytest.raises(APIError, match="taken out already"):
            take_out(connection, identity, streams[0])
        with pytest.raises(APIError, match="no such event"):
            take_out(connection, identity, now.version + 1)
        back = act(connection, identity, BOB, now.version, kind="describe", name="ships")
        assert back.name == "ships"

        # a reason is words, too
        first, id = streams[0] + len(streams), uuid.uuid4()
        with pytest.raises(APIError, match="something else"):
            take_out(connection, identity, streams[0], taken[streams[0]], reason="another reason")
        assert take_out(connection, identity, first, id, reason="it names the street")
        assert not take_out(connection, identity, streams[0], taken[streams[0]], reason="an address")
        assert not take_out(connection, identity, first, id, reason="it names the street")
        said = {e.stream: e.reason for e in collection_history(connection, MODEL, identity, ANN, None, 50).items}
        assert (said[first], said[first + 1]) == (None, "an address")


def test_why_words_on_a_hidden_feature_were_taken_out_is_hidden(bare: Database) -> None:
    with bare.write() as connection:
        identity = begin(connection, 0, person=BOB)
        for items in ([feature(1, note="masts"), feature(2, note="hulls")], [feature(3, note="sails")]):
            version = act(connection, identity, BOB, kind="add", items=items).version
            take_out(connection, identity, version, reason=f"of {items[0]['note']}")
        entries = entries_of(connection, identity)
        seen = seen_by(entries, Hidden(ANN.id, frozenset({(1, 1)})), {"a": 1, "b": 2})
    assert [entry.deed.reason for entry in entries if isinstance(entry.deed, StoredRedact)] == ["of masts", "of sails"]
    assert [entry.deed.reason for entry in seen if isinstance(entry.deed, StoredRedact)] == [None, "of sails"]


def test_a_redaction_of_before_there_were_reasons_is_read() -> None:
    deed = read_deed("redact", 1, {"target": 3})
    assert isinstance(deed, StoredRedact)
    assert (deed.target, deed.reason) == (3, None)


def test_by_http_a_repeat_changes_nothing_and_a_list_is_of_the_collection(client: TestClient) -> None:
    rows = client.get("/api/features?limit=3").json()["items"]
    names = [{"source": row["source"], "index": row["index"]} for row in rows]
    identity = str(uuid.uuid4())
    body = {"id": identity, "name": "  Ships\n at sea ", "items": [names[0] | {"note": "hull"}]}
    made = client.post("/api/collections", json=body)
    assert (made.status_code, made.json()["name"]) == (201, "Ships at sea")
    assert client.post("/api/collections", json=body).status_code == 200
    other = client.post("/api/collections", json=body | {"name": "other"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "id_reused")
    unknown = client.post("/api/collections", json={**body, "id": str(uuid.uuid4()), "items": [feature(1, "none")]})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_source")

    of_list = f"/api/features?collection={identity}&status=all"
    first = client.get(of_list)
    assert [row["index"] for row in first.json()["items"]] == [names[0]["index"]]
    etag = {"If-None-Match": first.headers["etag"]}
    assert client.get(of_list, headers=etag).status_code == 304
    deed = {"id": str(uuid.uuid4()), "event": {"kind": "add", "items": names}}
    assert client.post(f"/api/collections/{identity}/events", json=deed).status_code == 201
    again = client.post(f"/api/collections/{identity}/events", json=deed)
    assert (again.status_code, again.json()["n_items"]) == (200, 3)
    now = client.get(of_list, headers=etag)
    assert (now.status_code, now.json()["total"]) == (200, 3)
    assert client.get(f"/api/features?collection={uuid.uuid4()}").status_code == 404

    where = f"/api/collections?feature={names[2]['source']}:{names[2]['index']}"
    assert [each["id"] for each in client.get(where).json()["items"]] == [identity]
    assert client.get(f"/api/collections?feature={names[2]['source']}:9999").json()["items"] == []
    seen = client.get(f"/api/collections/{identity}")
    note = {"id": str(uuid.uuid4()), "event": {"kind": "note", "item": names[1], "note": "mast"}}
    out = {"id": str(uuid.uuid4()), "event": {"kind": "redact", "target": seen.json()["version"]}}
    without = client.post(f"/api/collections/{identity}/redactions", json=out)
    assert (without.status_code, without.json()["error"]["field"]) == (422, "reason")
    headers = {"If-Match": seen.headers["etag"]}
    assert client.post(f"/api/collections/{identity}/events", json=note, headers=headers).status_code == 201
    note["id"] = str(uuid.uuid4())
    stale = client.post(f"/api/collections/{identity}/events", json=note, headers=headers)
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "stale")
    assert stale.json()["conflict"]["now"]["items"][1]["note"] == "mast"
