"""Lists against a plain reference, whatever is asked; what is kept in memory is never stale; ETags; compression."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, select, update
from starlette.testclient import TestClient

from mfn_core.indexing.types import CorpusIndex
from mfn_server.db.session import Database
from mfn_server.db.tables import FeatureColumn, Label, LabelEvent, Source
from mfn_server.features.status import STATUSES, status_codes
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import lock_log
from mfn_server.naming.figures import Figure
from mfn_server.naming.runs import Starter, new_run
from mfn_server.naming.score_store import Judged, add_scores
from tests.server.saying import name_feature

Store = Callable[[Database, CorpusIndex], int]
Maker = Callable[..., TestClient]
Row = dict[str, Any]

NAMES = ("pear", "Apple", "fig", "apple", "a fig tree")


def label(client: TestClient, source: str, number: int, text: str, author: str) -> None:
    name_feature(client, f"/api/features/{source}/{number}", text, author)


def by_a_program(database: Database, layer: int, number: int, text: str) -> None:
    with database.write() as connection:
        source_id = connection.scalar(select(Source.id).where(Source.layer == layer))
        assert source_id is not None
        lock_log(connection)
        record_statements(connection, [Statement((source_id, number), "robot", {"text": text}, None)])


@pytest.fixture
def labelled(client: TestClient, indexed: Database) -> TestClient:
    """Features with labels by two people and a program; the last is overruled on feature 3."""
    sources = [source["key"] for source in client.get("/api/model").json()["sources"]]
    for layer in (0, 1):
        for i, text in enumerate(NAMES):
            label(client, sources[layer], 7 * i + layer, text, "ann" if i % 2 else "bob")
        for number in (3, 5, 40):
            by_a_program(indexed, layer, number, f"fig {number}")
        label(client, sources[layer], 3, "zoo", "bob")
    return client


def plain_rows(client: TestClient, index: CorpusIndex, database: Database) -> list[Row]:
    """All features with all that filters and orders look at, from the index's arrays and the rows of labels."""
    texts = client.app.state.studio.known.token_texts  # type: ignore[attr-defined]
    with database.read() as connection:
        labels = connection.execute(select(Label, Source.layer).join(Source)).all()
    rows: list[Row] = []
    for layer in index.layers:
        assert layer.token_r2 is not None
        assert layer.half_firings is not None
        for j in range(layer.n_features):
            mine = [row for row in labels if (row.layer, row.number) == (layer.layer, j)]
            shown = next((row for row in mine if row.is_primary), None)
            count = int(layer.firing_count[j])
            r2 = float(layer.token_r2[j])
            listed = layer.top_token_ids[j][layer.top_token_share[j] > 0].tolist()
            rows.append(
                {
                    "layer": layer.layer,
                    "index": j,
                    "count": count,
                    "rate": count / index.n_tokens,
                    "max": float(layer.maximum[j]),
                    "mean": float(layer.mean[j]),
                    "token_r2": None if np.isnan(r2) else r2,
                    "half_firings": int(layer.half_firings[j]),
                    "status": STATUSES[int(status_codes(count, index.n_tokens))],
                    "label": shown and shown.text,
                    "origin": shown and shown.origin,
                    "authors": {row.author for row in mine},
                    "tokens": {texts[number].strip().casefold() for number in listed},
                    "tags": {f"tag{document}" for document in layer.contexts.document[layer.contexts.feature == j]},
                }
            )
    return rows


def passes(row: Row, query: Row) -> bool:
    def within(value: float | None, low: str, high: str) -> bool:
        if low not in query and high not in query:
            return True
        return value is not None and query.get(low, value) <= value <= query.get(high, value)

    status = query.get("status", "alive")
    words = (row["label"] or "").casefold().split()
    return (
        query.get("layer", row["layer"]) == row["layer"]
        and {
            "alive": row["count"] > 0,
            "unlabelled": row["count"] > 0 and row["label"] is None,
            "labelled": row["label"] is not None,
            "all": True,
        }.get(status, row["status"] == status)
        and within(row["rate"], "min_rate", "max_rate")
        and within(row["max"], "min_max", "max_max")
        and within(row["token_r2"], "min_token_r2", "max_token_r2")
        and row["half_firings"] >= query.get("min_half_firings", 0)
        and query.get("origin", row["origin"]) == row["origin"]
        and ("author" not in query or query["author"] in row["authors"])
        and ("token" not in query or query["token"].strip().casefold() in row["tokens"])
        and ("tag" not in query or query["tag"] in row["tags"])
        and ("label" not in query or any(word.startswith(query["label"]) for word in words))
    )


