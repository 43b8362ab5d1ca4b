"""What is easily overlooked: nulls, zeros, infinities, silence, and who is to blame for a wrong intervention."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mfn_server.openai import writing
from mfn_server.openai.answering import system_fingerprint
from mfn_server.openai.answers import ChatForm, Shown, TextForm, Vocabulary
from tests.server.steering import paced
from tests.server.steering.site import PATIENCE, Site


def ask(site: Site, **body: Any) -> httpx.Response:
    return site.client.post("/v1/completions", json={"model": "tiny", "prompt": "The ship", "max_tokens": 8, **body})


def test_null_is_a_fields_default_and_top_p_0_the_likeliest_token(site: Site) -> None:
    likeliest = ask(site, temperature=0).json()["choices"][0]["text"]
    nothing = dict.fromkeys(("stop", "seed", "logprobs", "n", "stream", "mfn", "logit_bias", "user", "suffix"))
    answer = ask(site, temperature=1.5, top_p=0, **nothing)
    assert answer.status_code == 200, answer.text
    assert [choice["text"] for choice in answer.json()["choices"]] == [likeliest]


def test_a_token_that_cannot_come_has_a_number_all_the_same(site: Site) -> None:
    served = asyncio.run_coroutine_threadsafe(site.studio.served(), site.studio.worker.loop).result(PATIENCE)
    never = Shown(65, -math.inf, ((66, -math.inf),), 0)
    for form in (TextForm, ChatForm):
        said = json.dumps(form(Vocabulary(served)).logprobs([never]), allow_nan=False)
        assert said.count("-9999.0") >= 2


def test_the_fingerprint_is_that_of_model_and_build(site: Site) -> None:
    served = asyncio.run_coroutine_threadsafe(site.studio.served(), site.studio.worker.loop).result(PATIENCE)
    here = system_fingerprint(served)
    assert ask(site).json()["system_fingerprint"] == here
    other_build = replace(served, build=replace(served.build, threads=served.build.threads + 1))
    other_model = replace(served, facts=replace(served.facts, fingerprint="0" * 64))
    assert len({here, system_fingerprint(other_build), system_fingerprint(other_model)}) == 3


def test_a_stream_that_waits_is_kept_alive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "HEARTBEAT_SECONDS", 0.05)
    site.pace()
    body = {"model": "tiny", "prompt": "The ship", "max_tokens": 2, "stream": True}
    with site.client.stream("POST", "/v1/completions", json=body) as response:
        lines = response.iter_lines()
        assert any(line == ": ping" for line in lines)
        site.free()
        assert any(line == "data: [DONE]" for line in lines)


def test_a_choice_ends_when_its_twin_that_writes_on_has_ended(site: Site) -> None:
    asked: dict[str, Any] = {
        "temperature": 0,
        "max_tokens": 24,
        "mfn": {"interventions": [site.clamp()], "compare": True},
    }
    whole = ask(site, **asked).json()["choices"][0]
    steered, plain = whole["text"], whole["mfn"]["plain"]["text"]
    pieces = [steered[at : at + 2] for at in range(2, len(steered) - 8)]
    stop = next(piece for piece in pieces if piece not in plain and "\ufffd" not in piece)
    streamed = ask(site, **asked, stop=stop, stream=True).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: "))["choices"][0] for line in streamed if line.startswith("data: {")]
    assert [chunk["finish_reason"] for chunk in chunks if chunk["finish_reason"]] == ["stop"]
    last = chunks[-1]
    assert (last["finish_reason"], last["mfn"]["plain"]["finish_reason"]) == ("stop", "length")
    assert last["mfn"]["plain"]["completion_tokens"] == 24
    assert "".join(chunk["text"] for chunk in chunks) == steered[: steered.index(stop)]
    assert "".join(chunk.get("mfn", {}).get("plain", {}).get("text", "") for chunk in chunks) == plain


def test_a_presets_wrong_intervention_is_the_models_fault(site: Site) -> None:
    made = [
        site.client.post(
            "/api/presets", json={"name": name, "interventions": [{**site.clamp(), "index": index}]}
        ).json()
        for name, index in (("Sound", 7), ("Broken", 4000))
    ]
    try:
        error = ask(site, model="tiny:broken").json()["error"]
        assert (error["code"], error["param"]) == ("unknown_feature", "model")
        own = {"interventions": [{**site.clamp(), "index": 4000}]}
        error = ask(site, model="tiny:sound", mfn=own).json()["error"]
        assert (error["code"], error["param"]) == ("unknown_feature", "mfn.interventions.0.index")
    finally:
        for preset in made:
            site.client.delete(f"/api/presets/{preset['id']}")


def test_a_stream_that_breaks_ends_with_its_error(site: Site) -> None:
    site.job(paced.tell, break_at=3)
    body = {"model": "tiny", "prompt": "The ship", "max_tokens": 8, "stream": True}
    text = site.client.post("/v1/completions", json=body).text
    said = [line for line in text.splitlines() if line.startswith("data: ")]
    assert json.loads(said[-1].removeprefix("data: "))["error"]["code"] == "generation_failed"
    assert "data: [DONE]" not in said
