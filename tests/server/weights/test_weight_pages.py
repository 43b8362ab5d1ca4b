"""What the weights say, through HTTP, against plain formulas in float64 on the model's own matrices."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import delete
from starlette.testclient import TestClient

from mfn_core import MFNModel
from mfn_core.indexing.types import CorpusIndex
from mfn_server.db.session import Database
from mfn_server.db.tables import FeatureWeights, SourceWeights
from mfn_server.model_facts import ModelFacts
from mfn_server.weights import map as mapping
from mfn_server.weights.command import sources_by_layer
from mfn_server.weights.store import store_map, store_weights
from tests.server.saying import name_feature

Store = Callable[[Database, CorpusIndex], int]
HALF = 2.0**-10  # what half precision leaves unsaid, of 1


class Plain:
    """The two layers of the tiny model: D [F, d], W_e [F, d] and the lens [V, d], float64."""

    def __init__(self, model: MFNModel) -> None:
        self.written = {n: coder.directions.detach().double().numpy() for n, coder in model.coders.items()}
        rows = {n: coder.encoder_rows for n, coder in model.coders.items()}
        self.read = {n: row.detach().double().numpy() for n, row in rows.items() if row is not None}
        norm: Any = model.base.model.norm
        unembedding = model.base.get_output_embeddings().weight.detach().double()
        self.lens = (unembedding * norm.weight.detach().double()).numpy()
        self.unit = {n: d / np.linalg.norm(d, axis=1, keepdims=True) for n, d in self.written.items()}

    def logits(self, layer: int) -> np.ndarray:
        logits: np.ndarray = self.written[layer] @ self.lens.T
        return logits - logits.mean(1, keepdims=True)


@pytest.fixture(scope="module")
def plain(tiny_model: MFNModel) -> Plain:
    return Plain(tiny_model)


def page_of(client: TestClient, layer: int, index: int) -> dict[str, Any]:
    sources = {source["layer"]: source["key"] for source in client.get("/api/model").json()["sources"]}
    page: dict[str, Any] = client.get(f"/api/features/{sources[layer]}/{index}").json()
    return page


def check(found: list[dict[str, Any]], figures: np.ndarray, layer: int, lowest: bool, leave_out: int = -1) -> None:
    """Whether a list is the best eight of these figures."""
    order = np.argsort(figures if lowest else -figures, kind="stable")
    order = order[order != leave_out][:8]
    assert [(entry["layer"], entry["index"]) for entry in found] == [(layer, j) for j in order.tolist()]
    np.testing.assert_allclose([entry["value"] for entry in found], figures[order], rtol=HALF, atol=1e-4)


@pytest.mark.parametrize(("layer", "index"), [(0, 0), (0, 17), (1, 5), (1, 47)])
def test_a_page_says_what_the_formulas_say(client: TestClient, plain: Plain, layer: int, index: int) -> None:
    page = page_of(client, layer, index)
    facts, other = page["weights"], 1 - layer

    logits = plain.logits(layer)[index]
    std = logits.std()
    shape = facts["logits"]
    assert shape["std"] == pytest.approx(std, abs=1e-4)
    assert shape["skewness"] == pytest.approx(((logits / std) ** 3).mean(), abs=1e-3)
    assert shape["kurtosis"] == pytest.approx(((logits / std) ** 4).mean() - 3, abs=1e-3)
    assert shape["edges"] == np.linspace(-8, 8, 33).tolist()
    counts, _ = np.histogram((logits / std).clip(-8, 7.99), bins=shape["edges"])
    assert np.abs(np.array(shape["counts"]) - counts).sum() <= 2, "but for one that lies on an edge"
    assert sum(shape["counts"]) == len(logits)

    written, read = plain.written[layer][index], plain.read[layer][index]
    assert facts["agreement"] == pytest.approx(
        written @ read / np.linalg.norm(written) / np.linalg.norm(read), abs=1e-4
    )
    check(facts["opposite"], plain.unit[layer] @ plain.unit[layer][index], layer, lowest=True, leave_out=index)
    elsewhere = plain.unit[other] @ plain.unit[layer][index]
    check(facts["nearest_elsewhere"], elsewhere, other, lowest=False)
    check(facts["opposite_elsewhere"], elsewhere, other, lowest=True)
    ahead, behind = ("downstream", "upstream") if layer == 0 else ("upstream", "downstream")
    assert facts[behind] is None
    assert facts[ahead]["layer"] == other
    virtual = plain.read[1] @ plain.written[0].T  # [reader, writer]
    weights = virtual[:, index] if layer == 0 else virtual[index]
    check(facts[ahead]["positive"], weights, other, lowest=False)
    check(facts[ahead]["negative"], weights, other, lowest=True)
    assert facts["left_out"] == []


def test_other_features_are_called_what_they_are_called(client: TestClient) -> None:
    entry = page_of(client, 0, 3)["weights"]["downstream"]["positive"][0]
    name_feature(client, f"/api/features/{entry['source']}/{entry['index']}", "what it writes to")
    named = page_of(client, 0, 3)["weights"]["downstream"]["positive"][0]
    assert (named["label"], named["label_origin"]) == ("what it writes to", "human")
    page = client.get(f"/api/features/{entry['source']}/{entry['index']}").json()
    assert named["top_tokens"] == page["top_tokens"][:3]
    assert page["weights"]["upstream"]["layer"] == 0


def test_before_it_is_computed_the_page_says_so_and_then_it_is_there(
    database: Database,
    database_url: str,
    store_index: Store,
    tiny_index: CorpusIndex,
    make_client: Callable[..., TestClient],
) -> None:
    store_index(database, tiny_index)
    with database.write() as connection:
        connection.execute(delete(SourceWeights))
        connection.execute(delete(FeatureWeights))
    client = make_client(database_url)
    page = page_of(client, 0, 3)
    assert page["promoted"], "these come with the index"
    deadline = time.monotonic() + 300
    while page["weights"] is None and time.monotonic() < deadline:  # the app computes what is missing
        time.sleep(0.5)
        page = page_of(client, 0, 3)
    assert page["weights"] is not None
    assert client.get("/api/map").status_code == 200


def test_a_map_that_is_not_drawn_yet_is_worth_waiting_for(bare_client: TestClient) -> None:
    answer = bare_client.get("/api/map")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "map_not_ready")
    assert answer.headers["Retry-After"] == "5"


def test_the_map_is_that_of_pca(client: TestClient, plain: Plain, tiny_index: CorpusIndex) -> None:
    found = client.get("/api/map").json()
    unit = np.concatenate([plain.unit[0], plain.unit[1]])
    centred = unit - unit.mean(0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(np.take_along_axis(axes[:2], np.abs(axes[:2]).argmax(1)[:, None], 1))
    np.testing.assert_allclose(np.stack([found["x"], found["y"]], 1), centred @ axes.T, atol=1e-4)
    assert found["explained"] == pytest.approx((singular[:2] ** 2 / (singular**2).sum()).tolist(), abs=1e-5)
    assert (found["method"], found["methods"], found["umap_version"]) == ("pca", ["pca"], None)
    assert (found["n_features"], found["n_shown"]) == (96, 96)
    assert (found["site"], found["sites"]) == ("resid_mid", ["resid_mid"])
    assert found["layer"] == [0] * 48 + [1] * 48
    assert found["source"] == found["layer"]
    assert found["index"] == [*range(48), *range(48)]
    rates = np.concatenate([layer.firing_count for layer in tiny_index.layers]) / tiny_index.n_tokens
    np.testing.assert_allclose(found["rate"], rates, rtol=1e-3)
    place = page_of(client, 1, 7)["weights"]["place"]
    assert place == {"pca": [found["x"][55], found["y"][55]], "umap": None}


COLUMNS = ("source", "layer", "index", "x", "y", "rate")


def plain_hash(key: str, index: int) -> int:
    """splitmix64 as its authors give it, in whole numbers without end."""
    low = 2**64 - 1
    z = (int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") + (index + 1) * 0x9E3779B97F4A7C15) & low
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & low
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & low
    return z ^ (z >> 31)


def test_a_map_of_many_features_is_a_stated_sample(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = client.get("/api/map").json()
    keys = [whole["sources"][source]["source"] for source in whole["source"]]
    hashes = [plain_hash(key, index) for key, index in zip(keys, whole["index"], strict=True)]
    least = sorted(sorted(range(96), key=hashes.__getitem__)[:37])
    monkeypatch.setattr(mapping, "MOST", 37)
    found = client.get("/api/map").json()
    assert (found["n_features"], found["n_shown"]) == (96, 37)
    for column in COLUMNS:
        assert found[column] == [whole[column][i] for i in least], column
    alone = client.get("/api/map", params={"layer": 1}).json()
    assert (alone["n_features"], alone["n_shown"]) == (48, 37)


def test_a_map_of_one_layer_is_a_part_of_that_of_all(client: TestClient) -> None:
    whole, alone = client.get("/api/map").json(), client.get("/api/map", params={"layer": 1}).json()
    for column in COLUMNS[1:]:
        assert alone[column] == whole[column][48:], column
    assert alone["source"] == [0] * 48
    assert alone["sources"] == whole["sources"][1:]
    assert alone["explained"] == whole["explained"]


def columns_of(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A map as bytes, read as its documentation says."""
    assert body[:8] == b"MFNMAP1\n"
    length = int.from_bytes(body[8:12], "little")
    head = json.loads(body[12 : 12 + length])
    rest = body[12 + length :]
    assert (12 + length) % 4 == 0
    return head, {
        column["name"]: np.frombuffer(rest, column["type"], head["n_shown"], column["offset"])
        for column in head["columns"]
    }


