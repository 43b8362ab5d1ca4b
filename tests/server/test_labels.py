"""Label events: recorded once, kept for good, the latest shown."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mfn_core.indexing.types import CorpusIndex
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent


@pytest.fixture
def path(client: TestClient) -> str:
    row = client.get("/api/features", params={"limit": 1}).json()["items"][0]
    return f"/api/features/{row['source']}/{row['index']}"


def body(text: str = "ships", **more: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "text": text, "author": "ann", **more}


def test_a_label_is_recorded_and_shown(client: TestClient, path: str) -> None:
    sent = body(" ships  at sea ", reason="fires on harbour", base_version=0)
    answer = client.post(f"{path}/labels", json=sent)
    assert answer.status_code == 201
    event = answer.json()
    assert (event["id"], event["text"], event["author"]) == (sent["id"], "ships at sea", "ann")
    assert (event["type"], event["reason"], event["base_version"]) == ("propose", "fires on harbour", 0)
    page = client.get(path).json()
    assert page["label"] == "ships at sea"
    assert [entry["text"] for entry in page["labels"]] == ["ships at sea"]
    assert page["version"] == event["stream"]
    assert page["labels"][0]["created_at"] == event["created_at"]
    assert client.get("/api/features", params={"status": "labelled"}).json()["total"] == 1
    source = next(s for s in client.get("/api/model").json()["sources"] if s["key"] == page["source"])
    assert source["n_labelled"] == 1


def test_a_repeat_changes_nothing_and_gets_the_first_answer(client: TestClient, path: str, indexed: Database) -> None:
    sent = body()
    first = client.post(f"{path}/labels", json=sent)
    again = client.post(f"{path}/labels", json=sent)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = client.post(f"{path}/labels", json={**sent, "text": "something else"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "id_reused")
    with indexed.read() as connection:
        assert connection.scalar(select(func.count()).select_from(LabelEvent)) == 1


def test_a_later_label_is_shown_and_the_earlier_one_kept(client: TestClient, path: str, indexed: Database) -> None:
    client.post(f"{path}/labels", json=body("one"))
    client.post(f"{path}/labels", json=body("two", author="bob"))
    page = client.get(path).json()
    assert page["label"] == "two"
    assert [(entry["text"], entry["author"]) for entry in page["labels"]] == [("two", "bob"), ("one", "ann")]
    assert client.get("/api/features", params={"q": "one", "status": "labelled"}).json()["total"] == 1
    with indexed.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Label).where(Label.is_primary)) == 1


def test_events_are_numbered_in_order_without_gaps_under_concurrency(
    client: TestClient, path: str, indexed: Database
) -> None:
    shared = [body(f"shared {i}") for i in range(4)]
    answers: list[tuple[int, str]] = []

    def write(n: int) -> None:
        for sent in [*shared, *(body(f"{n}-{i}") for i in range(4))]:
            answer = client.post(f"{path}/labels", json=sent)
            answers.append((answer.status_code, answer.json()["id"]))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    created = [identity for status, identity in answers if status == 201]
    assert {status for status, _ in answers} == {200, 201}
    assert len(created) == len(set(created)) == 4 + 5 * 4
    with indexed.read() as connection:
        streams = connection.scalars(select(LabelEvent.stream).order_by(LabelEvent.stream)).all()
        assert streams == list(range(1, 25))
        assert connection.scalar(select(func.count()).select_from(Label).where(Label.is_primary)) == 1


def test_labels_outlive_a_new_index(
    client: TestClient,
    path: str,
    indexed: Database,
    store_index: Callable[[Database, CorpusIndex], int],
    tiny_index: CorpusIndex,
) -> None:
    client.post(f"{path}/labels", json=body("stays"))
    store_index(indexed, tiny_index)
    assert client.get(path).json()["label"] == "stays"
    assert client.get("/api/features", params={"q": "stays"}).json()["items"][0]["label"] == "stays"


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ""},
        {"text": "   "},
        {"text": "x" * 501},
        {"text": "a\0b"},
        {"text": None},
        {"author": ""},
        {"id": "7"},
        {"extra": 1},
        {"base_version": -1},
    ],
)
def test_a_wrong_label_is_refused_and_nothing_is_kept(client: TestClient, path: str, wrong: dict[str, Any]) -> None:
    answer = client.post(f"{path}/labels", json=body() | wrong)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == next(iter(wrong))
    assert client.get(path).json()["labels"] == []


def test_an_unknown_feature_cannot_be_labelled(client: TestClient, path: str) -> None:
    source = path.split("/")[3]
    assert client.post(f"/api/features/{source}/48/labels", json=body()).status_code == 404
    assert client.post("/api/features/none/1/labels", json=body()).status_code == 404


def test_text_is_kept_as_it_was_written(client: TestClient, path: str) -> None:
    text = '<img src=x onerror="alert(1)"> ‮ 東京 \\ %s {} \''
    client.post(f"{path}/labels", json=body(text))
    assert client.get(path).json()["label"] == text
