"""Labels that come with a model: read strictly, loaded once, marked, and never above a person's."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mfn_core.errors import ConfigError
from mfn_server.atlas.file import AtlasEntry, AtlasHeader, read_atlas, read_part, write_atlas
from mfn_server.atlas.install import Loaded, load_atlas
from mfn_server.db.registry import register
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent, Model
from mfn_server.model_facts import ModelFacts, SourceFacts
from tests.server.saying import name_feature

HARBOUR = {"layer": 0, "feature": 3, "label": "harbours", "seen": "all of ten contexts", "confidence": "high"}
SNOW = {"layer": 1, "feature": 5, "label": "falling snow", "seen": "snow, mostly", "confidence": "medium"}
UNCLEAR = {"layer": 1, "feature": 7, "unclear": True, "seen": "nothing in common"}


@pytest.fixture
def write(tmp_path: Path, tiny_facts: ModelFacts) -> Callable[..., Path]:
    """Writes an atlas of the tiny model, or of another."""

    def make(*entries: dict[str, Any], model: str = tiny_facts.fingerprint) -> Path:
        path = tmp_path / "atlas.jsonl"
        header = {"format": "mfn-atlas", "version": 1, "model": model}
        path.write_text("\n".join(json.dumps(line) for line in (header, *entries)) + "\n")
        return path

    return make


@pytest.fixture
def load(indexed: Database, tiny_facts: ModelFacts) -> Callable[[Path], Loaded | None]:
    def load(path: Path) -> Loaded | None:
        with indexed.read() as connection:
            model_id = connection.scalar(select(Model.id).where(Model.fingerprint == tiny_facts.fingerprint))
        assert model_id is not None
        return load_atlas(indexed, model_id, tiny_facts, path)

    return load


def page_of(client: TestClient, entry: dict[str, Any]) -> dict[str, Any]:
    page: dict[str, Any] = client.get(path_of(client, entry)).json()
    return page


def path_of(client: TestClient, entry: dict[str, Any]) -> str:
    sources = {source["layer"]: source["key"] for source in client.get("/api/model").json()["sources"]}
    return f"/api/features/{sources[entry['layer']]}/{entry['feature']}"


def listed(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/api/features", params={"limit": 200, "status": "all", **query}).json()[
        "items"
    ]
    return items


def name(client: TestClient, entry: dict[str, Any], text: str) -> None:
    name_feature(client, path_of(client, entry), text)


def counts(database: Database) -> tuple[int, int]:
    """Events and labels."""
    with database.read() as connection:
        events, labels = (connection.scalar(select(func.count()).select_from(t)) for t in (LabelEvent, Label))
    return events or 0, labels or 0


Load = Callable[[Path], Loaded | None]
Write = Callable[..., Path]


def test_automatic_labels_are_shown_marked_and_found(client: TestClient, load: Load, write: Write) -> None:
    assert load(write(HARBOUR, SNOW, UNCLEAR)) == (3, 0)
    page = page_of(client, HARBOUR)
    assert (page["label"], page["label_origin"]) == ("harbours", "automatic")
    (label,) = page["labels"]
    assert (label["origin"], label["confidence"], label["unclear"]) == ("automatic", "high", False)
    assert (label["author"], label["reason"]) == ("atlas", "all of ten contexts")
    (found,) = [row for row in listed(client, q="falling") if row["label"]]
    assert (found["label"], found["label_origin"], found["index"]) == ("falling snow", "automatic", 5)
    named = listed(client, sort="label")[:3]
    assert [row["label"] for row in named] == ["falling snow", "harbours", None]
    sources = client.get("/api/model").json()["sources"]
    assert [(source["n_labelled"], source["n_automatic"]) for source in sources] == [(1, 1), (1, 1)]


def test_what_is_unclear_says_so_on_its_page_and_is_no_label(client: TestClient, load: Load, write: Write) -> None:
    load(write(UNCLEAR))
    page = page_of(client, UNCLEAR)
    assert (page["label"], page["label_origin"]) == (None, None)
    (label,) = page["labels"]
    assert (label["unclear"], label["text"], label["reason"]) == (True, "", "nothing in common")
    assert client.get("/api/features", params={"status": "labelled"}).json()["total"] == 0
    assert all(source["n_labelled"] == 0 for source in client.get("/api/model").json()["sources"])


def test_inspection_and_neighbours_name_features(client: TestClient, load: Load, write: Write) -> None:
    everything = [{**HARBOUR, "layer": layer, "feature": n} for layer in (0, 1) for n in range(48)]
    load(write(*everything))
    layers = client.post("/api/inspect", json={"text": "The ship left"}).json()["layers"]
    hits = [hit for layer in layers for position in layer["positions"] for hit in position]
    assert {(hit["label"], hit["label_origin"]) for hit in hits} == {("harbours", "automatic")}
    near = page_of(client, HARBOUR)["neighbours"]
    assert {(other["label"], other["label_origin"]) for other in near} == {("harbours", "automatic")}


def test_loading_again_adds_nothing(indexed: Database, load: Load, write: Write) -> None:
    path = write(HARBOUR, SNOW, UNCLEAR)
    load(path)
    before = counts(indexed)
    assert load(path) == (0, 0)
    assert counts(indexed) == before == (3, 3)


def test_a_file_that_changed_brings_its_changes(
    client: TestClient, indexed: Database, load: Load, write: Write
) -> None:
    load(write(HARBOUR, SNOW, UNCLEAR))
    ports = {**HARBOUR, "label": "ports"}
    assert load(write(ports, {**UNCLEAR, "seen": "still nothing"})) == (2, 1)
    assert page_of(client, HARBOUR)["label"] == "ports"
    assert page_of(client, SNOW)["labels"] == []
    assert [label["reason"] for label in page_of(client, UNCLEAR)["labels"]] == ["still nothing"]
    assert not [row for row in listed(client, q="harbours") + listed(client, q="falling") if row["label"]]
    assert [row["label"] for row in listed(client, q="ports")] == ["ports"]
    assert counts(indexed) == (6, 2), "events are only ever added"
    with indexed.read() as connection:
        assert connection.scalars(select(LabelEvent.stream).order_by(LabelEvent.stream)).all() == [1, 2, 3, 4, 5, 6]
    assert load(write(HARBOUR)) == (1, 1)
    assert page_of(client, HARBOUR)["label"] == "harbours", "what was taken back can come again"


@pytest.mark.parametrize("person_first", [True, False])
def test_a_person_comes_first(client: TestClient, load: Load, write: Write, person_first: bool) -> None:
    if person_first:
        name(client, HARBOUR, "quays")
        load(write(HARBOUR))
    else:
        load(write(HARBOUR))
        name(client, HARBOUR, "quays")
    page = page_of(client, HARBOUR)
    assert (page["label"], page["label_origin"]) == ("quays", "human")
    assert [(label["text"], label["origin"]) for label in page["labels"]] == [
        ("quays", "human"),
        ("harbours", "automatic"),
    ]
    assert [row["label"] for row in listed(client, q="quays")] == ["quays"]
    assert not [row for row in listed(client, q="harbours") if row["label"]], "what nobody sees is not found"
    source = client.get("/api/model").json()["sources"][0]
    assert (source["n_labelled"], source["n_automatic"]) == (1, 0)
    load(write({**HARBOUR, "label": "ports"}))
    load(write())
    page = page_of(client, HARBOUR)
    assert (page["label"], [label["text"] for label in page["labels"]]) == ("quays", ["quays"])


def test_the_atlas_of_another_model_is_left_alone(
    indexed: Database, load: Load, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    load(write(HARBOUR))
    assert load(write(SNOW, model="0" * 64)) is None
    assert "the atlas of another model" in caplog.text
    assert counts(indexed) == (1, 1)


def test_a_feature_that_the_model_lacks(load: Load, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    assert load(write(HARBOUR, {**SNOW, "feature": 48})) is None
    assert "line 3: there is no feature 48 in layer 1: it has features 0 to 47" in caplog.text
    assert load(write({**SNOW, "layer": 2})) is None
    assert "line 2: the model has no features in layer 2" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: Invalid JSON"),
        ("[]", "line 2: Input should be an object"),
        (json.dumps({**SNOW, "label": ""}), "line 2: label: must not be blank"),
        (json.dumps({**SNOW, "label": "x" * 101}), "line 2: label: String should have at most 100"),
        (json.dumps({**SNOW, "label": "Unclear."}), 'line 2: a feature that is unclear has "unclear": true'),
        (json.dumps({**SNOW, "seen": "  "}), "line 2: seen: must not be blank"),
        (json.dumps({**SNOW, "seen": "a\0"}), "line 2: seen: must not contain the NUL"),
        (json.dumps({**SNOW, "confidence": None}), "line 2: confidence: one of"),
        (json.dumps({**SNOW, "confidence": "sure"}), "line 2: confidence: Input should be 'high', 'medium' or 'low'"),
        (json.dumps({**SNOW, "feature": "5"}), "line 2: feature: Input should be a valid integer"),
        (json.dumps({**SNOW, "feature": -1}), "line 2: feature: Input should be greater than"),
        (json.dumps({**SNOW, "why": "x"}), "line 2: why: Extra inputs"),
        (json.dumps({**SNOW, "unclear": True}), "line 2: an unclear feature has no label"),
        (json.dumps(SNOW) + "\n\n" + json.dumps(SNOW), "line 4: feature 5 of layer 1 stands in line 2 already"),
    ],
)
def test_a_bad_line_is_named(write: Write, line: str, message: str) -> None:
    path = write()
    path.write_text(path.read_text() + line)
    with pytest.raises(ConfigError) as caught:
        read_atlas(path)
    assert str(caught.value).startswith(f"{path}, {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_atlas(tmp_path: Path) -> None:
    path = tmp_path / "atlas.jsonl"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_atlas(path)
    path.write_text("\n\n")
    with pytest.raises(ConfigError, match="is empty"):
        read_atlas(path)
    path.write_text(json.dumps(SNOW))
    with pytest.raises(ConfigError, match="line 1"):
        read_atlas(path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "atlas.jsonl"
    entries = [AtlasEntry.model_validate(entry) for entry in (UNCLEAR, {**SNOW, "label": " 雪 \n ship’s "}, HARBOUR)]
    header = AtlasHeader(model="ab" * 32, how="by hand")
    write_atlas(path, header, entries)
    atlas = read_atlas(path)
    assert atlas.header == header
    assert list(atlas.entries.values()) == [entries[2], entries[1], entries[0]]
    assert atlas.entries[3].label == "雪 ship’s"
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    assert list(read_part(path).values()) == [entries[2], entries[1], entries[0]]


@pytest.mark.parametrize("named", [True, False])
def test_the_app_loads_it_at_the_start(
    make_client: Callable[..., TestClient], indexed: Database, database_url: str, write: Write, named: bool
) -> None:
    path = write(HARBOUR)
    for _ in range(2):
        client = make_client(database_url, **({"atlas_file": path} if named else {}))
        begun = time.monotonic()
        while named and page_of(client, HARBOUR)["label"] is None and time.monotonic() - begun < 30:
            time.sleep(0.05)
        assert page_of(client, HARBOUR)["label"] == ("harbours" if named else None)
    assert counts(indexed) == ((1, 1) if named else (0, 0))


def test_a_thousand_labels_take_no_time(database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    source = SourceFacts("mfn.resid_mid.0-12345678", "mfn", "resid_mid", 0, "0" * 64, 4000, 32, 1.0)
    facts = ModelFacts("large", "ab" * 32, 1, 1, 1, 1, 1, (source,))
    with database.write() as connection:
        model_id = register(connection, facts).model_id
    path = tmp_path / "atlas.jsonl"
    entries = [AtlasEntry.model_validate({**HARBOUR, "feature": n, "label": f"label {n}"}) for n in range(1000)]
    write_atlas(path, AtlasHeader(model=facts.fingerprint), entries)
    seconds = []
    for expected in ((1000, 0), (0, 0)):
        begun = time.process_time()
        assert load_atlas(database, model_id, facts, path) == expected
        seconds.append(time.process_time() - begun)
    assert seconds[0] < 1, seconds  # of this process; the database's own disk is not what is tested
    assert seconds[1] < 0.5, seconds
    assert "1000 automatic labels written" in caplog.text