def test_a_map_as_bytes_says_what_it_says_as_text_and_who_named_what(client: TestClient) -> None:
    entry = page_of(client, 1, 9)
    name_feature(client, f"/api/features/{entry['source']}/9", "ends of lines")
    for query in ({}, {"layer": 1, "method": "pca"}):
        text = client.get("/api/map", params=query).json()
        answer = client.get("/api/map/points", params=query)
        assert answer.headers["Content-Type"] == "application/vnd.mfn.map"
        head, columns = columns_of(answer.content)
        described = head.pop("columns")
        assert [column["name"] for column in described] == list(columns)
        assert head == {name: text[name] for name in head}
        assert columns["source"].tolist() == text["source"]
        assert columns["index"].tolist() == text["index"]
        np.testing.assert_allclose(columns["x"], text["x"], atol=1e-4)
        np.testing.assert_allclose(columns["y"], text["y"], atol=1e-4)
        np.testing.assert_allclose(columns["rate"], text["rate"], rtol=1e-3)
        named = [9] if query else [57]
        assert np.flatnonzero(columns["origin"]).tolist() == named
        assert columns["origin"][named] == [1]
        status = np.array(["alive", "ultra_rare", "undetermined", "dead"])[columns["status"]]
        keys = [text["sources"][source]["source"] for source in text["source"]]
        rows = {
            (row["source"], row["index"]): row["status"]
            for row in client.get("/api/features?status=all&limit=200").json()["items"]
        }
        assert status.tolist() == [rows[name] for name in zip(keys, text["index"], strict=True)]


