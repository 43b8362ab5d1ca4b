"""Inspection and "try it", against the model itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from httpx import Response
from starlette.testclient import TestClient
from transformers import LlamaForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.baselines import NeuronConfig, SAEConfig
from mfn_server.inspecting.schemas import MOST_ENTRIES, MOST_TEXTS
from tests.server.saying import name_feature

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


def test_shares_and_errors_are_those_of_the_normalised_stream(bare_client: TestClient, tiny_model: MFNModel) -> None:
    body = bare_client.post("/api/inspect", json={"text": TEXT, "top": 6}).json()
    with torch.no_grad():
        traces = tiny_model(torch.tensor([tiny_model.encode_text(TEXT)]), record=True).traces
    for layer in body["layers"]:
        trace, directions = traces[layer["layer"]], tiny_model.coders[layer["layer"]].directions.detach().double()
        assert trace.x_hat is not None
        assert layer["error_kept"] == 0.0
        assert len(layer["fits"]) == len(layer["positions"]) == len(body["tokens"])
        for x, x_hat, firing, fit in zip(
            trace.x[0].double(), trace.x_hat[0].double(), layer["positions"], layer["fits"], strict=True
        ):
            square = float(x @ x) or math.inf  # the tiny model's first token is embedded as zeros
            for entry in firing:
                expected = entry["value"] * float(x @ directions[entry["index"]]) / square
                assert entry["share"] == pytest.approx(expected, abs=1e-4)
            assert fit["explained"] == pytest.approx(float(x @ x_hat) / square, abs=1e-5)
            assert fit["error"] == pytest.approx(float((x - x_hat) @ (x - x_hat)) / square, abs=1e-5)
            # K is 6: these are all the features that fire.
            assert sum(entry["share"] for entry in firing) + fit["fixed"] == pytest.approx(fit["explained"], abs=1e-5)


def test_a_blended_layer_and_an_autoencoder_say_how_much_of_their_error_goes_on(
    make_client: Callable[..., TestClient], tiny_model: MFNModel, tmp_path: Path
) -> None:
    base = LlamaForCausalLM(tiny_model.base.config)
    layers = {
        0: MFNLayerConfig(48, 6, alpha=0.25),
        1: SAEConfig(64, "jumprelu", threshold=1.0, site="resid_post"),
    }
    MFNModel.equip(base, MFNConfig(layers), tiny_model.tokenizer).save_pretrained(tmp_path / "mixed")
    client = make_client(f"sqlite:///{tmp_path / 'studio.sqlite3'}", model=tmp_path / "mixed")
    model = MFNModel.from_pretrained(tmp_path / "mixed")
    body = client.post("/api/inspect", json={"text": TEXT}).json()
    assert [layer["error_kept"] for layer in body["layers"]] == [0.75, 1.0]
    with torch.no_grad():
        traces = model(torch.tensor([model.encode_text(TEXT)]), record=True).traces
    for layer in body["layers"]:
        trace = traces[layer["layer"]]
        assert trace.x_hat is not None
        expected = (trace.x - trace.x_hat).square().sum(-1)[0] / trace.x.square().sum(-1)[0]
        assert [fit["error"] for fit in layer["fits"][1:]] == pytest.approx(expected[1:].tolist(), abs=1e-4)


def test_features_that_fire_below_zero_count_by_their_size(
    make_client: Callable[..., TestClient], tiny_model: MFNModel, tmp_path: Path
) -> None:
    width = tiny_model.base.config.intermediate_size
    neurons = MFNConfig({1: NeuronConfig(width, k=8)})
    MFNModel.equip(LlamaForCausalLM(tiny_model.base.config), neurons, tiny_model.tokenizer).save_pretrained(
        tmp_path / "neurons"
    )
    client = make_client(f"sqlite:///{tmp_path / 'studio.sqlite3'}", model=tmp_path / "neurons")
    (layer,) = client.post("/api/inspect", json={"text": TEXT, "top": 4}).json()["layers"]
    values = [[entry["value"] for entry in firing] for firing in layer["positions"]]
    assert any(value < 0 for row in values for value in row)
    assert all(row == sorted(row, key=abs, reverse=True) for row in values)


TEXTS = [TEXT, "a", "Snow fell on the road. " * 3, TEXT, "東京", "Take two eggs, a cup of flour and a little salt."]


def test_each_answer_of_a_batch_is_the_one_its_text_gets_alone(client: TestClient) -> None:
    alone = [client.post("/api/inspect", json={"text": text, "top": 4}) for text in TEXTS]
    batch = client.post("/api/inspect/batch", json={"texts": TEXTS, "top": 4})
    assert batch.status_code == 200
    assert batch.json()["texts"] == [answer.json() for answer in alone]
    for answer in alone:  # to the last digit
        assert answer.text in batch.text


def test_texts_of_a_batch_are_counted_together(bare_client: TestClient) -> None:
    def ask(texts: list[str], top: int) -> Response:
        return bare_client.post("/api/inspect/batch", json={"texts": texts, "top": top})

    text = "The ship left the harbour. "
    tokens = len(bare_client.post("/api/inspect", json={"text": text}).json()["tokens"])
    most = MOST_ENTRIES // (2 * 64)
    count = most // tokens + 1
    assert count <= MOST_TEXTS, "or the other limit would be met first"
    refused = ask([text] * count, 64)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "batch_too_large")
    assert f"{count * tokens} tokens" in refused.json()["error"]["message"]
    assert f"at most {most}" in refused.json()["error"]["message"]
    assert ask([text] * (count - 1), 64).status_code == 200
    assert ask([text] * count, 63).status_code == 200


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"texts": []}, "invalid_request", "texts"),
        ({"texts": ["a"] * (MOST_TEXTS + 1)}, "invalid_request", "texts"),
        ({"texts": ["a", ""]}, "invalid_request", "texts.1"),
        ({"texts": ["a", "b\0"]}, "invalid_request", "texts.1"),
        ({"texts": ["a", "b", "word " * 200]}, "text_too_long", "texts.2"),
        ({"texts": "abc"}, "invalid_request", "texts"),
        ({"texts": ["a"], "top": 65}, "invalid_request", "top"),
        ({"texts": ["a"], "text": "a"}, "invalid_request", "text"),
        ({}, "invalid_request", "texts"),
    ],
)
def test_a_wrong_batch_is_refused(bare_client: TestClient, body: Any, code: str, field: str) -> None:
    answer = bare_client.post("/api/inspect/batch", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    assert answer.json()["error"]["field"] == field


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
    name_feature(client, f"/api/features/{row['source']}/{row['index']}", "named")
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
