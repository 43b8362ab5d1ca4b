"""Inspection and "try it", against the model itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from mfn_core import MFNModel

TEXT = "The ship left the harbour at dawn, and “don't wait”, 東京 said."


def test_inspection_shows_the_models_own_codes(bare_client: TestClient, tiny_model: MFNModel) -> None:
    body = bare_client.post("/api/inspect", json={"text": TEXT, "top": 3}).json()
    ids = tiny_model.encode_text(TEXT)
    assert [token["id"] for token in body["tokens"]] == ids
    assert [layer["source"] for layer in body["layers"]] == [tiny_model.source_key(n) for n in tiny_model.coders]
    for layer in body["layers"]:
        codes = tiny_model.codes(ids)[layer["layer"]].dense()
        for firing, dense in zip(layer["positions"], codes, strict=True):
            values, order = dense.topk(3)
            expected = [(int(j), float(v)) for j, v in zip(order, values, strict=True) if v > 0]
            assert [entry["index"] for entry in firing] == [j for j, _ in expected]
            assert [entry["value"] for entry in firing] == pytest.approx([v for _, v in expected], abs=1e-4)
            shares = [v**2 / float(dense.square().sum()) for _, v in expected]
            assert [entry["share"] for entry in firing] == pytest.approx(shares, abs=1e-4)


def test_unexplained_variance_is_that_of_the_normalised_stream(bare_client: TestClient, tiny_model: MFNModel) -> None:
    body = bare_client.post("/api/inspect", json={"text": TEXT}).json()
    ids = torch.tensor([tiny_model.encode_text(TEXT)])
    with torch.no_grad():
        traces = tiny_model(ids, record=True).traces
    for layer in body["layers"]:
        trace = traces[layer["layer"]]
        assert trace.x_hat is not None
        x, x_hat = trace.x[0, 1:], trace.x_hat[0, 1:]
        expected = ((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
        assert layer["fvu"] == pytest.approx(float(expected), rel=1e-4)


def test_a_text_of_one_token_has_no_variance(bare_client: TestClient) -> None:
    body = bare_client.post("/api/inspect", json={"text": "a"}).json()
    assert len(body["tokens"]) == 2
    assert [layer["fvu"] for layer in body["layers"]] == [None, None]


def test_inspection_names_features(client: TestClient) -> None:
    row = client.get("/api/features", params={"limit": 1}).json()["items"][0]
    label = {"id": "7b6bb3a4-57c4-4f0e-a4c2-8f0d5f0f2c11", "text": "named", "author": "ann"}
    client.post(f"/api/features/{row['source']}/{row['index']}/labels", json=label)
    body = client.post("/api/inspect", json={"text": "The ship left the harbour. " * 2, "top": 6}).json()
    layer = next(layer for layer in body["layers"] if layer["source"] == row["source"])
    hits = [entry for firing in layer["positions"] for entry in firing if entry["index"] == row["index"]]
    assert hits
    assert {entry["label"] for entry in hits} == {"named"}
    assert hits[0]["top_tokens"] == [token["text"] for token in row["top_tokens"][:3]]
    assert any(entry["label"] is None for firing in layer["positions"] for entry in firing)


def test_trying_a_feature_gives_its_value_on_every_token(bare_client: TestClient, tiny_model: MFNModel) -> None:
    codes = tiny_model.codes(TEXT)[1]
    feature = int(codes.indices[5, codes.values[5].argmax()])
    answer = bare_client.post(f"/api/features/{tiny_model.source_key(1)}/{feature}/activations", json={"text": TEXT})
    body = answer.json()
    assert body["values"] == pytest.approx(codes.value_of(feature).tolist(), abs=1e-4)
    assert len(body["tokens"]) == len(body["values"])
    assert body["values"][5] > 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": ""}, "invalid_request"),
        ({"text": "word " * 200}, "text_too_long"),
        ({"text": "a", "top": 0}, "invalid_request"),
        ({"text": "a", "top": float("nan")}, "invalid_request"),
        ({"text": "a\0"}, "invalid_request"),
        ({"text": 3}, "invalid_request"),
        ({}, "invalid_request"),
        ({"text": "a", "more": 1}, "invalid_request"),
        ([], "invalid_json"),
    ],
)
def test_a_wrong_text_is_refused(bare_client: TestClient, body: Any, code: str) -> None:
    import json

    sent = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
    answer = bare_client.post("/api/inspect", **sent)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


def test_a_text_of_exactly_the_context_is_read(bare_client: TestClient, tiny_model: MFNModel) -> None:
    text = "a" * (tiny_model.max_context - 1)
    if len(tiny_model.encode_text(text)) == tiny_model.max_context:
        assert bare_client.post("/api/inspect", json={"text": text}).status_code == 200
    longer = "".join(chr(ord("a") + i % 26) for i in range(4 * tiny_model.max_context))
    message = bare_client.post("/api/inspect", json={"text": longer}).json()["error"]["message"]
    assert f"{len(tiny_model.encode_text(longer))} tokens" in message
