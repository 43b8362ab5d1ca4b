"""Presets: kept, changed version by version, gone back to, carried from one app to another."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from starlette.testclient import TestClient

from mfn_core.errors import ConfigError
from mfn_server.db.migrate import open_database, upgrade
from mfn_server.db.registry import register
from mfn_server.db.session import Database
from mfn_server.db.tables import PresetVersion
from mfn_server.errors import APIError
from mfn_server.model_facts import ModelFacts
from mfn_server.presets import store
from mfn_server.presets.schemas import NewPreset
from mfn_server.presets.shipped import read_shipped


def preset(**more: Any) -> dict[str, Any]:
    intervention = {"source": "mfn.resid_mid.1-00000000", "index": 3, "mode": "set", "value": 2.5}
    return {"name": "calm", "prompt": "The sea", "interventions": [intervention], "settings": {"seed": 3}} | more


def content(**more: Any) -> NewPreset:
    return NewPreset.model_validate(preset(**more))


@pytest.fixture
def model_id(database: Database, tiny_facts: ModelFacts) -> int:
    with database.write() as connection:
        return register(connection, tiny_facts).model_id


def test_every_change_is_a_version_and_none_is_lost(database: Database, model_id: int) -> None:
    with database.write() as connection:
        made = store.create(connection, model_id, content())
        louder = store.change(connection, model_id, made.id, content(name="loud", settings={"seed": 4}), 1)
        same = store.change(connection, model_id, made.id, content(name="loud", settings={"seed": 4}), 2)
        back = store.restore(connection, model_id, made.id, 1, 2)
    assert (made.version, louder.version, same.version, back.version) == (1, 2, 2, 3)
    assert same == louder
    assert store.content_of(back) == content()
    assert (back.id, back.created_at) == (made.id, made.created_at)
    assert back.changed_at > made.changed_at
    with database.read() as connection:
        assert store.list_presets(connection, model_id) == [back]
        versions = store.list_versions(connection, model_id, made.id)
        assert [(view.version, view.name) for view in versions] == [(3, "calm"), (2, "loud"), (1, "calm")]
        assert store.read_version(connection, model_id, made.id, 2) == louder
        for unknown in (0, 4):
            with pytest.raises(APIError, match="no version"):
                store.read_version(connection, model_id, made.id, unknown)
        for other_model, other_preset in ((model_id + 1, made.id), (model_id, uuid.uuid4())):
            with pytest.raises(APIError, match="no such preset"):
                store.read_version(connection, other_model, other_preset, None)
    with database.write() as connection:
        store.remove(connection, model_id, made.id)
        assert connection.scalar(select(func.count()).select_from(PresetVersion)) == 0


def test_of_two_changes_of_one_version_the_second_is_told(database: Database, model_id: int) -> None:
    with database.write() as connection:
        made = store.create(connection, model_id, content())
    outcomes: list[str] = []

    def change(number: int) -> None:
        try:
            with database.write() as connection:
                store.change(connection, model_id, made.id, content(name=f"by {number}"), 1)
                time.sleep(0.05)
            outcomes.append("kept")
        except APIError as error:
            outcomes.append(error.detail.code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept", "preset_changed", "preset_changed", "preset_changed"]
    with database.read() as connection:
        assert [view.version for view in store.list_versions(connection, model_id, made.id)] == [2, 1]


def test_built_in_presets_follow_their_file_and_nobody_else(database: Database, model_id: int) -> None:
    first = [content(name="b"), content(name="A")]
    with database.write() as connection:
        store.install(connection, model_id, first)
        store.install(connection, model_id, first)  # a second start changes nothing
        mine = store.create(connection, model_id, content(name="mine"))
        views = store.list_presets(connection, model_id)
    assert [(view.name, view.builtin, view.version) for view in views] == [
        ("A", True, 1),
        ("b", True, 1),
        ("mine", False, 1),
    ]
    for attempt in (
        lambda c: store.change(c, model_id, views[0].id, content(), 1),
        lambda c: store.restore(c, model_id, views[0].id, 1, 1),
        lambda c: store.remove(c, model_id, views[0].id),
    ):
        with database.write() as connection, pytest.raises(APIError) as refused:
            attempt(connection)
        assert (refused.value.status, refused.value.detail.code) == (403, "builtin_preset")
    with database.write() as connection:
        store.install(
            connection, model_id, [content(name="A", prompt="A newer one"), content(name="A", prompt="twice")]
        )
        now = store.list_presets(connection, model_id)
        versions = store.list_versions(connection, model_id, views[0].id)
    assert [(view.name, view.version, view.prompt) for view in now] == [("A", 2, "twice"), ("mine", 1, "The sea")]
    assert now[1] == mine
    assert [view.prompt for view in versions] == ["twice", "The sea"]


def test_presets_from_before_versions_are_version_1(database_url: str) -> None:
    old = Database(database_url)
    upgrade(old, "0008")
    identity = uuid.uuid4()
    row = {"i": identity.hex if old.is_sqlite else identity, "n": "calm", "v": json.dumps([{"source": "s"}])}
    with old.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO model (id, fingerprint, name, created_at) VALUES (1, 'abc', 'old', '2026-01-01 00:00:00')"
        )
        connection.execute(
            text(
                "INSERT INTO preset (id, model_id, name, description, prompt, interventions, settings, builtin, "
                "created_at) VALUES (:i, 1, :n, '', 'The sea', :v, '{}', FALSE, '2026-01-02 00:00:00')"
            ),
            row,
        )
    old.close()
    database = open_database(database_url)
    with database.read() as connection:
        (view,) = store.list_versions(connection, 1, identity)
    assert (view.version, view.name, view.prompt, view.interventions) == (1, "calm", "The sea", [{"source": "s"}])
    assert view.changed_at == view.created_at
    database.close()


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(bare_client: TestClient) -> TestClient:
    for item in bare_client.get("/api/presets").json()["items"]:
        bare_client.delete(f"/api/presets/{item['id']}")
    return bare_client


def test_a_preset_over_http(client: TestClient) -> None:
    made = client.post("/api/presets", json=preset())
    assert made.status_code == 201
    path = f"/api/presets/{made.json()['id']}"
    assert made.json()["interventions"][0]["scope"] == {"kind": "both", "start": None, "stop": None}
    assert client.get("/api/presets").json()["items"] == [made.json()]
    changed = client.put(path, json=preset(prompt="The shore", base_version=1))
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert client.get(path).json() == changed.json()
    assert client.get(path, params={"version": 1}).json()["prompt"] == "The sea"
    late = client.put(path, json=preset(prompt="The dunes", base_version=1))
    assert (late.status_code, late.json()["error"]["code"]) == (409, "preset_changed")
    restored = client.post(f"{path}/restore", json={"version": 1, "base_version": 2}).json()
    assert (restored["version"], restored["prompt"]) == (3, "The sea")
    assert [item["version"] for item in client.get(f"{path}/versions").json()["items"]] == [3, 2, 1]
    assert client.get(path, params={"version": 4}).json()["error"]["code"] == "unknown_version"
    assert client.delete(path).status_code == 204
    assert client.get("/api/presets").json()["items"] == []
    for lost in (client.delete(path), client.get(path), client.get(f"{path}/versions")):
        assert (lost.status_code, lost.json()["error"]["code"]) == (404, "unknown_preset")


def test_presets_travel_as_a_file(client: TestClient, tmp_path: Path) -> None:
    source = client.get("/api/model").json()["sources"][0]["key"]
    turned = [{"source": source, "index": 3, "mode": "add", "value": -1.5}]
    for name in ("one", "two"):
        client.post("/api/presets", json=preset(name=name, interventions=turned))
    answer = client.get("/api/presets/export")
    assert 'filename="presets.json"' in answer.headers["content-disposition"]
    file = answer.json()
    assert [entry["name"] for entry in file["presets"]] == ["one", "two"]
    (tmp_path / "presets.json").write_text(answer.text)
    assert [shipped.preset().model_dump(mode="json") for shipped in read_shipped(tmp_path / "presets.json")] == (
        file["presets"]
    )

    two = client.get("/api/presets").json()["items"][1]
    client.delete(f"/api/presets/{two['id']}")
    file["presets"][0]["prompt"] = "Elsewhere"
    assert client.post("/api/presets/import", json=file).json() == {
        "created": ["two"],
        "changed": ["one"],
        "unchanged": [],
    }
    assert client.post("/api/presets/import", json=file).json()["unchanged"] == ["one", "two"]
    items = client.get("/api/presets").json()["items"]
    assert [(item["name"], item["version"], item["prompt"]) for item in items] == [
        ("one", 2, "Elsewhere"),
        ("two", 1, "The sea"),
    ]

    file["presets"] = [preset(name="three", interventions=turned), preset(name="foreign")]
    refused = client.post("/api/presets/import", json=file)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unknown_source")
    assert refused.json()["error"]["field"] == "presets.1.interventions.0.source"
    assert client.post("/api/presets/import", json={**file, "format": "recipes"}).status_code == 422
    assert len(client.get("/api/presets").json()["items"]) == 2


def test_a_broken_file_of_presets_is_one_clear_line(tmp_path: Path) -> None:
    for text_ in ('{"format": "recipes"}', '[{"name": ""}]', "{", "nonsense"):
        (tmp_path / "presets.json").write_text(text_)
        with pytest.raises(ConfigError, match=r"presets\.json"):
            read_shipped(tmp_path / "presets.json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "  "},
        {"settings": {"a": float("nan")}},
        {"settings": {"a": ["\0"]}},
        {"interventions": [{"source": "s", "index": 1, "mode": "explode"}]},
        {"interventions": [{"source": "s", "index": 1, "mode": "set", "value": float("inf")}]},
        {"interventions": [{"source": "s", "index": -1, "mode": "set"}]},
        {"interventions": [{"source": "s", "index": 1, "mode": "ablate"}] * 17},
        {"interventions": [{"source": "s", "index": 1, "mode": "ablate", "scope": {"kind": "prompt", "start": 2}}]},
        {
            "interventions": [
                {"source": "s", "index": 1, "mode": "ablate", "scope": {"kind": "range", "start": 5, "stop": 5}}
            ]
        },
    ],
)
def test_a_wrong_preset_is_refused(client: TestClient, wrong: dict[str, Any]) -> None:
    data = json.dumps(preset(**wrong))
    answer = client.post("/api/presets", content=data, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert client.get("/api/presets").json()["items"] == []


def test_builtin_presets_come_with_the_model(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    file = tmp_path / "presets.json"
    file.write_text(json.dumps([{**preset(name="A"), "test": {"script": "greek"}}]))
    client = make_client(f"sqlite:///{tmp_path / 'studio.sqlite3'}", presets_file=file)
    for _ in range(200):
        if items := client.get("/api/presets").json()["items"]:
            break
        time.sleep(0.02)
    assert [(item["name"], item["builtin"]) for item in items] == [("A", True)]
    assert client.get("/api/presets/export").json()["presets"] == []
    assert [entry["name"] for entry in client.get("/api/presets/export?which=all").json()["presets"]] == ["A"]
    answer = client.delete(f"/api/presets/{items[0]['id']}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "builtin_preset")
