"""Dashboards that others made, read and shown as they are. The files are written by hand in SAEDashboard's format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mfn_server.app import create_app
from mfn_server.exchange.neuronpedia.dashboards import DashboardError
from mfn_server.foreign.store import ForeignStore, peak
from mfn_server.settings import Settings
from tests.server.exchange.test_neuronpedia import ACTIVATION, BATCH, FEATURE
from tests.server.test_cli import Mfn, one_line_error

KEY = "gpt2-small@6-res-jb"
INTERVAL = {
    "bin_min": 0.0,
    "bin_max": 0.75,
    "bin_contains": 0.857,
    "tokens": [" a", " red", " sail"],
    "values": [0.0, 0.1, 0.7],
    "qualifying_token_index": 2,
}


def feature(index: int, **changes: Any) -> dict[str, Any]:
    return FEATURE | {"feature_index": index} | changes


FEATURES = [
    feature(12, activations=[ACTIVATION, INTERVAL]),
    feature(3, frac_nonzero=0.5, pos_str=["ly"], activations=[{**INTERVAL, "values": [4.5, 0.0, 0.25]}]),
    feature(40, frac_nonzero=0.0125, activations=[]),
]


def write(folder: Path, name: str, features: list[dict[str, Any]], **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({**BATCH, "features": features, **changes}))
    return path


@pytest.fixture(scope="module")
def foreign(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The app with three features in two files of one source, and one of another layer."""
    folder = tmp_path_factory.mktemp("dashboards")
    write(folder / "a", "batch-0.json", FEATURES[:2])
    write(folder / "a", "batch-10.json", FEATURES[2:])
    (folder / "a" / "skipped_indexes.json").write_text('{"skipped_indexes": [1, 2]}')
    write(folder / "b", "batch-0.json", [feature(0)], layer=7, model_id="maker/model", sae_id_suffix="32k")
    settings = Settings(model=tiny_bundle, database=str(folder / "studio.sqlite3"), dashboards=[folder])
    with TestClient(create_app(settings), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def test_each_source_is_named_as_its_files_name_it(foreign: TestClient) -> None:
    assert foreign.get("/api/foreign").json()["sources"] == [
        {
            "key": KEY,
            "model": "gpt2-small",
            "layer": 6,
            "set": "res-jb",
            "suffix": None,
            "dataset": "someone/some-text",
            "n_features": 3,
        },
        {
            "key": "maker_model@7-res-jb__32k",
            "model": "maker/model",
            "layer": 7,
            "set": "res-jb",
            "suffix": "32k",
            "dataset": "someone/some-text",
            "n_features": 1,
        },
    ]


def test_a_dashboard_arrives_field_by_field(foreign: TestClient) -> None:
    for given in FEATURES:
        body = foreign.get(f"/api/foreign/{KEY}/features/{given['feature_index']}").json()
        assert body["index"] == given["feature_index"]
        dashboard = body["dashboard"]
        assert dashboard.keys() == given.keys()
        for name, value in given.items():
            if name != "activations":
                assert dashboard[name] == value, name
        for found, activation in zip(dashboard["activations"], given["activations"], strict=True):
            for name, value in activation.items():
                assert found[name] == value, name
            assert all(found[name] is None for name in found.keys() - activation.keys())


def test_features_are_walked_in_the_order_of_their_numbers(foreign: TestClient) -> None:
    steps = {
        index: tuple(foreign.get(f"/api/foreign/{KEY}/features/{index}").json()[way] for way in ("previous", "next"))
        for index in (3, 12, 40)
    }
    assert steps == {3: (None, 12), 12: (3, 40), 40: (12, None)}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [3, 12, 40]),
        ({"sort": "max"}, [3, 12, 40]),
        ({"sort": "rate"}, [3, 12, 40]),
        ({"q": "SAIL", "sort": "max"}, [12, 40]),
        ({"q": " ship"}, [12]),
        ({"q": "%"}, []),
        ({"limit": 2, "offset": 1}, [12, 40]),
        ({"limit": 1, "offset": 7}, []),
    ],
)
def test_lists(foreign: TestClient, query: dict[str, Any], numbers: list[int]) -> None:
    body = foreign.get(f"/api/foreign/{KEY}/features", params=query).json()
    assert [row["index"] for row in body["items"]] == numbers