def telling(row: Row) -> float:
    """The definition in docs/reference/api.md, for one feature; as a server keeps it, in float32."""
    if not (row["count"] > 0 and row["max"] > row["mean"] > 0):
        return 0.0
    context = 0.5 if row["token_r2"] is None else 1 - min(1.0, max(0.0, row["token_r2"]))
    surprise, above = np.log2(1 / np.float64(row["rate"])), np.log2(np.float64(row["max"]) / np.float64(row["mean"]))
    return float(np.float32(surprise * above * context * row["count"] / (row["count"] + 200)))


def in_order(rows: list[Row], sort: str, descending: bool) -> list[Row]:
    ties = sorted(rows, key=lambda row: (row["layer"], row["index"]))
    if sort == "telling":
        said = sorted(ties, key=telling, reverse=descending)
        return sorted(said, key=lambda row: ("human", "automatic", None).index(row["origin"]))
    value = {"label": lambda row: row["label"] and row["label"].lower()}.get(sort, lambda row: row[sort])
    known = sorted((row for row in ties if value(row) is not None), key=value, reverse=descending)
    return known + [row for row in ties if value(row) is None]  # `reverse` keeps equal ones in their order


@st.composite
def queries(draw: st.DrawFn, rows: list[Row]) -> Row:
    """Filters, each there or not; half of the bounds are exactly some feature's."""

    def bound(name: str) -> st.SearchStrategy[float]:
        values = [row[name] for row in rows if row[name] is not None]
        return st.one_of(st.sampled_from(values), st.floats(min(values), max(values)))

    tokens = sorted({token for row in rows for token in row["tokens"] if token})
    optional = {
        "layer": st.integers(0, 2),
        "status": st.sampled_from(["alive", "labelled", "unlabelled", "undetermined", "dead", "all"]),
        "min_rate": bound("rate"),
        "max_rate": bound("rate"),
        "min_max": bound("max"),
        "max_max": bound("max"),
        "min_token_r2": bound("token_r2"),
        "max_token_r2": bound("token_r2"),
        "min_half_firings": st.integers(0, 6),
        "origin": st.sampled_from(["human", "automatic"]),
        "author": st.sampled_from(["ann", "bob", "robot", "nobody"]),
        "token": st.sampled_from(tokens),
        "tag": st.sampled_from([f"tag{i}" for i in range(9)]),
        "label": st.sampled_from(["fig", "app", "z", "nothing"]),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True))
    return {name: draw(optional[name]) for name in chosen}


def test_lists_are_those_of_a_plain_reference(labelled: TestClient, indexed: Database, tiny_index: CorpusIndex) -> None:
    rows = plain_rows(labelled, tiny_index, indexed)
    assert {row["origin"] for row in rows} == {None, "human", "automatic"}

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        queries(rows),
        st.sampled_from(["telling", "rate", "max", "mean", "token_r2", "index", "label"]),
        st.sampled_from(["asc", "desc"]),
        st.integers(3, 40),
        st.integers(0, 100),
    )
    def check(query: Row, sort: str, order: str, limit: int, at: int) -> None:
        wanted = in_order([row for row in rows if passes(row, query)], sort, order == "desc")
        expected = [(row["layer"], row["index"], row["label"]) for row in wanted]
        asked = {**query, "sort": sort, "order": order, "limit": limit}
        found: list[tuple[int, int, str | None]] = []
        cursor: str | None = None
        while cursor is not None or not found:
            body = labelled.get("/api/features", params=asked if cursor is None else {**asked, "cursor": cursor}).json()
            assert (body["total"], body["start"]) == (len(expected), len(found))
            found += [(row["layer"], row["index"], row["label"]) for row in body["items"]]
            cursor = body["next_cursor"]
            if cursor is None:
                break
        assert found == expected
        jumped = labelled.get("/api/features", params={**asked, "at": at}).json()
        places = [(row["layer"], row["index"], row["label"]) for row in jumped["items"]]
        assert places == expected[at : at + limit]
        assert jumped["start"] == min(at, len(expected))

    check()


