"""Labels as files: what goes out of one database and into another means the same there, once, and is nobody else's."""

from __future__ import annotations

import csv
import io
import json
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import insert, select, update
from starlette.testclient import TestClient
from typer.testing import CliRunner

from mfn_core.errors import MFNError
from mfn_server.access.audit import read_log
from mfn_server.access.person import Person
from mfn_server.cli import app as cli
from mfn_server.collecting.commands import do, make, redact
from mfn_server.collecting.events import Entry, StoredRedact, fold_collection
from mfn_server.collecting.events import Redact as CollectionRedact
from mfn_server.collecting.log import all_collections, collection_differences
from mfn_server.collecting.schemas import CollectionDeedBody, CollectionRedactBody, MakeBody
from mfn_server.db.campaign_tables import Campaign, CampaignItem
from mfn_server.db.installation import Installation
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from mfn_server.db.tables import LabelEvent, Origin
from mfn_server.errors import APIError
from mfn_server.exchange.labels.dataset import COLUMNS, write_dataset
from mfn_server.exchange.labels.events_out import export_lines
from mfn_server.exchange.labels.guard import guarded, unguarded
from mfn_server.exchange.labels.importing import import_labels
from mfn_server.exchange.labels.report import ImportReport
from mfn_server.exchange.labels.table_out import export_table
from mfn_server.exchange.neuronpedia.labels import explanation_lines
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.fold import fold
from mfn_server.labels.log import all_features, lock_log
from mfn_server.labels.payloads import (
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
    Tag,
    Undo,
    Untag,
    Vote,
)
from mfn_server.labels.projections import differences, rows_of
from tests.server.saying import ADA, ANN, BOB, MODEL, add_features, put

WORDS = ("ships", "snow", '=HYPERLINK("http://x")', "<b>&'\"%", "東京 都", "\u202eabc", "'tis", "-1+1")
STREAMS = {"stream", "label", "revision", "accepted", "decided_by", "version", "reply_to"}
CAMPAIGN = uuid.UUID(int=7)


@pytest.fixture
def other(
    bare: Database, database_url: str, copy_of: Callable[[str, Path | None], str], tmp_path: Path
) -> Iterator[Database]:
    """A second database of the same kind, with the same model and nothing said."""
    on_sqlite = database_url.startswith("sqlite")
    opened = open_database(copy_of("migrated", tmp_path / "other.sqlite3" if on_sqlite else None))
    with opened.write() as connection:
        add_features(connection)
        connection.execute(update(Installation).values(id=uuid.uuid4()))
    yield opened
    opened.close()


def speak(database: Database, seed: int, n: int) -> None:
    """Three people and two programs say n things of four features, many of them about what was said before."""
    chance = random.Random(seed)
    known: dict[tuple[str, int], list[int]] = {(key, i): [] for key in "ab" for i in range(2)}
    with database.write() as connection:
        for _ in range(n):
            feature = chance.choice(list(known))
            streams = known[feature]
            person = chance.choice([ANN, BOB, ADA])
            target = chance.choice(streams) if streams else 7
            if chance.random() < 0.08:
                lock_log(connection)
                author = chance.choice(["atlas", "suggest.patterns", "neuronpedia/x"])
                payload = chance.choice(
                    [{"text": chance.choice(WORDS), "confidence": "low"}, {"unclear": True, "text": ""}, None]
                )
                place = ("ab".index(feature[0]) + 1, feature[1])
                streams.append(record_statements(connection, [Statement(place, author, payload, "seen")])[0].stream)
                continue
            said = a_saying(chance, target)
            try:
                base = streams[-1] if streams else 0
                put(
                    connection, ANN, Propose(text="elsewhere"), feature=("c", 0), model=2, base=None
                ) if not streams else 0
            except APIError:
                base = 0
            try:
                streams.append(
                    put(connection, person, said, feature=feature, base=base, reason=chance.choice([None, "so"])).stream
                )
            except APIError:
                continue


