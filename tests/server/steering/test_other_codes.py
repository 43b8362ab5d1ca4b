"""A served bundle whose codes read the model from outside: raw neurons in one block, an SAE in the next.

Nothing of them may be felt until something is turned; what is turned moves the stream by s_t · Δz · D_j at its site and
by nothing else. The yardstick is the bare model, cut open by hooks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient
from torch import Tensor
from transformers import LlamaForCausalLM

from mfn_core import MFNConfig, MFNModel
from mfn_core.baselines import SAE, NeuronConfig, SAEConfig
from mfn_core.generation import GenerationRequest, SlotEngine, TokenEvent, stream
from mfn_server.app import create_app
from mfn_server.served_model import ROWS
from mfn_server.settings import Settings
from tests.server.conftest import wait_for_model

PROMPT = "The ship left the harbour"
LENGTH = 12


def bare(tiny: MFNModel) -> LlamaForCausalLM:
    """The tiny model without its layers of features."""
    base = LlamaForCausalLM(tiny.base.config)
    base.load_state_dict({name: t for name, t in tiny.base.state_dict().items() if ".mfn." not in name})
    return base.eval()


@pytest.fixture(scope="module")
def model(tiny_model: MFNModel) -> MFNModel:
    torch.manual_seed(5)
    neurons = NeuronConfig(tiny_model.base.config.intermediate_size, k=6)
    codes = {0: neurons, 1: SAEConfig(64, "topk", k=5, site="resid_post")}
    return MFNModel.equip(bare(tiny_model), MFNConfig(codes), tiny_model.tokenizer).eval()


@pytest.fixture(scope="module")
def client(model: MFNModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("outside")
    model.save_pretrained(folder / "bundle")
    app = create_app(Settings(model=folder / "bundle", database=str(folder / "studio.sqlite3")))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        wait_for_model(client)
        yield client


@pytest.fixture(scope="module")
def sources(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/model").json()["sources"]
    return found


Read = dict[str, list[tuple[int, float]]]


def served(client: TestClient, *interventions: dict[str, Any]) -> Read:
    """The tokens of both streams with their log-probabilities, over HTTP."""
    body = {"prompt": PROMPT, "max_new_tokens": LENGTH, "interventions": interventions}
    answer = client.post("/api/generate", json=body)
    assert answer.status_code == 200, answer.text
    streams: Read = {"plain": [], "steered": []}
    for event in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line and not line.startswith(":"))
        if fields.get("event") == "token":
            token = json.loads(fields["data"])
            streams[token["stream"]].append((token["id"], token["logprob"]))
    assert len(streams["plain"]) == len(streams["steered"]) == LENGTH
    return streams


def by_hand(base: LlamaForCausalLM, tiny: MFNModel) -> list[tuple[int, float]]:
    """The same of the one text of a bare model, whatever hooks it has, in an engine like the server's."""
    engine = SlotEngine(MFNModel.equip(base, MFNConfig({}), tiny.tokenizer).eval(), rows=ROWS)
    asked = GenerationRequest(tuple(tiny.encode_text(PROMPT)), LENGTH, compare=False)
    return [(event.token, event.logprob) for event in stream(engine, asked) if isinstance(event, TokenEvent)]


def assert_same_text(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> None:
    assert [token for token, _ in found] == [token for token, _ in expected]
    assert [chance for _, chance in found] == pytest.approx([chance for _, chance in expected], abs=1e-4)


def test_the_plain_stream_is_the_bare_model_to_the_last_bit(
    client: TestClient, sources: list[dict[str, Any]], tiny_model: MFNModel
) -> None:
    assert [(source["kind"], source["signed"]) for source in sources] == [("neurons", True), ("sae", False)]
    expected = by_hand(bare(tiny_model), tiny_model)
    assert served(client) == {"plain": expected, "steered": expected}
    strong = [{"source": source["key"], "index": 3, "mode": "set", "value": 50.0} for source in sources]
    turned = served(client, *strong)
    assert turned["plain"] == expected
    assert turned["steered"] != expected
    idle = served(client, *[{**one, "mode": "scale", "value": 1.0} for one in strong])
    assert idle == {"plain": expected, "steered": expected}


def test_an_sae_moves_the_stream_by_its_change_and_keeps_its_error(
    client: TestClient, sources: list[dict[str, Any]], model: MFNModel, tiny_model: MFNModel
) -> None:
    sae, feature, value = model.coders[1], 11, 40.0
    assert isinstance(sae, SAE)
    base = bare(tiny_model)

    def steer(module: Any, args: Any, output: Tensor) -> Tensor:
        codes, scale = sae.encode(output)
        return output + scale * (value - codes.value_of(feature))[..., None] * sae.directions[feature]

    base.model.layers[1].register_forward_hook(steer)
    expected = by_hand(base, tiny_model)
    found = served(client, {"source": sources[1]["key"], "index": feature, "mode": "set", "value": value})
    assert_same_text(found["steered"], expected)
    assert [token for token, _ in found["steered"]] != [token for token, _ in found["plain"]]


def test_a_neuron_is_set_below_0_kept_in_records_or_not(
    client: TestClient, sources: list[dict[str, Any]], tiny_model: MFNModel
) -> None:
    base, neuron, value = bare(tiny_model), 7, -30.0

    def steer(module: Any, args: tuple[Tensor]) -> tuple[Tensor]:
        changed = args[0].clone()
        changed[..., neuron] = value
        return (changed,)

    base.model.layers[0].mlp.down_proj.register_forward_pre_hook(steer)
    expected = by_hand(base, tiny_model)
    found = served(client, {"source": sources[0]["key"], "index": neuron, "mode": "set", "value": value})
    assert_same_text(found["steered"], expected)
    assert [token for token, _ in found["steered"]] != [token for token, _ in found["plain"]]


def test_below_0_is_for_signed_codes(client: TestClient, sources: list[dict[str, Any]]) -> None:
    down = {"source": sources[1]["key"], "index": 3, "mode": "set", "value": -1.0}
    refused = client.post("/api/generate", json={"prompt": PROMPT, "interventions": [down]})
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert (error["code"], error["field"]) == ("invalid_intervention", "interventions.0.value")


def test_such_a_bundle_is_inspected(client: TestClient, sources: list[dict[str, Any]], model: MFNModel) -> None:
    found = client.post("/api/inspect", json={"text": PROMPT, "top": 4}).json()["layers"]
    assert [(layer["source"], layer["error_kept"]) for layer in found] == [(source["key"], 1.0) for source in sources]
    neurons = model.codes(PROMPT)[0].dense()
    last = found[0]["positions"][-1]
    assert [hit["value"] for hit in last] == pytest.approx([float(neurons[-1, hit["index"]]) for hit in last], abs=1e-3)
    assert any(hit["value"] < 0 for token in found[0]["positions"] for hit in token)