def test_a_row_says_what_the_dashboard_says(foreign: TestClient) -> None:
    body = foreign.get(f"/api/foreign/{KEY}/features", params={"limit": 2}).json()
    assert (body["total"], body["next_offset"]) == (3, 2)
    assert body["items"][1] == {
        "index": 12,
        "rate": 0.0125,
        "max": 2.25,
        "peaks": [" ship", " sail"],
        "promoted": [" sail", " harbour"],
    }
    last = foreign.get(f"/api/foreign/{KEY}/features", params={"offset": 2}).json()
    assert (last["next_offset"], last["items"][0]["max"], last["items"][0]["peaks"]) == (None, 0, [])


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nobody@0-set/features", 404, "unknown_source"),
        ("nobody@0-set/features/1", 404, "unknown_source"),
        (f"{KEY}/features/4", 404, "unknown_feature"),
        (f"{KEY}/features/-1", 422, "invalid_request"),
        (f"{KEY}/features?sort=x", 422, "invalid_request"),
        (f"{KEY}/features?limit=0", 422, "invalid_request"),
        (f"{KEY}/features?offset=-1", 422, "invalid_request"),
    ],
)
def test_what_is_not_there_is_refused(foreign: TestClient, path: str, status: int, code: str) -> None:
    answer = foreign.get(f"/api/foreign/{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_server_without_dashboards_has_no_foreign_source(bare_client: TestClient) -> None:
    assert bare_client.get("/api/foreign").json() == {"sources": []}


def test_a_figure_that_is_not_a_number_does_no_harm(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    odd = feature(0, frac_nonzero=float("nan"), activations=[{**ACTIVATION, "values": [float("nan"), 1.0, 2.0, 0.5]}])
    write(tmp_path / "d", "batch-0.json", [odd])
    client = make_client(f"sqlite:///{tmp_path / 's.sqlite3'}", dashboards=[tmp_path / "d"])
    (row,) = client.get(f"/api/foreign/{KEY}/features").json()["items"]
    assert (row["rate"], row["max"], row["peaks"]) == (0, 2, [" ship"])
    values = client.get(f"/api/foreign/{KEY}/features/0").json()["dashboard"]["activations"][0]["values"]
    assert values == [None, 1.0, 2.0, 0.5]
    assert peak([float("nan"), 1.0, 2.0, 2.0]) == 2


def test_a_file_that_has_changed_since_is_an_error_of_its_own(
    make_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    path = write(tmp_path / "d", "batch-0.json", FEATURES[:1])
    client = make_client(f"sqlite:///{tmp_path / 's.sqlite3'}", dashboards=[tmp_path / "d"])
    path.write_text("{}")
    answer = client.get(f"/api/foreign/{KEY}/features/12")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "dashboards_changed")


def test_a_feature_that_comes_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "batch-0.json", FEATURES[:2])
    write(tmp_path, "batch-1.json", FEATURES[1:])
    with pytest.raises(DashboardError, match=r"feature 3 of gpt2-small@6-res-jb is in .*batch-0.json and in .*batch-1"):
        ForeignStore.of_folders([tmp_path])


def test_two_models_that_would_share_an_address_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", "batch-0.json", FEATURES[:1], model_id="a/b")
    write(tmp_path / "b", "batch-0.json", FEATURES[1:], model_id="a b")
    with pytest.raises(DashboardError, match="would both be called a_b@6-res-jb"):
        ForeignStore.of_folders([tmp_path])


def test_a_folder_without_dashboards_or_with_a_broken_one_is_one_line(
    mfn: Mfn, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    args = ("serve", str(tiny_bundle), "--no-browser", "--port", "0", "--dashboards")
    assert "no file is called batch-N.json" in one_line_error(mfn(*args, str(tmp_path / "empty")))
    path = write(tmp_path / "broken", "batch-3.json", [feature(0, pos_values=["x"])])
    message = one_line_error(mfn(*args, str(tmp_path / "broken")))
    assert str(path) in message
    assert "features.0.pos_values.0" in message