def a_saying(chance: random.Random, target: int) -> Payload:
    text = chance.choice(WORDS)
    return chance.choice(
        [
            lambda: Propose(text=text, confidence=chance.choice([None, "high"])),
            lambda: Propose(text=text),
            lambda: Revise(label=target, text=text),
            lambda: Vote(label=target, value=chance.choice(["up", "down", "withdrawn"])),
            lambda: Rate(label=chance.choice([None, target]), specificity=3, evidence=text),
            lambda: Tag(tag=chance.choice(["x", "y"])),
            lambda: Untag(tag="x"),
            lambda: Comment(text=text, reply_to=chance.choice([None, target]), mentions=["bob"]),
            lambda: Flag(flag="duplicate", of=FeatureName(source="b", index=1)),
            lambda: Flag(flag="polysemantic", parts=["one", text]),
            lambda: Opinion(campaign=CAMPAIGN, text=text, specificity=2, tags=["z"], evidence=text),
            lambda: Skip(),
            lambda: Retract(target=target),
            lambda: Undo(target=target),
            lambda: Undo(target=target),
            lambda: Redact(target=target),
            lambda: Accept(label=target),
            lambda: Adjudicate(label=chance.choice([None, target])),
        ]
    )()


def collect(database: Database) -> uuid.UUID:
    identity = uuid.uuid4()
    with database.write() as connection:
        items = [Entry(source="a", index=1, note="=1+1"), Entry(source="b", index=3)]
        make(connection, MODEL, ANN, MakeBody(id=identity, name="ships", items=items))

        def act(person: Person, base: int, **event: Any) -> None:
            body = CollectionDeedBody.model_validate({"id": uuid.uuid4(), "event": event})
            do(connection, MODEL, identity, person, body, base)

        act(BOB, 1, kind="note", item={"source": "b", "index": 3}, note="masts")
        act(BOB, 2, kind="undo", target=2)
        act(ANN, 3, kind="move", item={"source": "b", "index": 3}, before={"source": "a", "index": 1})
    return identity


def fetched(database: Database) -> bytes:
    return "".join(export_lines(database, MODEL)).encode()


def bring(database: Database, file: bytes, **more: Any) -> ImportReport:
    return import_labels(database, MODEL, io.BytesIO(file), **more)


def meaning(database: Database) -> dict[Any, Any]:
    """Everything that stands, with events by id instead of number and people by the end of their ids."""
    found: dict[Any, Any] = {}
    with database.snapshot() as connection:
        ids = {row[0]: row[1] for row in connection.execute(select(LabelEvent.stream, LabelEvent.id))}
        for source_id in (1, 2):
            for place, events in all_features(connection, source_id):
                for table, rows in rows_of(place, fold(events)).items():
                    there = [{name: plain(name, value, ids) for name, value in row.items()} for row in rows.values()]
                    found[place, table.__tablename__] = sorted(there, key=str)
        for entries in all_collections(connection, MODEL):
            state = fold_collection(entries)
            assert state is not None
            items = [(key, item.note, item.added.author_id.split(":")[-1]) for key, item in state.items.items()]
            found[entries[0].collection_id] = (state.name, state.deleted is None, items)
    return found


def plain(name: str, value: Any, ids: dict[int, uuid.UUID]) -> Any:
    if name in STREAMS:
        return value and str(ids[value])
    if name in ("author_id", "mentions", "author"):
        parts = [
            each if each.startswith("program:") else each.split(":")[-1]
            for each in ([value] if isinstance(value, str) else value)
        ]
        return [part.removesuffix(" (imported)") for part in parts]
    return value