def test_a_list_goes_by_what_the_shown_names_score_now(labelled: TestClient, indexed: Database) -> None:
    """The last score of the words that stand, whoever read them; older ones and other labels' do not count."""
    with indexed.snapshot() as connection:
        of = select(Source.key, Label.number, Label.source_id, Label.stream, Label.revision, Label.is_primary)
        labels = connection.execute(of.join(Source, Source.id == Label.source_id)).all()
    named = {(row.key, row.number): row for row in labels if row.is_primary}
    others = [row for row in labels if not row.is_primary]
    chance = np.random.default_rng(3)
    expected: dict[tuple[str, int], float] = {}
    with indexed.write() as connection:
        run_ids = [new_run(connection, 1, "score", {"corpus": "text", "seed": seed}, Starter()) for seed in range(2)]
        for turn, run_id in enumerate(run_ids):
            for place, row in list(named.items())[turn:]:
                value = round(float(chance.choice([0.25, 0.5, 0.75])), 2)
                about = (row.source_id, row.number), row.stream, row.revision
                judged = Judged(*about, "detection", f"reader {turn}", Figure(value, 0.0, 1.0, 4))
                add_scores(connection, run_id, [judged, replace(judged, scorer="fuzzing", figure=Figure(0.1, 0, 1, 4))])
                expected[place] = value
        for row in others:  # a label beside the one that is shown
            about = (row.source_id, row.number), row.stream, row.revision
            add_scores(connection, run_ids[0], [Judged(*about, "detection", "", Figure(1.0, 0.9, 1.0, 4))])
    assert len(set(expected.values())) == 3, "some are equal, some are not"
    (key, number), reworded = next(iter(named.items()))
    page = f"/api/features/{key}/{number}"
    body = {"id": str(uuid.uuid4()), "base_version": labelled.get(f"{page}/labels").json()["version"]}
    said = {"kind": "revise", "label": reworded.stream, "text": "other words"}
    assert labelled.post(f"{page}/events", json=body | {"event": said}).status_code == 201
    del expected[key, number]

    rows = labelled.get("/api/features?status=all&sort=index&limit=200").json()["items"]
    layers = {row["source"]: row["layer"] for row in rows}
    for order, sign in (("asc", 1), ("desc", -1)):
        url = f"/api/features?status=all&sort=score&order={order}&limit=7"
        found, cursor = [], ""
        for _ in range(5):
            answer = labelled.get(f"{url}{cursor}").json()
            found += [(row["source"], row["index"], row["score"]) for row in answer["items"]]
            cursor = f"&cursor={answer['next_cursor']}"
        by_value = sorted(expected, key=lambda place: (sign * expected[place], layers[place[0]], place[1]))
        assert found[: len(expected)] == [(*place, expected[place]) for place in by_value]
        assert {score for *_, score in found[len(expected) :]} == {None}
    fuzzing = labelled.get("/api/features?sort=score&scorer=fuzzing&status=all&limit=1").json()["items"][0]
    assert fuzzing["score"] == pytest.approx(0.1)
    assert "score" not in rows[0]

    held = {"If-None-Match": labelled.get(url).headers["etag"]}
    assert labelled.get(url, headers=held).status_code == 304
    best = by_value[-1]
    with indexed.write() as connection:
        about = (named[best].source_id, best[1]), named[best].stream, named[best].revision
        add_scores(connection, run_ids[1], [Judged(*about, "detection", "third", Figure(0.99, 0.9, 1.0, 4))])
    again = labelled.get(url, headers=held)
    assert (again.status_code, again.json()["items"][0]["index"]) == (200, best[1])


def test_a_page_begins_at_a_rank_or_at_a_cursor(client: TestClient) -> None:
    cursor = client.get("/api/features", params={"limit": 1}).json()["next_cursor"]
    answer = client.get("/api/features", params={"limit": 1, "cursor": cursor, "at": 3})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    after_jump = client.get("/api/features", params={"limit": 2, "at": 3}).json()
    going_on = client.get("/api/features", params={"limit": 2, "cursor": after_jump["next_cursor"]}).json()
    assert going_on["start"] == 5


def test_a_cursor_goes_on_where_it_was_when_the_index_is_made_anew(
    client: TestClient, indexed: Database, store_index: Store, tiny_index: CorpusIndex
) -> None:
    whole = client.get("/api/features", params={"limit": 200}).json()["items"]
    first = client.get("/api/features", params={"limit": 10}).json()
    store_index(indexed, tiny_index)
    rest = client.get("/api/features", params={"limit": 200, "cursor": first["next_cursor"]}).json()["items"]
    assert first["items"] + rest == whole


def test_what_one_server_writes_another_shows_at_once(
    client: TestClient,
    database_url: str,
    indexed: Database,
    make_client: Maker,
    store_index: Store,
    tiny_index: CorpusIndex,
) -> None:
    """Both hold the features in memory, and have shown them before."""
    other = make_client(database_url)
    row = client.get("/api/features", params={"limit": 1}).json()["items"][0]
    for text in ("pear", "Apple", "fig"):
        before = other.get("/api/features", params={"status": "labelled"}).json()["total"]
        label(client, row["source"], row["index"] + before, text, "ann")
        for server in (client, other):
            named = server.get("/api/features", params={"status": "labelled", "sort": "label"}).json()
            assert named["total"] == before + 1
            assert text in [item["label"] for item in named["items"]]
    store_index(indexed, tiny_index)
    for server in (client, other):
        again = server.get("/api/features", params={"status": "labelled", "sort": "label"}).json()
        assert [item["label"] for item in again["items"]] == ["Apple", "fig", "pear"]


