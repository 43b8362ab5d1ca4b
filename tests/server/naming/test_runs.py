"""Runs in the background: started by whoever may, one at a time, stopped, broken off and taken up, within a budget."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from starlette.testclient import TestClient

from mfn_core import MFNModel
from mfn_core.errors import MFNError
from mfn_server.db.score_tables import LabelScore, NamingRun
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, Source
from mfn_server.labels.payloads import Propose
from mfn_server.naming.runs import (
    SILENCE,
    RunBusyError,
    RunStoppedError,
    Starter,
    ask_to_stop,
    begin_work,
    free_again,
    new_run,
    run_by_id,
    unfinished,
)
from mfn_server.settings import Settings
from tests.conftest import TINY_TEXTS
from tests.server.saying import ANN, MODEL, put

TOLD = {"layers": None, "limits": {"prices": [1, 1], "budget": 1}}


def quiet(what: str, share: float | None) -> None:
    """Tells nobody."""


def test_a_run_is_claimed_by_one_and_free_again_when_it_is_dead(bare: Database) -> None:
    with begin_work(bare, MODEL, "suggest", TOLD, quiet) as work:
        with pytest.raises(RunBusyError), begin_work(bare, MODEL, "suggest", TOLD, quiet, work.run_id):
            pass
        with bare.write() as connection:
            assert unfinished(connection, MODEL, "suggest", TOLD) is None
            # nothing has been heard of it for so long that somebody else may take it
            long_ago = datetime.now(UTC) - SILENCE - timedelta(seconds=1)
            connection.execute(update(NamingRun).values(heard_at=long_ago))
            dearer = {**TOLD, "limits": {"prices": [1, 1], "budget": 2}}
            assert unfinished(connection, MODEL, "suggest", dearer) == work.run_id
            assert unfinished(connection, MODEL, "suggest", {"layers": [1]}) is None
        with begin_work(bare, MODEL, "suggest", dearer, quiet) as other:
            assert other.run_id == work.run_id
            with pytest.raises(RunStoppedError, match="another process"):
                work.note(phase="mine")
            other.note(phase="theirs")
    with bare.read() as connection:
        (row,) = connection.execute(select(NamingRun)).all()
    assert (row.state, row.phase, row.progress, row.told) == ("done", "theirs", 1, dearer)
    with bare.write() as connection, pytest.raises(RunBusyError, match="got to its end"):
        free_again(connection, row.id)


def test_how_a_run_ends_is_kept(bare: Database) -> None:
    for error, state, message in (
        (MFNError("no room"), "failed", "no room"),
        (RunStoppedError("so"), "stopped", "so"),
        (KeyboardInterrupt(), "stopped", "it was broken off"),
        (ZeroDivisionError("x"), "failed", "unexpected: ZeroDivisionError: x"),
    ):
        with pytest.raises(type(error)), begin_work(bare, MODEL, "suggest", {"of": message + state}, quiet) as work:
            raise error
        with bare.read() as connection:
            row = run_by_id(connection, work.run_id)
        assert (row.state, row.message, row.finished_at is not None) == (state, message, True)
    with bare.write() as connection:
        waiting = new_run(connection, MODEL, "suggest", {}, Starter())
        ask_to_stop(connection, waiting)
    with pytest.raises(RunStoppedError), begin_work(bare, MODEL, "suggest", {}, quiet, waiting) as work:
        work.tell("begun", 0.0)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = random.Random(0)
    words = " ".join(TINY_TEXTS).split()
    texts = [" ".join(rng.choices(words, k=60)) for _ in range(40)]
    path = tmp_path / "held-out.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def wait(client: TestClient, run: str, states: tuple[str, ...]) -> Any:
    end = time.monotonic() + 300
    while (view := client.get(f"/api/labels/runs/{run}").json())["state"] not in states:
        assert time.monotonic() < end, view
        time.sleep(0.05)
    return view


def test_the_page_starts_stops_and_takes_up_runs(
    indexed: Database,
    database_url: str,
    make_client: Callable[..., TestClient],
    corpus: Path,
    tiny_model: MFNModel,
) -> None:
    with indexed.write() as connection:
        key = connection.scalar(select(Source.key).where(Source.id == 1)) or ""
        for number in range(tiny_model.n_features[0]):
            put(connection, ANN, Propose(text="the word “the”"), feature=(key, number))
    client = make_client(database_url, held_out=str(corpus))
    assert client.get("/api/labels/runs").json() == {
        "items": [],
        "busy": False,
        "held_out": corpus.name,
        "reader": None,
        "budget": None,
    }
    refused = client.post("/api/labels/runs", json={"id": str(uuid.uuid4()), "kind": "explain"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "reader")
    unknown = {"id": str(uuid.uuid4()), "kind": "suggest", "features": [{"source": key, "index": 10**6}]}
    assert client.post("/api/labels/runs", json=unknown).json()["error"]["field"] == "features"

    body = {"id": str(uuid.uuid4()), "kind": "score", "scorers": ["detection"]}
    made = client.post("/api/labels/runs", json=body)
    assert made.status_code == 201, made.text
    assert str(corpus.parent) not in made.text
    assert client.post("/api/labels/runs", json=body).status_code == 200
    other = {"id": str(uuid.uuid4()), "kind": "suggest"}
    busy = client.post("/api/labels/runs", json=other)
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "busy")
    # its process is killed
    process = client.app.state.studio.naming._command._process  # type: ignore[attr-defined]
    os.kill(process.pid, signal.SIGKILL)
    assert wait(client, body["id"], ("failed", "done"))["state"] == "failed"
    while client.get("/api/labels/runs").json()["busy"]:
        time.sleep(0.02)
    assert client.post(f"/api/labels/runs/{body['id']}/resume").status_code == 200
    done = wait(client, body["id"], ("done", "failed"))
    assert (done["state"], done["progress"], done["message"]) == ("done", 1, None)
    assert client.post(f"/api/labels/runs/{body['id']}/resume").json()["error"]["code"] in ("not_possible", "busy")
    with indexed.read() as connection:
        rows = connection.execute(select(LabelScore.number, LabelScore.run_id)).all()
    assert sorted(row.number for row in rows) == list(range(tiny_model.n_features[0]))
    shown = client.get(f"/api/features/{key}/0/scores").json()["labels"]
    assert [score["scorer"] for label in shown for score in label["scores"]] == ["detection"]

    while client.get("/api/labels/runs").json()["busy"]:
        time.sleep(0.02)
    assert client.post("/api/labels/runs", json=other).status_code == 201
    assert client.post(f"/api/labels/runs/{other['id']}/stop").status_code == 200
    stopped = wait(client, other["id"], ("stopped", "done"))
    assert stopped["state"] == "stopped"
    while client.get("/api/labels/runs").json()["busy"]:
        time.sleep(0.02)
    assert client.post(f"/api/labels/runs/{other['id']}/resume").status_code == 200
    assert "suggestions for" in wait(client, other["id"], ("done", "failed"))["message"]
    with indexed.read() as connection:
        assert connection.scalar(select(Label.text).where(Label.author_id.like("program:suggest.%")).limit(1))
    listed = client.get("/api/labels/runs").json()
    assert [item["id"] for item in listed["items"]] == [other["id"], body["id"]]
    assert client.get(f"/api/labels/runs/{uuid.uuid4()}").status_code == 404


def test_a_dead_server_leaves_runs_that_can_be_taken_up(indexed: Database, make_client: Any, database_url: str) -> None:
    with indexed.write() as connection:
        run = new_run(connection, 1, "suggest", {"layers": [0], "features": None}, Starter("ann", "Ann"))
        long_ago = datetime.now(UTC) - SILENCE - timedelta(seconds=1)
        connection.execute(update(NamingRun).values(state="working", heard_at=long_ago))
    client = make_client(database_url)
    view = client.get(f"/api/labels/runs/{run}").json()
    assert (view["state"], view["person"]["name"]) == ("stopped", "Ann")
    assert "nothing has been heard" in view["message"]
    assert client.post(f"/api/labels/runs/{run}/stop").json()["state"] == "stopped"


def test_what_a_run_may_cost_is_for_whoever_runs_the_server_to_say(
    indexed: Database, make_client: Any, database_url: str, tiny_bundle: Path
) -> None:
    paid: dict[str, Any] = {"reader_url": "https://host/v1", "reader_model": "m", "reader_price": "3/15"}
    body = {"id": str(uuid.uuid4()), "kind": "explain"}
    # without accounts nobody has logged in, and a budget bounds one run alone: the operator has to allow it
    client = make_client(database_url, **paid, reader_budget=2.0)
    assert client.get("/api/labels/runs").json()["reader"] is None
    with indexed.write() as connection:
        told = {"layers": None, "features": None, "reader": {"endpoint": ["https://host/v1", "m"], "folder": None}}
        begun = new_run(connection, 1, "explain", told, Starter())
        connection.execute(update(NamingRun).values(state="stopped"))
    for path, sent in (("", body), ("", {**body, "kind": "score", "reader": True}), (f"/{begun}/resume", None)):
        answer = client.post(f"/api/labels/runs{path}", json=sent)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "reader"), path
        assert "asks no endpoint" in answer.json()["error"]["message"]
    with indexed.write() as connection:
        connection.execute(delete(NamingRun))

    paid["reader_without_accounts"] = True
    client = make_client(database_url, **paid)
    assert "pays for nothing" in client.post("/api/labels/runs", json=body).json()["error"]["message"]
    client = make_client(database_url, **paid, reader_budget=2.0)
    listed = client.get("/api/labels/runs").json()
    assert (listed["reader"], listed["budget"]) == ("m", 2)
    dear = client.post("/api/labels/runs", json={**body, "budget": 3})
    assert (dear.status_code, dear.json()["error"]["field"]) == (422, "budget")
    # no request can say where the language model is
    for field in ("endpoint", "reader_url", "folder"):
        answer = client.post("/api/labels/runs", json={**body, field: "https://elsewhere/v1"})
        assert answer.status_code == 422, field
    with indexed.read() as connection:
        assert connection.execute(select(NamingRun)).all() == []
    with pytest.raises(MFNError, match="READ/WRITTEN"):
        make_client(database_url, reader_price="3")
    assert Settings(model=tiny_bundle).reader_url == ""