@pytest.mark.parametrize("seed", range(2))
def test_what_goes_out_and_in_means_the_same_and_twice_is_once(bare: Database, other: Database, seed: int) -> None:
    speak(bare, seed, 250)
    collect(bare)
    file = fetched(bare)
    n = len(file.splitlines()) - 2 - 4
    assert n > 100

    tried = bring(other, file, dry_run=True)
    assert (tried.new, tried.taken_in, tried.problems) == (n, False, [])
    assert all(rows == [] for rows in meaning(other).values())

    report = bring(other, file)
    assert report.taken_in
    assert report.model_dump(exclude={"dry_run", "taken_in"}) == tried.model_dump(exclude={"dry_run", "taken_in"})
    assert sum(report.kinds.values()) == n
    assert (report.left_out, report.new_collection_events) == ([], 4)
    assert meaning(other) == meaning(bare)
    assert {who.id: who.becomes for who in report.people}["ann"] == f"imported:{report.origin}:ann"
    with other.snapshot() as connection:
        assert list(differences(connection)) == []
        assert collection_differences(connection) == []
        people = select(LabelEvent.author_id).where(LabelEvent.origin == Origin.HUMAN)
        assert all(each.startswith("imported:") for each in connection.scalars(people))

    again = bring(other, file)
    assert (again.new, again.already_here, again.new_collection_events, again.left_out) == (0, n, 0, [])
    assert (again.problems, meaning(other)) == ([], meaning(bare))

    # words of a collection that are taken out there are taken out here, too, and from then on are one with the others
    with bare.write() as connection:
        (entries,) = all_collections(connection, MODEL)
        for target in (entries[0].stream, entries[1].stream):
            body = CollectionRedactBody(id=uuid.uuid4(), event=CollectionRedact(target=target), reason="an address")
            assert redact(connection, MODEL, entries[0].collection_id, ADA, body)
    assert "masts" not in fetched(bare).decode()
    assert bring(other, fetched(bare)).new_collection_events == 2
    with other.snapshot() as connection:
        (entries,) = all_collections(connection, MODEL)
    reasons = [entry.deed.reason for entry in entries if isinstance(entry.deed, StoredRedact)]
    assert reasons == ["an address", "an address"]
    assert bring(other, file).problems == []  # nor does an older file bring them back
    assert "masts" not in fetched(other).decode()
    assert meaning(other) == meaning(bare)

    # what is said later comes with the next file, and what came back from there is here already
    speak(bare, seed + 100, 60)
    later = bring(other, fetched(bare))
    assert later.already_here == n
    assert later.new > 0
    assert (later.problems, later.left_out, meaning(other)) == ([], [], meaning(bare))
    back = bring(bare, fetched(other))
    assert (back.new, back.already_here, back.problems) == (0, n + later.new, [])
    with other.snapshot() as connection:
        assert list(differences(connection)) == []


def test_what_was_said_and_decided_here_stays(bare: Database, other: Database) -> None:
    with bare.write() as connection:
        there = put(connection, ANN, Propose(text="boats"))
        put(connection, ANN, Tag(tag="sea"))
    first = fetched(bare)
    with other.write() as connection:
        mine = put(connection, ANN, Propose(text="ships"))
        put(connection, ANN, Tag(tag="water"))
        put(connection, ADA, Accept(label=mine.stream), base=mine.stream + 1)
        lock_log(connection)
        record_statements(connection, [Statement((1, 0), "atlas", {"text": "of the atlas here"}, None)])
    assert bring(other, first).new == 2
    bring(bare, fetched(other))  # ANN of there knows now what ANN of here said
    with bare.write() as connection:
        streams = {row[0]: row[1] for row in connection.execute(select(LabelEvent.id, LabelEvent.stream))}
        last = max(streams.values())
        put(connection, ADA, Undo(target=streams[mine.id]), base=last)
        put(connection, BOB, Untag(tag="water"))
        put(connection, ADA, Accept(label=there.stream), base=last + 1)
        put(connection, ADA, Redact(target=streams[mine.id]), reason="secret")
        lock_log(connection)
        record_statements(connection, [Statement((1, 0), "atlas", {"text": "of the atlas there"}, None)])
        put(connection, BOB, Comment(text="fine"))
    report = bring(other, fetched(bare))
    assert {each.why: each.events for each in report.left_out} == {
        "changes_what_was_said_here": 3,
        "decided_here": 1,
    }
    assert report.kinds == {"comment": 1, "propose": 1}
    with other.snapshot() as connection:
        (_, events), *_ = all_features(connection, 1)
        state = fold(events)
        assert {label.text for label in state.labels.values()} == {"ships", "boats", "of the atlas there"}
        assert (state.accepted_label, set(state.tags)) == (mine.stream, {"sea", "water"})
    assert bring(other, fetched(bare)).new == 0


