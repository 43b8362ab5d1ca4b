"""A run can be had again, bit for bit, and a client can tell without keeping it."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from tests.server.steering.site import Site, events_of, tokens


def outcomes(events: list[tuple[str, dict]]) -> dict[str, tuple[str, str]]:
    return {data["stream"]: (data["digest"], data["exact_digest"]) for name, data in events if name == "done"}


def test_the_same_request_has_the_same_digests_and_another_has_others(site: Site) -> None:
    asked: dict[str, Any] = {"max_new_tokens": 12, "temperature": 1, "seed": 3, "interventions": [site.clamp()]}
    events = site.read(**asked)
    first = outcomes(events)
    assert outcomes(site.read(**asked)) == first
    for name in ("plain", "steered"):
        written = [(token["id"], token["logprob"]) for token in tokens(events, name)]
        ids = b"".join(struct.pack("<I", token) for token, _ in written)
        exact = b"".join(struct.pack("<Id", *both) for both in written)
        assert first[name] == (hashlib.sha256(ids).hexdigest()[:16], hashlib.sha256(exact).hexdigest()[:16])
    for change in ({"seed": 4}, {"temperature": 1.5}, {"prompt": "A ship"}, {"interventions": [site.clamp(4.0)]}):
        other = outcomes(site.read(**{**asked, **change}))
        assert other["steered"] != first["steered"]
        assert (other["plain"] == first["plain"]) == ("interventions" in change)


def test_a_reader_that_comes_back_gets_the_digests_of_the_whole(site: Site) -> None:
    asked: dict[str, Any] = {"max_new_tokens": 8, "temperature": 1, "seed": 3}
    whole = outcomes(site.read(**asked))
    site.pace()
    with site.open(**asked, keep=60) as events:
        start = next(events)[1]
        site.allow(2)
        read = 0
        while read < 4:  # two tokens of each stream: events 1 to 4, as the start is 0
            read += next(events)[0] == "token"
    path = f"/api/generate/{start['request_id']}"
    early = site.client.get(path, headers={"Last-Event-ID": "5"})
    assert (early.status_code, early.json()["error"]["code"]) == (422, "no_such_event")
    with site.client.stream("GET", path, headers={"Last-Event-ID": "4"}) as response:
        assert response.status_code == 200
        site.free()
        rest = list(events_of(response))
    assert outcomes(rest) == whole
    written = [data["step"] for name, data in rest if name == "token" and data["stream"] == "steered"]
    assert written == [2, 3, 4, 5, 6, 7]


def test_the_model_says_its_build(site: Site) -> None:
    build = site.client.get("/api/model").json()["build"]
    assert build["device"] == "cpu"
    assert build["dtype"] == "float32"
    assert build["threads"] >= 1
    assert build.keys() == {"version", "torch", "transformers", "device", "cpu", "threads", "dtype", "rows"}


def test_new_sampling_fields_reach_the_engine(site: Site) -> None:
    greedy: dict[str, Any] = {"max_new_tokens": 30, "temperature": 0}  # and so it repeats itself
    drawn = {**greedy, "temperature": 1, "seed": 3}
    for asked, change in (
        (drawn, {"min_p": 0.5}),
        (greedy, {"repetition_penalty": 50.0}),
        (greedy, {"frequency_penalty": 20.0}),
        (greedy, {"presence_penalty": 20.0}),
        (greedy, {"logit_bias": {"65": 50}}),
    ):
        assert outcomes(site.read(**asked, **change))["plain"] != outcomes(site.read(**asked))["plain"], change
    text = "".join(token["delta"] for token in tokens(site.read(**drawn), "plain"))
    events = site.read(**drawn, stop=[text[3:6]])
    (done,) = [data for name, data in events if name == "done" and data["stream"] == "plain"]
    assert (done["reason"], done["text"]) == ("stop", text[: text.index(text[3:6])])
