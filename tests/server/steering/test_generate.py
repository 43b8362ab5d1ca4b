"""Generation over HTTP: the real app behind a real server, with streams that are read, left, crowded and changed."""

from __future__ import annotations

import json
import math
import threading
import time

import pytest

from mfn_core import Condition, Intervention, MFNModel, Ramp, Scope
from mfn_core.generation import Change, Done, GenerationRequest, Sampling, TokenEvent, stream
from mfn_server.served_model import make_engine
from mfn_server.steering.streams import Started, Stream
from tests.server.steering import paced
from tests.server.steering.site import PATIENCE, Site, events_of, tokens, wait_until


def test_streams_what_the_engine_says(site: Site, tiny_model: MFNModel) -> None:
    with site.client.stream(
        "POST",
        "/api/generate",
        json={"prompt": "The ship", "max_new_tokens": 12, "interventions": [site.clamp()], "seed": 3, "temperature": 1},
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        events = list(events_of(response))
    assert [name for name, _ in events][:1] == ["start"]
    start = events[0][1]
    ids = tiny_model.encode_text("The ship")
    assert [token["id"] for token in start["prompt_tokens"]] == ids
    assert start["prompt_tokens"][0]["text"] == "<|end|>"
    assert start["streams"] == ["plain", "steered"]
    assert events[-1] == ("end", {})

    asked = GenerationRequest(
        tuple(ids), 12, (Intervention(1, 7, "set", 9.0),), Sampling(temperature=1.0, seed=3), alternatives=3, fired=3
    )
    expected = list(stream(make_engine(2, tiny_model), asked))
    for name in ("plain", "steered"):
        ours = tokens(events, name)
        theirs = [event for event in expected if isinstance(event, TokenEvent) and event.stream == name]
        assert [(t["step"], t["id"], t["delta"], t["logprob"], t["kl"], t["plain_logprob"]) for t in ours] == [
            (t.step, t.token, t.delta, t.logprob, t.kl, t.plain_logprob) for t in theirs
        ]
        assert [[(s["id"], s["logprob"], s["plain_logprob"]) for s in t["shifts"]] for t in ours] == [
            [(s.token, s.logprob, s.plain_logprob) for s in t.shifts] for t in theirs
        ]
        assert any(t["shifts"] for t in ours) is (name == "steered")
        assert [[(a["id"], a["logprob"]) for a in t["alternatives"]] for t in ours] == [
            [(a.token, a.logprob) for a in t.alternatives] for t in theirs
        ]
        assert [[(f["source"], f["index"], f["value"]) for f in t["fired"]] for t in ours] == [
            [(site.sources[f.layer], f.feature, f.value) for f in t.fired] for t in theirs
        ]
        (end,) = [data for event, data in events if event == "done" and data["stream"] == name]
        (theirs_end,) = [event for event in expected if isinstance(event, Done) and event.stream == name]
        assert (end["reason"], end["text"], end["n_tokens"]) == (
            theirs_end.reason,
            theirs_end.text,
            theirs_end.n_tokens,
        )
        assert end["text"] == "".join(t["delta"] for t in ours)
    assert any(
        f == {"source": site.sources[1], "index": 7, "value": 9.0} for f in tokens(events, "steered")[0]["fired"]
    )


def test_ramps_and_conditions_reach_the_engine(site: Site) -> None:
    ramped = {**site.clamp(9.0), "scope": {"kind": "generation"}, "ramp": {"start": 1.0, "steps": 4}}
    read = tokens(site.read(max_new_tokens=7, top_fired=20, interventions=[ramped]), "steered")
    values = [[f["value"] for f in t["fired"] if (f["source"], f["index"]) == (site.sources[1], 7)] for t in read]
    assert values == [[1.0], [3.0], [5.0], [7.0], [9.0], [9.0], [9.0]]

    plain = site.read(max_new_tokens=1, top_fired=20, compare=False)
    (asked, strength) = next(
        (f["index"], f["value"]) for f in tokens(plain, "steered")[0]["fired"] if f["source"] == site.sources[0]
    )
    for above, met in ((0.9 * strength, True), (1.1 * strength, False)):
        condition = {"index": asked, "above": above, "source": site.sources[0]}
        clamp = {**site.clamp(9.0), "scope": {"kind": "generation"}, "condition": condition}
        first = tokens(site.read(max_new_tokens=1, top_fired=20, interventions=[clamp]), "steered")[0]
        fired = [f["value"] for f in first["fired"] if (f["source"], f["index"]) == (site.sources[1], 7)]
        assert (fired == [9.0]) is met


def test_an_empty_prompt_begins_a_text(site: Site) -> None:
    events = site.read(prompt="", max_new_tokens=3)
    assert [token["id"] for token in events[0][1]["prompt_tokens"]] == [0]
    assert len(tokens(events, "plain")) >= 1


def test_without_compare_the_steered_stream_comes_alone(site: Site) -> None:
    both = site.read(max_new_tokens=6, interventions=[site.clamp()])
    alone = site.read(max_new_tokens=6, interventions=[site.clamp()], compare=False)
    assert alone[0][1]["streams"] == ["steered"]
    alone_said = {"kl": None, "plain_logprob": None, "shifts": []}  # what takes a plain twin to tell
    twin = [{**token, **alone_said} for token in tokens(both, "steered")]
    assert tokens(alone, "steered") == twin
    assert not tokens(alone, "plain")


def test_a_slider_acts_on_the_next_token(site: Site) -> None:
    site.pace()
    with site.open(max_new_tokens=10, top_fired=20) as events:
        seen = [next(events)]
        for step in range(3):
            site.allow()
            while seen[-1][0] != "features" or (seen[-1][1]["stream"], seen[-1][1]["step"]) != ("steered", step):
                seen.append(next(events))
        path = f"/api/generate/{seen[0][1]['request_id']}"
        changed = site.client.patch(path, json={"interventions": [site.clamp(8.5)]})
        assert (changed.status_code, changed.content) == (204, b"")
        site.free()
        seen += list(events)
    held = [
        8.5 in [f["value"] for f in token["fired"] if (f["source"], f["index"]) == (site.sources[1], 7)]
        for token in tokens(seen, "steered")
    ]
    assert held == [False] * 3 + [True] * 7
    assert site.client.patch(path, json={"interventions": []}).status_code == 204  # it may have crossed the end
    unknown = site.client.patch("/api/generate/nobody", json={"interventions": []})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_request")


def test_a_change_that_meets_the_last_events_on_their_way_is_no_error(site: Site) -> None:
    assert site.read(max_new_tokens=2)[-1] == ("end", {})
    crossed = Stream("crossed", "someone", 10)  # the engine is done with it, its reader is not
    crossed.started = Started("crossed", (0,), ("steered",))
    site.studio.generation._streams["crossed"] = crossed
    answer = site.client.patch("/api/generate/crossed", json={"interventions": [site.clamp()]})
    assert answer.status_code == 204


def test_a_refused_change_leaves_the_stream_running(site: Site) -> None:
    site.pace()
    with site.open(max_new_tokens=4) as events:
        _, start = next(events)
        wrong = {**site.clamp(), "index": 48}
        refused = site.client.patch(f"/api/generate/{start['request_id']}", json={"interventions": [wrong]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unknown_feature")
        site.free()
        assert [name for name, _ in events][-1] == "end"


def test_leaving_frees_the_place_within_a_step(site: Site) -> None:
    site.pace()
    with site.open(max_new_tokens=90) as events:
        next(events)
        site.allow()
        next(events)
    wait_until(lambda: not site.busy)
    steps = site.steps
    wait_until(lambda: site.studio.generation.admitted == 0)
    assert steps <= 2
    site.free()
    assert site.read(max_new_tokens=5)[-1] == ("end", {})


def test_many_abandoned_streams_leave_nothing_behind(site: Site) -> None:
    for number in range(30):
        with site.open(max_new_tokens=90, temperature=1, seed=number) as events:
            for _ in range(number % 4):
                next(events)
    service = site.studio.generation
    wait_until(lambda: service.admitted == service.writing == service.waiting == 0)
    assert not site.busy  # a job comes behind all that was sent before
    before = site.steps
    time.sleep(0.1)
    assert site.steps == before


def test_refuses_when_the_queue_is_full_and_serves_those_who_wait(site: Site) -> None:
    site.use(waiting=2)
    site.pace()
    finished: list[int] = []

    def reader(number: int) -> None:
        with site.open(max_new_tokens=3, seed=number) as events:
            assert list(events)[-1] == ("end", {})
            finished.append(number)

    readers = []
    for number in range(3):  # one writes, two wait
        readers.append(threading.Thread(target=reader, args=(number,)))
        readers[-1].start()
        wait_until(lambda expected=number: site.studio.generation.waiting == expected)
    refused = site.client.post("/api/generate", json={"prompt": "The ship"})
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "busy"
    site.free()
    for thread in readers:
        thread.join(PATIENCE)
    assert sorted(finished) == [0, 1, 2]
    wait_until(lambda: site.studio.generation.admitted == 0)
    assert site.read(max_new_tokens=2)[-1] == ("end", {})


def test_a_request_that_is_left_while_it_waits_is_never_written(site: Site) -> None:
    site.pace()
    with site.open(max_new_tokens=4) as first:
        next(first)
        with site.open(max_new_tokens=90) as second:
            next(second)
            wait_until(lambda: site.studio.generation.waiting == 1)
        wait_until(lambda: site.studio.generation.admitted == 1)
        site.free()
        assert list(first)[-1] == ("end", {})
    assert site.steps == 4


def test_inspection_takes_its_turn_between_tokens(site: Site) -> None:
    site.pace()
    with site.open(max_new_tokens=20) as events:
        next(events)
        for _ in range(2):
            site.allow()
            next(events)
            assert site.client.post("/api/inspect", json={"text": "The harbour"}).status_code == 200
        assert site.busy


def test_keeps_a_waiting_connection_alive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    site.pace()
    with site.client.stream("POST", "/api/generate", json={"prompt": "The ship", "max_new_tokens": 2}) as response:
        lines = response.iter_lines()
        assert any(line == ": ping" for line in lines)
        site.free()
        assert any(line == "event: end" for line in lines)


def test_a_fault_is_told_and_the_next_request_is_served(site: Site) -> None:
    before = site.job(paced.look)["number"]
    site.pace()
    with site.open(max_new_tokens=20) as events:
        next(events)
        site.job(paced.tell, break_at=3)
        site.free()
        seen = list(events)
    assert seen[-1][0] == "error"
    assert seen[-1][1]["code"] == "generation_failed"
    assert len(tokens(seen, "steered")) == 2
    assert site.read(max_new_tokens=3)[-1] == ("end", {})
    assert site.job(paced.look)["number"] == before + 1


OK = {"source": "SOURCE", "index": 7, "mode": "set", "value": 1.0}


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"interventions": [{**OK, "source": "mfn.resid_mid.1-00000000"}]}, "unknown_source", "interventions.0.source"),
        ({"interventions": [OK, {**OK, "index": 48}]}, "unknown_feature", "interventions.1.index"),
        ({"interventions": [{**OK, "condition": 48}]}, "unknown_feature", "interventions.0.condition"),
        ({"interventions": [{**OK, "index": -1}]}, "invalid_request", "interventions.0.index"),
        ({"interventions": [{**OK, "value": math.nan}]}, "invalid_request", "interventions.0.value"),
        ({"interventions": [{**OK, "value": math.inf}]}, "invalid_request", "interventions.0.value"),
        ({"interventions": [{**OK, "value": 1e30}]}, "invalid_request", "interventions.0.value"),
        ({"interventions": [{**OK, "value": -1.0}]}, "invalid_intervention", "interventions.0.value"),
        (
            {"interventions": [{**OK, "ramp": {"start": -1.0, "steps": 3}}]},
            "invalid_intervention",
            "interventions.0.ramp.start",
        ),
        (
            {"interventions": [{**OK, "ramp": {"start": 0, "steps": 0}}]},
            "invalid_request",
            "interventions.0.ramp.steps",
        ),
        (
            {"interventions": [{**OK, "mode": "ablate", "ramp": {"start": 0, "steps": 3}}]},
            "invalid_request",
            "interventions.0",
        ),
        (
            {"interventions": [{**OK, "scope": {"kind": "prompt"}, "ramp": {"start": 0, "steps": 3}}]},
            "invalid_request",
            "interventions.0",
        ),
        ({"interventions": [{**OK, "condition": {"index": 48}}]}, "unknown_feature", "interventions.0.condition"),
        (
            {"interventions": [{**OK, "condition": {"index": 1, "source": "nowhere"}}]},
            "unknown_source",
            "interventions.0.condition.source",
        ),
        (
            {"interventions": [{**OK, "source": "EARLIER", "condition": {"index": 1, "source": "SOURCE"}}]},
            "invalid_intervention",
            "interventions.0.condition.source",
        ),
        ({"interventions": [{**OK, "condition": {"index": 1, "above": -1}}]}, "invalid_request", None),
        ({"interventions": [{**OK, "mode": "explode"}]}, "invalid_request", "interventions.0.mode"),
        ({"interventions": [{**OK, "scope": {"kind": "somewhere"}}]}, "invalid_request", "interventions.0.scope.kind"),
        ({"interventions": [{**OK, "scope": {"kind": "range", "start": 5, "stop": 5}}]}, "invalid_request", None),
        ({"interventions": [{**OK, "scope": {"kind": "prompt", "start": 5}}]}, "invalid_request", None),
        (
            {"interventions": [{**OK, "scope": {"kind": "range", "start": 96}}]},
            "scope_out_of_range",
            "interventions.0.scope.start",
        ),
        ({"interventions": [OK] * 17}, "invalid_request", "interventions"),
        ({"prompt": "night " * 200}, "prompt_too_long", "prompt"),
        ({"prompt": "nul \0"}, "invalid_request", "prompt"),
        ({"prompt": None}, "invalid_request", None),
        ({"prompt": 7}, "invalid_request", "prompt"),
        ({"messages": [{"role": "user", "content": "and a prompt"}]}, "invalid_request", None),
        ({"prompt": None, "messages": []}, "invalid_request", None),
        ({"prompt": None, "messages": [{"role": "cook", "content": ""}]}, "invalid_request", "messages.0.role"),
        ({"max_new_tokens": 0}, "invalid_request", "max_new_tokens"),
        ({"temperature": -1}, "invalid_request", "temperature"),
        ({"temperature": math.nan}, "invalid_request", "temperature"),
        ({"top_p": 0}, "invalid_request", "top_p"),
        ({"seed": -1}, "invalid_request", "seed"),
        ({"strength": 3}, "invalid_request", "strength"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(site: Site, body: dict, code: str, field: str | None) -> None:
    raw = json.dumps({"prompt": "The ship", **body})
    for name, key in zip(("EARLIER", "SOURCE"), site.sources, strict=True):
        raw = raw.replace(json.dumps(name), json.dumps(key))
    answer = site.client.post("/api/generate", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == code
    if field is not None:
        assert error["field"] == field
    assert error["message"]
    assert site.studio.generation.admitted == 0
    assert site.steps == 0


def test_a_long_prompt_is_told_its_length_and_the_limit(site: Site, tiny_model: MFNModel) -> None:
    text = "night " * 200
    message = site.client.post("/api/generate", json={"prompt": text}).json()["error"]["message"]
    assert str(len(tiny_model.encode_text(text))) in message
    assert "95" in message


def test_the_api_describes_its_events(site: Site) -> None:
    operation = site.client.get("/openapi.json").json()["paths"]["/api/generate"]["post"]
    assert "text/event-stream" in operation["responses"]["200"]["content"]
    assert "GenerateBody" in json.dumps(operation["requestBody"])


def test_a_change_in_the_middle_is_that_of_the_engine_and_can_be_had_again(site: Site, tiny_model: MFNModel) -> None:
    """The token that `updated` names is the first to differ from the untouched run, and everything is as by hand."""
    body = {"max_new_tokens": 60, "temperature": 1, "seed": 5, "watch": [{"source": site.sources[0], "index": 3}]}
    clamp = {
        **site.clamp(20.0),
        "condition": {"index": 3, "source": site.sources[0]},
        "ramp": {"start": 9, "steps": 50},
    }
    other = {"source": site.sources[0], "index": 3, "mode": "add", "value": 2.5, "scope": {"kind": "range", "start": 1}}
    for _ in range(20):  # a text may be written before the change has come
        with site.open(**body) as events:
            _, start = next(events)
            seen = [next(events) for _ in range(12)]
            path = f"/api/generate/{start['request_id']}"
            assert site.client.patch(path, json={"interventions": [other, clamp]}).status_code == 204
            seen += list(events)
        told = [data for name, data in seen if name == "updated"]
        if told:
            break
    (change,) = told
    for one, sent in zip(change["interventions"], (other, clamp), strict=True):
        assert all(one[name] == sent[name] for name in ("source", "index", "mode", "value"))
    assert change["step"] >= 2
    place = next(n for n, (name, _) in enumerate(seen) if name == "updated")
    assert [data["step"] for name, data in seen[:place] if name == "token" and data["stream"] == "steered"][-1] == (
        change["step"] - 1
    )

    by_hand = (
        Intervention(0, 3, "add", 2.5, Scope("range", 1)),
        Intervention(1, 7, "set", 20.0, condition=Condition(3, layer=0), ramp=Ramp(9.0, 50)),
    )
    asked = GenerationRequest(
        tuple(tiny_model.encode_text("The ship")),
        60,
        sampling=Sampling(temperature=1.0, seed=5),
        watch=((0, 3),),
        changes=(Change(change["step"], by_hand),),
    )
    theirs = [event for event in stream(make_engine(2, tiny_model), asked) if isinstance(event, TokenEvent)]
    for name in ("plain", "steered"):
        assert [(t["id"], t["logprob"], t["kl"]) for t in tokens(seen, name)] == [
            (t.token, t.logprob, t.kl) for t in theirs if t.stream == name
        ]
        assert [[(w["value"], w["untouched"]) for w in t["watched"]] for t in tokens(seen, name)] == [
            [(w.value, w.untouched) for w in t.watched] for t in theirs if t.stream == name
        ]
    untouched = tokens(site.read(**body), "steered")
    differs = [a["logprob"] != b["logprob"] for a, b in zip(tokens(seen, "steered"), untouched, strict=False)]
    assert differs.index(True) == change["step"]

    again = site.read(**body, changes=[change])
    timeless = [{k: v for k, v in data.items() if k != "seconds"} for name, data in again if name != "start"]
    assert timeless == [{k: v for k, v in data.items() if k != "seconds"} for _, data in seen]


def test_watched_features_and_changes_that_are_not_there_are_refused(site: Site) -> None:
    key = site.sources[1]
    change = {"step": 3, "interventions": [{**site.clamp(), "index": 48}]}
    for body, code, field in (
        ({"watch": [{"source": "nowhere", "index": 1}]}, "unknown_source", "watch.0.source"),
        ({"watch": [{"source": key, "index": 1}, {"source": key, "index": 48}]}, "unknown_feature", "watch.1.index"),
        ({"watch": [{"source": key, "index": 1}] * 33}, "invalid_request", "watch"),
        ({"changes": [change]}, "unknown_feature", "changes.0.interventions.0.index"),
        ({"changes": [{"step": 3, "interventions": []}] * 2}, "invalid_request", None),
        ({"changes": [{"step": -1, "interventions": []}]}, "invalid_request", "changes.0.step"),
    ):
        answer = site.client.post("/api/generate", json={"prompt": "The ship", **body})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, code), body
        assert field is None or error["field"] == field
