"""How alike features write, asked over HTTP."""

from __future__ import annotations

import numpy as np
import pytest
from starlette.testclient import TestClient

from mfn_core import MFNModel


@pytest.fixture(scope="module")
def keys(tiny_model: MFNModel) -> dict[int, str]:
    return {layer: tiny_model.source_key(layer) for layer in tiny_model.coders}


def test_cosines_of_features_of_two_layers(client: TestClient, tiny_model: MFNModel, keys: dict[int, str]) -> None:
    features = [(0, 3), (1, 7), (1, 0)]
    answer = client.get("/api/cosines", params={"f": [f"{keys[layer]}:{index}" for layer, index in features]}).json()
    rows = np.stack([tiny_model.coders[layer].directions[index].detach().double().numpy() for layer, index in features])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(answer["cosines"], unit @ unit.T, atol=6e-5)
    assert answer["features"] == [{"source": keys[layer], "index": index} for layer, index in features]


def test_what_cannot_be_compared_is_refused(client: TestClient, keys: dict[int, str]) -> None:
    refused = {
        "nowhere:3": (404, "unknown_source", "f.1"),
        "3": (404, "unknown_source", "f.1"),
        f"{keys[0]}:48": (404, "unknown_feature", "f.1"),
        f"{keys[0]}:-1": (404, "unknown_feature", "f.1"),
        f"{keys[0]}:²": (404, "unknown_feature", "f.1"),
        f"{keys[0]}:99999999999999999999": (404, "unknown_feature", "f.1"),
        "": (404, "unknown_source", "f.1"),
        None: (422, "invalid_request", "f"),
    }
    for second, expected in refused.items():
        asked = [f"{keys[0]}:3", *([] if second is None else [second])]
        answer = client.get("/api/cosines", params={"f": asked})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["field"]) == expected, second