def test_labels_that_are_followed_are_those_that_are_read_anew(
    labelled: TestClient, database_url: str, indexed: Database, make_client: Maker
) -> None:
    """One server has seen every event come; the other starts now. A label that is taken back goes from both."""
    with indexed.write() as connection:
        lock_log(connection)
        taken = connection.execute(select(Label).where(Label.text == "fig 40").limit(1)).one()
        record_statements(connection, [Statement((taken.source_id, taken.number), "robot", None, None)])
    anew = make_client(database_url)
    for query in ({"status": "labelled"}, {"sort": "label", "order": "desc"}, {"origin": "automatic"}):
        lists = [server.get("/api/features", params={**query, "limit": 200}).json() for server in (labelled, anew)]
        assert lists[0] == lists[1]
        assert lists[0]["total"] > 0
    assert "fig 40" in [row["label"] for row in lists[0]["items"]], "that of the other layer stands"
    assert lists[0]["total"] == 3


def test_without_its_columns_a_run_is_said_to_be_in_preparation(
    indexed: Database, database_url: str, make_client: Maker
) -> None:
    with indexed.write() as connection:
        connection.execute(delete(FeatureColumn))
    answer = make_client(database_url).get("/api/features")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "index_not_ready")
    assert answer.headers["retry-after"]


def test_a_run_from_before_it_had_columns_of_tokens_is_shown_alike(
    client: TestClient, indexed: Database, database_url: str, make_client: Maker
) -> None:
    row = client.get("/api/features").json()["items"][0]
    page = f"/api/features/{row['source']}/{row['index']}"
    expected = client.get(page).json()
    assert any(other["top_tokens"] for other in expected["neighbours"])
    with indexed.write() as connection:
        columns = FeatureColumn.name.in_(["foremost_ids", "foremost_shares"])
        assert connection.execute(delete(FeatureColumn).where(columns)).rowcount > 0
    assert make_client(database_url).get(page).json() == expected


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Notes what is executed through any engine on it."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


def test_an_unchanged_answer_is_not_sent_again(client: TestClient) -> None:
    while client.get("/api/health").json()["busy"]:  # what an app does when it starts would count as the answer's
        time.sleep(0.01)
    database = client.app.state.studio.database  # type: ignore[attr-defined]
    row = client.get("/api/features").json()["items"][0]
    page = f"/api/features/{row['source']}/{row['index']}"
    tags = set()
    for url in ("/api/features", "/api/features?layer=1", page):
        first = client.get(url)
        assert first.headers["cache-control"] == "private, no-cache"
        tags.add(first.headers["etag"])
        for held in (
            first.headers["etag"],
            first.headers["etag"].removeprefix("W/"),
            f'"x", {first.headers["etag"]}',
            "*",
        ):
            with statements(database) as seen:
                again = client.get(url, headers={"If-None-Match": held})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
            reads = [one for one in seen if one.startswith("SELECT")]
            assert len(reads) == 3, "the runs shown, the last event, and blind campaigns"
        assert client.get(url, headers={"If-None-Match": '"another"'}).status_code == 200
    assert len(tags) == 3


def test_a_label_and_a_new_index_change_every_etag(
    client: TestClient, indexed: Database, store_index: Store, tiny_index: CorpusIndex
) -> None:
    row = client.get("/api/features").json()["items"][0]
    urls = ("/api/features", f"/api/features/{row['source']}/{row['index']}")
    held = {url: client.get(url).headers["etag"] for url in urls}

    def changed() -> bool:
        answers = [client.get(url, headers={"If-None-Match": held[url]}) for url in urls]
        held.update({url: answer.headers["etag"] for url, answer in zip(urls, answers, strict=True)})
        return all(answer.status_code == 200 for answer in answers)

    assert not changed()
    label(client, row["source"], row["index"], "new", "ann")
    assert changed()
    store_index(indexed, tiny_index)
    assert changed()
    with indexed.write() as connection:  # as in a database made anew, whose events count from 1 again
        connection.execute(update(LabelEvent).values(id=uuid.uuid4()))
    assert changed()
    assert not changed()


def test_answers_are_compressed_but_streams_are_not(client: TestClient) -> None:
    listed = client.get("/api/features", headers={"Accept-Encoding": "gzip"})
    assert listed.headers["content-encoding"] == "gzip"
    assert listed.json() == client.get("/api/features", headers={"Accept-Encoding": "identity"}).json()
    body = {"prompt": "The ship", "max_new_tokens": 3}
    with client.stream("POST", "/api/generate", json=body, headers={"Accept-Encoding": "gzip"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers
        assert "event:" in "".join(stream.iter_text())