@pytest.mark.parametrize("path", ["/api/map", "/api/map/points"])
def test_a_map_is_sent_again_only_when_it_has_changed(client: TestClient, path: str) -> None:
    first = client.get(path)
    tag = {"If-None-Match": first.headers["ETag"]}
    assert client.get(path, headers=tag).status_code == 304
    assert client.get(path, params={"layer": 0}, headers=tag).status_code == 200
    entry = page_of(client, 0, 1)
    name_feature(client, f"/api/features/{entry['source']}/1", "a name")
    assert client.get(path, headers=tag).status_code == 200


def test_a_map_without_an_index_says_that_rates_are_not_known(
    database: Database,
    database_url: str,
    tiny_facts: ModelFacts,
    tiny_weights: Any,
    make_client: Callable[..., TestClient],
) -> None:
    client = make_client(database_url)
    client.get("/api/model")
    store_weights(database, sources_by_layer(database, tiny_facts), tiny_weights, lambda phase, done: None)
    text = client.get("/api/map").json()
    assert set(text["rate"]) == {None}
    _, columns = columns_of(client.get("/api/map/points").content)
    assert np.isnan(columns["rate"]).all()
    assert set(columns["status"].tolist()) == {mapping.UNKNOWN_STATUS}


def test_a_map_by_umap_is_the_one_that_is_shown(
    client: TestClient, indexed: Database, tiny_facts: ModelFacts, tiny_weights: Any
) -> None:
    sources = sources_by_layer(indexed, tiny_facts)
    places = {}
    for layer, facts in tiny_weights.layers.items():
        xy = torch.arange(96, dtype=torch.float32).reshape(48, 2).numpy() + 1000 * layer
        places[layer] = type(facts.place)(facts.place.pca, facts.place.explained, xy)
    store_map(indexed, sources, places)
    found = client.get("/api/map").json()
    assert (found["method"], found["methods"], found["seed"]) == ("umap", ["pca", "umap"], 0)
    assert found["umap_version"]
    assert (found["x"][1], found["y"][1], found["x"][48]) == (2, 3, 1000)
    assert client.get("/api/map", params={"method": "pca"}).json()["x"][0] == pytest.approx(
        float(tiny_weights.layers[0].place.pca[0, 0]), abs=1e-4
    )
    assert page_of(client, 1, 0)["weights"]["place"]["umap"] == [1000, 1001]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"method": "umap"}, "no_such_map", "method"),
        ({"site": "mlp_hidden"}, "unknown_site", "site"),
        ({"layer": "7"}, "unknown_layer", "layer"),
    ],
)
def test_a_map_that_is_not(client: TestClient, query: dict[str, str], code: str, field: str) -> None:
    response = client.get("/api/map", params=query)
    assert response.status_code == 404
    assert (response.json()["error"]["code"], response.json()["error"]["field"]) == (code, field)
    assert client.get("/api/map", params={"method": "tsne"}).status_code == 422