def test_a_program_that_speaks_in_both_places_is_heard_here(bare: Database, other: Database) -> None:
    for database, text in ((bare, "there"), (other, "here")):
        with database.write() as connection:
            lock_log(connection)
            record_statements(connection, [Statement((1, 0), "atlas", {"text": text}, None)])
            record_statements(connection, [Statement((1, 0), "neuronpedia/x", {"text": text}, None)])
    report = bring(other, fetched(bare))
    assert [(each.why, each.events) for each in report.left_out] == [("program_spoke_here", 1)]
    with other.snapshot() as connection:
        (_, events), *_ = all_features(connection, 1)
        assert sorted(label.text for label in fold(events).labels.values()) == ["here", "here", "there"]


def changed(file: bytes, line: int, **fields: Any) -> bytes:
    lines = file.splitlines(keepends=True)
    return b"".join([*lines[:line], json.dumps(json.loads(lines[line]) | fields).encode() + b"\n", *lines[line + 1 :]])


@pytest.mark.parametrize(
    ("damage", "line", "message"),
    [
        (lambda file: file.replace(b'"type":"event"', b'"type":"event', 1), 2, "is no JSON"),
        (lambda file: b"".join(file.splitlines(keepends=True)[:-1]), 5, "ends before its last line"),
        (lambda file: b"".join([*file.splitlines(keepends=True)[:3], file.splitlines()[-1]]), 4, "says that it has 3"),
        (lambda file: file + file, 6, "stands behind the end"),
        (lambda file: b"kind,source\n", 1, "is no header"),
        (lambda file: changed(file, 0, model={"name": "x", "fingerprint": "y"}), 1, "labels of another model: x"),
        (lambda file: changed(file, 0, version=9), 1, "newer than this app"),
        (lambda file: changed(file, 1, index=10), 2, "there is no feature 10 in a"),
        (lambda file: changed(file, 1, source="z"), 2, "there is no source 'z'"),
        (lambda file: changed(file, 1, payload={"text": "x" * 501}), 2, "text: Value should have at most 500"),
        (lambda file: changed(file, 1, payload={"text": " "}), 2, "must not be blank"),
        (lambda file: changed(file, 1, version=99), 2, "newer version of MFN Studio"),
        (lambda file: changed(file, 1, origin="automatic"), 2, "does not fit origin"),
        (
            lambda file: changed(file, 2, payload={"label": str(uuid.uuid4()), "value": "up"}),
            3,
            "label: there is no event",
        ),
        (lambda file: changed(file, 3, payload={"label": "17", "value": "up"}), 4, "label: there is no event"),
        (lambda file: changed(file, 1, surprise=1), 2, "surprise: Extra inputs"),
        (lambda file: changed(file, 1, redacted=True), 2, "what took them out is not in the file"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_taken_in(
    bare: Database, other: Database, damage: Callable[[bytes], bytes], line: int, message: str
) -> None:
    with bare.write() as connection:
        label = put(connection, ANN, Propose(text="ships"))
        put(connection, BOB, Vote(label=label.stream, value="up"))
        put(connection, ADA, Vote(label=label.stream, value="up"))
    report = bring(other, damage(fetched(bare)))
    assert (report.problems[0].line, report.taken_in) == (line, False)
    assert message in report.problems[0].message
    assert report.problems[0].hint
    assert all(rows == [] for rows in meaning(other).values())


def test_an_event_that_was_changed_elsewhere_is_a_conflict_and_writes_nothing_over(bare: Database) -> None:
    with bare.write() as connection:
        put(connection, ANN, Propose(text="ships"))
    report = bring(bare, changed(fetched(bare), 1, payload={"text": "forged"}))
    assert "is here already and says something else" in report.problems[0].message
    assert next(iter(meaning(bare).values()))[0]["text"] == "ships"


def test_another_models_labels_come_in_only_where_sources_are_named(bare: Database, other: Database) -> None:
    with bare.write() as connection:
        put(connection, ANN, Propose(text="ships"))
        put(connection, ANN, Flag(flag="duplicate", of=FeatureName(source="a", index=3)))
    file = changed(fetched(bare), 0, model={"name": "x", "fingerprint": "y"})
    assert bring(other, file, renamed={"b": "a"}).n_problems == 2
    assert "no source 'none' here" in bring(other, file, renamed={"a": "none"}).problems[0].message
    assert bring(other, file, renamed={"a": "b"}).new == 2
    with other.snapshot() as connection:
        ((place, events),) = all_features(connection, 2)
        assert place == (2, 0)
        (flag,) = fold(events).flags.values()
        assert flag.payload.kept()["of"] == {"source": "b", "index": 3}


def test_somebody_is_somebody_here_only_where_that_is_said(bare: Database, other: Database) -> None:
    with bare.write() as connection:
        mine = put(connection, ANN, Propose(text="ships"))
        put(connection, BOB, Comment(text="look", mentions=["ann"]))
    report = bring(other, fetched(bare), known={"ann": ("ann", "Ann")})
    assert [(who.becomes, who.becomes_name) for who in report.people] == [
        ("ann", "Ann"),
        (f"imported:{report.origin}:bob", "Bob (imported)"),
    ]
    with bare.write() as connection:
        put(connection, ANN, Retract(target=mine.stream), base=mine.stream + 1)
    with other.snapshot() as connection:
        (noted,) = read_log(connection, None, "labels.imported", 5)
    assert (noted.via, noted.subject) == ("command line", str(report.origin))
    assert noted.details == {"events": 2, "collection_events": 0, "people": {"ann": "Ann"}}
    later = bring(other, fetched(bare), known={"ann": ("ann", "Ann")})
    assert (later.new, later.already_here, later.left_out) == (1, 2, [])


def campaign(database: Database, *, blind: bool = True) -> None:
    with database.write() as connection:
        row = {"id": CAMPAIGN, "model_id": MODEL, "version": 1, "name": "c", "instructions": "", "opinions": 2}
        row |= {"is_blind": blind, "for_all": True, "author_id": "ada", "author": "Ada"}
        connection.execute(insert(Campaign).values(row | {"created_at": datetime.now(UTC)}))
        connection.execute(insert(CampaignItem).values(campaign_id=CAMPAIGN, source_id=1, number=0, importance=1.0))


def test_what_is_hidden_in_a_blind_campaign_is_in_no_file_until_it_ends(bare: Database, other: Database) -> None:
    campaign(bare)
    identity = uuid.uuid4()
    with bare.write() as connection:
        items = [Entry(source="a", index=0, note="zebra"), Entry(source="a", index=1)]
        make(connection, MODEL, ANN, MakeBody(id=identity, name="of both", items=items))
        put(connection, ANN, Opinion(campaign=CAMPAIGN, text="zebra"))
        put(connection, ANN, Comment(text="zebra"))
        put(connection, ANN, Propose(text="seen"), feature=("a", 1))
    files = (export_lines, export_table, explanation_lines)
    for text in ("".join(export(bare, MODEL)) for export in files):
        assert "zebra" not in text
        assert "seen" in text
    assert json.loads(fetched(bare).splitlines()[0])["withheld"] == 1
    assert bring(other, fetched(bare)).new == 1
    with bare.write() as connection:
        put(connection, BOB, Opinion(campaign=CAMPAIGN, text="horse"))
    file = fetched(bare)
    assert all("zebra" in "".join(export(bare, MODEL)) for export in files)
    report = bring(other, file)
    assert (report.new, report.already_here, report.new_collection_events) == (3, 1, 1)
    assert meaning(other) == meaning(bare)


def test_opinions_do_not_come_in_past_a_queue_that_is_open(bare: Database, other: Database) -> None:
    with bare.write() as connection:
        opinion = put(connection, ANN, Opinion(campaign=CAMPAIGN, text="ships"))
        put(connection, BOB, Vote(label=opinion.stream, value="up"))
    campaign(other, blind=False)
    report = bring(other, fetched(bare))
    assert {each.why: each.lines for each in report.left_out} == {"campaign_open_here": [2], "rests_on_left_out": [3]}


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*WORDS, "+", "@a", "\tx", "＝1", "''=1", "'", "", "a=b", "'=x"])
def test_no_cell_is_a_formula_and_every_cell_comes_back(text: str) -> None:
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))
    assert unguarded(guarded(text)) == text


def test_a_table_shows_what_stands_and_comes_in_as_labels(bare: Database, other: Database) -> None:
    with bare.write() as connection:
        label = put(connection, ANN, Propose(text='=HYPERLINK("http://x")'), reason='two\nlines, "quoted"')
        put(connection, BOB, Vote(label=label.stream, value="up"))
        put(connection, BOB, Opinion(campaign=CAMPAIGN, text="@boats", tags=["z", "a"]), feature=("b", 2))
        lock_log(connection)
        record_statements(connection, [Statement((1, 4), "atlas", {"text": "of a program"}, None)])
    text = "".join(export_table(bare, MODEL))
    assert text.startswith("\ufeffkind,")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert [(row["kind"], row["text"], row["standing"], row["up"], row["tags"]) for row in rows] == [
        ("label", '\'=HYPERLINK("http://x")', "shown", "1", ""),
        ("label", "of a program", "shown", "0", ""),
        ("label", "'@boats", "shown", "0", "a; z"),
        ("opinion", "'@boats", "", "", "z; a"),
    ]
    assert rows[0]["reason"] == 'two\nlines, "quoted"'

    here = bring(bare, text.encode(), format="csv")
    assert (here.new, here.already_here, here.problems) == (0, 2, [])
    report = bring(other, text.encode(), format="csv")
    assert (report.new, report.kinds) == (2, {"propose": 2})
    assert [(each.why, each.lines) for each in report.left_out] == [("no_label_of_a_person", [4, 6])]
    assert bring(other, text.encode(), format="csv").already_here == 2
    with other.snapshot() as connection:
        texts = [
            label.text
            for key in (1, 2)
            for _, events in all_features(connection, key)
            for label in fold(events).labels.values()
        ]
        assert texts == ['=HYPERLINK("http://x")', "@boats"]
        assert set(connection.scalars(select(LabelEvent.author_id))) == {"imported:file:Ann", "imported:file:Bob"}


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        ("index,text\n1,x\n", 1, "has no column 'source'"),
        ("layer,text\n1,x\n", 1, "has no column 'index'"),
        ("layer,index,text\n1,2,\n", 2, "must not be blank"),
        ("layer,index,text\n1,2,ok\n9,1,x\n", 3, "layer: '9' has no features"),
        ("layer,index,text\n1,-2,x\n", 2, "is no number of a feature"),
        ("layer,index,text\n1,99,x\n", 2, "there is no feature 99 in a"),
        ("layer,index,text,confidence\n1,2,x,very\n", 2, "confidence: Input should be"),
        ("layer,index,text\n1,2,ok\n1,2,\udcff\n", 1, "is not UTF-8"),
        ('layer,index,text\n1,2,"x\n', 1, "is no CSV"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_taken_in(bare: Database, table: str, line: int, message: str) -> None:
    report = bring(bare, table.encode(errors="surrogateescape"), format="csv")
    assert (report.problems[0].line, report.taken_in) == (line, False)
    assert message in report.problems[0].message
    assert meaning(bare) == {}


def test_a_dataset_says_what_the_tables_hold_and_comes_back_as_events(
    bare: Database, other: Database, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with bare.write() as connection:
        put(connection, ANN, Propose(text="=ships"))
        put(connection, ANN, Opinion(campaign=CAMPAIGN, text="boats", tags=["z"]), feature=("b", 1))
    folder = tmp_path / "dataset"
    assert write_dataset(bare, MODEL, folder) == "2 labels, 1 opinions, 0 comments, 2 events"
    tables = {path.stem: parquet.read_table(path).to_pylist() for path in (folder / "data").iterdir()}
    assert [row["text"] for row in tables["labels"]] == ["=ships", "boats"]
    assert [(row["tags"], row["author"]) for row in tables["opinions"]] == [(["z"], "Ann")]
    assert parquet.read_schema(folder / "data" / "comments.parquet").names == list(COLUMNS["comments"])
    head = (folder / "README.md").read_text(encoding="utf-8").split("---")[1]
    paths = [each["data_files"][0]["path"] for each in yaml.safe_load(head)["configs"]]
    assert [(folder / path).is_file() for path in paths] == [True] * 3
    assert bring(other, (folder / "events.jsonl").read_bytes()).new == 2
    with pytest.raises(MFNError, match="is there already"):
        write_dataset(bare, MODEL, folder)


# -- the command, and HTTP ---------------------------------------------------------------------------------------------


def test_the_commands(bare: Database, other: Database, tmp_path: Path) -> None:
    with bare.write() as connection:
        put(connection, ANN, Propose(text="ships"))
    urls = [database.url.render_as_string(hide_password=False) for database in (bare, other)]
    file = tmp_path / "labels.jsonl"

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["labels", *arguments])
        return result.exit_code, result.output + str(result.exception or "")

    assert run("export", str(file), "--model", "f1", "--db", urls[0]) == (0, f"wrote {file}: 3 lines\n")
    assert "is there already" in run("export", str(file), "--model", "f1", "--db", urls[0])[1]
    assert "say which model" in run("export", str(tmp_path / "x"), "--db", urls[0])[1]
    assert run("export", str(tmp_path / "np"), "--format", "neuronpedia", "--model", "f1", "--db", urls[0])[0] == 0
    assert len(list((tmp_path / "np").glob("*/explanations/batch-0.jsonl.gz"))) == 1
    code, said = run("import", str(file), "--dry-run", "--db", urls[1])
    assert code == 0
    assert "m: would take in 1 of 1 events, on 1 features; 0 are here already" in said
    assert "took in 1 of 1" in run("import", str(file), "--db", urls[1])[1]
    assert "took in 0 of 1 events, on 0 features; 1 are here already" in run("import", str(file), "--db", urls[1])[1]
    file.write_bytes(file.read_bytes().replace(b"ships", b"boats"))
    code, said = run("import", str(file), "--db", urls[1])
    assert code == 1
    assert "line 2: event" in said
    assert "nothing was taken in: 1 lines" in said
    assert "nobody here is called 'Zoe'" in run("import", str(file), "--person", "ann=Zoe", "--db", urls[1])[1]


def test_over_http(client: TestClient) -> None:
    row = client.get("/api/features?limit=1").json()["items"][0]
    said = {"id": str(uuid.uuid4()), "event": {"kind": "propose", "text": "=ships"}}
    assert client.post(f"/api/features/{row['source']}/{row['index']}/events", json=said).status_code == 201
    file = client.get("/api/labels/export")
    assert (file.status_code, file.headers["content-type"]) == (200, "application/x-ndjson")
    assert 'attachment; filename="labels-' in file.headers["content-disposition"]
    table = client.get("/api/labels/export?format=csv")
    assert "'=ships" in table.text
    (explanation,) = client.get("/api/labels/export?format=neuronpedia").text.splitlines()
    assert (json.loads(explanation)["description"], json.loads(explanation)["index"]) == ("=ships", str(row["index"]))
    assert client.get("/api/labels/export?format=xls").status_code == 422

    again = client.post("/api/labels/import", content=file.content).json()
    assert (again["new"], again["already_here"], again["taken_in"]) == (0, 1, True)
    wrong = client.post("/api/labels/import?dry_run=true", content=file.content[:-20]).json()
    assert (wrong["n_problems"], wrong["taken_in"], wrong["problems"][0]["line"]) == (1, False, 3)
    new = f"source,index,text,author\n{row['source']},{row['index']},harbours,Zoe\n"
    report = client.post("/api/labels/import?format=csv", content=new.encode()).json()
    assert (report["new"], report["people"][0]["becomes_name"]) == (1, "Zoe (imported)")
    assert client.post("/api/labels/import", content=b"").status_code == 422
    long = b"source,index,text\n" + b"x" * 1_100_000
    assert client.post("/api/labels/import?format=csv", content=long).status_code == 200
    assert client.post("/api/collections", content=long).status_code == 413
