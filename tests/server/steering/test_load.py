"""Under load: crowds, clients that leave, lag or come back, a worker that dies, a server that is told to stop."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from mfn_server.steering.streams import Stream
from tests.server.steering import paced
from tests.server.steering.site import PATIENCE, Site, events_of, wait_until


def refused(site: Site, user: str = "10.0.0.1", **body: Any) -> httpx.Response:
    headers = {"X-Forwarded-For": user}
    return site.client.post("/api/generate", json={"prompt": "The ship", **body}, headers=headers)


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def metric(site: Site, line: str) -> float:
    found = [row.rpartition(" ")[2] for row in site.client.get("/metrics").text.splitlines() if row.startswith(line)]
    return float(found[0]) if found else 0.0


def test_64_clients_are_all_served_and_a_crowd_does_not_go_first(site: Site) -> None:
    """One user sends 32 requests, and after them 32 users one each: no more of the crowd begin before these."""
    slots = 8
    site.use(rows=2 * slots, waiting=64, per_user=64)  # each text has its plain twin
    site.pace()
    ended: list[str] = []

    def read(user: str) -> None:
        with site.open(user, max_new_tokens=3) as events:
            assert list(events)[-1] == ("end", {})
            ended.append(user)

    with ThreadPoolExecutor(64) as pool:
        crowd = [pool.submit(read, "10.0.0.1") for _ in range(32)]
        wait_until(lambda: site.studio.generation.admitted == 32)
        others = [pool.submit(read, f"10.1.0.{number}") for number in range(32)]
        wait_until(lambda: site.studio.generation.writing + site.studio.generation.waiting == 64)
        site.free()
        for reader in [*crowd, *others]:
            reader.result(PATIENCE)
    ahead = ended[: 32 + 2 * slots]  # texts that end in one step are read in any order
    assert len(set(ahead) - {"10.0.0.1"}) == 32
    wait_until(lambda: site.studio.generation.admitted == 0)


def test_one_user_has_so_many_texts_and_no_more(site: Site) -> None:
    site.use(per_user=2)
    site.pace()
    with site.open("10.0.0.1") as first, site.open("10.0.0.1") as second:
        next(first), next(second)
        answer = refused(site)
        assert (answer.status_code, code_of(answer)) == (429, "too_many_requests")
        assert int(answer.headers["retry-after"]) >= 1
        with site.open("10.0.0.2", max_new_tokens=1) as another:
            next(another)
            site.free()
            assert list(another)[-1] == ("end", {})
    wait_until(lambda: site.studio.generation.admitted == 0)
    assert refused(site, max_new_tokens=1).status_code == 200


def test_an_address_that_no_trusted_proxy_says_counts_for_nothing(site: Site) -> None:
    assert site.studio.settings.host == "127.0.0.1"  # uvicorn believes loopback alone
    site.use(per_user=1)
    site.pace()
    with site.open() as events:
        next(events)
        assert refused(site, "127.0.0.1").status_code == 429
        assert site.studio.generation.admitted == 1


def test_no_more_is_taken_in_than_there_is_memory_for(site: Site) -> None:
    small: dict[str, Any] = {"max_new_tokens": 4}
    (_, start), *_ = site.read(**small)
    one = start["held_bytes"]
    assert one > 0
    assert start["cache_bytes"] > 0
    service = site.studio.generation
    wait_until(lambda: service.admitted == 0)
    site.use(memory=3 * one)
    service = site.studio.generation
    large = refused(site, max_new_tokens=80, alternatives=20)
    assert (large.status_code, code_of(large)) == (413, "too_much_memory")
    assert large.json()["error"]["field"] == "max_new_tokens"
    site.pace()
    with ExitStack() as stack:
        texts = [stack.enter_context(site.open(**small)) for _ in range(3)]  # one is written, two wait
        assert [next(events)[1]["held_bytes"] for events in texts] == [one] * 3
        assert service.text_bytes == 3 * one == metric(site, "mfn_text_bytes ")
        full = refused(site, "10.0.0.2", **small)
        assert (full.status_code, code_of(full)) == (503, "memory_full")
        assert int(full.headers["retry-after"]) >= 1
        assert service.admitted == 3
        site.free()
        assert [list(events)[-1] for events in texts] == [("end", {})] * 3
    wait_until(lambda: service.text_bytes == 0)
    assert metric(site, 'mfn_texts_total{outcome="refused_memory_full"}') == 1
    assert metric(site, 'mfn_texts_total{outcome="refused_too_much_memory"}') == 1
    assert site.read(**small)[-1] == ("end", {})
    assert site.job(paced.count_requests) == 0  # those that were refused are not kept where the model is


def test_a_client_that_was_cut_off_reads_on_where_it_was(site: Site) -> None:
    whole = site.read(max_new_tokens=12, seed=5, temperature=1)
    site.pace()
    seen: list[tuple[str, dict]] = []
    with site.client.stream(
        "POST",
        "/api/generate",
        json={"prompt": "The ship", "max_new_tokens": 12, "seed": 5, "temperature": 1, "keep": 60},
    ) as response:
        site.allow(2)
        lines = response.iter_lines()
        last = ""
        for line in lines:
            if line.startswith("event: "):
                seen.append((line.removeprefix("event: "), {}))
            elif line.startswith("data: "):
                seen[-1] = (seen[-1][0], json.loads(line.removeprefix("data: ")))
            elif line.startswith("id: "):
                last = line.removeprefix("id: ")
            elif not line and len(seen) == 5:  # in the midst of what was said of one token
                break
    assert "." in last
    path = f"/api/generate/{seen[0][1]['request_id']}"
    wait_until(lambda: all(stream.reader is None for stream in site.studio.generation._streams.values()))
    site.free()
    with site.client.stream("GET", path, headers={"Last-Event-ID": last}) as response:
        assert response.status_code == 200
        rest = list(events_of(response))
    said = [(name, {**data, "request_id": "", "seconds": 0}) for name, data in [*seen, *rest]]
    assert said == [(name, {**data, "request_id": "", "seconds": 0}) for name, data in whole]
    with site.client.stream("GET", path) as response:  # it is still kept, and may be read from the start
        assert [name for name, _ in events_of(response)] == [name for name, _ in whole]
    for last_event_id, status, code in (("99999", 422, "no_such_event"), ("x", 422, "invalid_request")):
        answer = site.client.get(path, headers={"Last-Event-ID": last_event_id})
        assert (answer.status_code, code_of(answer)) == (status, code)
    assert code_of(site.client.get("/api/generate/nobody")) == "unknown_request"


def test_what_nobody_comes_back_for_is_forgotten(site: Site) -> None:
    site.use(keep=0.05)
    site.pace()
    with site.open(keep=60) as events:
        next(events)
    wait_until(lambda: site.studio.generation.admitted == 0)
    assert not site.busy


def test_a_text_can_be_stopped_from_elsewhere(site: Site) -> None:
    site.pace()
    with site.open(max_new_tokens=90) as events:
        path = f"/api/generate/{next(events)[1]['request_id']}"
        assert site.client.delete(path).status_code == 204
        assert list(events) == [("error", {"code": "cancelled", "message": "the text was cancelled"})]
    assert not site.busy
    assert site.client.delete(path).status_code == 204
    assert site.client.delete("/api/generate/nobody").status_code == 404
    assert metric(site, 'mfn_texts_total{outcome="cancelled"}') == 1


def test_a_client_that_leaves_ends_its_search(site: Site) -> None:
    turned = {**site.clamp(), "scope": {"kind": "generation"}}
    body = {"prompts": ["The ship"] * 4, "interventions": [turned], "samples": 16, "max_new_tokens": 64}
    with pytest.raises(httpx.ReadTimeout):
        site.client.post("/api/effect/sweet-spot", json={**body, "temperatures": [0.5, 1, 2, 3]}, timeout=1.0)
    wait_until(lambda: site.job(paced.count_paused, "try_spot") == 0)
    assert site.read(max_new_tokens=2)[-1] == ("end", {})
    body |= {"samples": 1, "max_new_tokens": 2}
    assert site.client.post("/api/effect/sweet-spot", json=body).status_code == 200  # its place is free again


async def _slow_client(site: Site, reads: int, go_on: asyncio.Event) -> bytes:
    """Talks to the app without a socket, whose buffers would read for it. Stops reading after so many messages."""
    body = json.dumps({"prompt": "The ship", "max_new_tokens": 80}).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/generate",
        "raw_path": b"/api/generate",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        "client": ("10.9.9.9", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "root_path": "",
    }
    asked, got = False, []

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if len(got) >= reads:
            await go_on.wait()
        got.append(message.get("body", b""))

    await site.app(scope, receive, send)
    return b"".join(got)


def test_a_reader_that_lags_is_cut_and_holds_nothing_up(site: Site) -> None:
    site.use(lag=20)
    loop = site.studio.worker.loop
    go_on = asyncio.Event()
    slow = asyncio.run_coroutine_threadsafe(_slow_client(site, 3, go_on), loop)
    wait_until(lambda: metric(site, 'mfn_texts_total{outcome="too_slow"}') == 1)
    (stream,) = site.studio.generation._streams.values()
    assert len(stream) == 1
    assert not site.busy  # it is not written for nobody
    assert site.read(max_new_tokens=2)[-1] == ("end", {})
    loop.call_soon_threadsafe(go_on.set)
    text = slow.result(PATIENCE).decode()
    assert '"code":"too_slow"' in text.rstrip().rpartition("\n\n")[2].replace(" ", "")
    wait_until(lambda: site.studio.generation.admitted == 0)


def test_killed_in_mid_stream_it_tells_everyone_and_serves_the_next(site: Site) -> None:
    worker = site.studio.worker
    worker.first_pause = 2.0
    before = worker.restarts
    site.pace()
    with site.open(max_new_tokens=90) as written, ExitStack() as stack:
        waiting = [stack.enter_context(site.open(max_new_tokens=90)) for _ in range(3)]
        assert next(written)[0] == "start"
        site.allow()
        while next(written)[0] != "token":
            pass
        assert site.client.get("/readyz").status_code == 200
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        for events in (written, *waiting):
            told = list(events)[-1]
            assert (told[0], told[1]["code"]) == ("error", "worker_lost")
    answer = site.client.post("/api/inspect", json={"text": "The harbour"})
    assert (answer.status_code, code_of(answer)) == (503, "worker_lost")
    assert int(answer.headers["retry-after"]) >= 1
    assert refused(site).status_code == 503
    ready = site.client.get("/readyz")
    assert (ready.status_code, ready.json()["model"]) == (503, "down")
    assert site.client.get("/healthz").status_code == 200
    assert site.client.get("/api/features").status_code == 200  # what needs no model goes on
    wait_until(lambda: worker.loaded)
    assert worker.restarts == before + 1
    assert site.client.get("/readyz").json() == {"ready": True, "model": "ready", "database": "ok", "stopping": False}
    assert site.read(max_new_tokens=3)[-1] == ("end", {})
    wait_until(lambda: site.studio.generation.admitted == 0)
    assert metric(site, "mfn_worker_restarts ") == worker.restarts


def test_told_to_stop_it_takes_nothing_in_and_ends_what_takes_too_long(site: Site) -> None:
    site.pace()
    with site.open(max_new_tokens=90) as endless, site.open("10.0.0.2", max_new_tokens=2) as short:
        next(endless), next(short)
        drained = asyncio.run_coroutine_threadsafe(site.studio.generation.drain(0.3), site.studio.worker.loop)
        wait_until(lambda: site.client.get("/readyz").json()["stopping"])
        answer = refused(site)
        assert (answer.status_code, code_of(answer)) == (503, "shutting_down")
        assert int(answer.headers["retry-after"]) >= 1
        assert not drained.done()
        drained.result(PATIENCE)
        assert list(endless)[-1][1]["code"] == "shutting_down"
        list(short)
    wait_until(lambda: site.studio.generation.admitted == 0)
    assert not site.busy


def test_told_to_stop_it_waits_for_texts_that_end_in_time(site: Site) -> None:
    site.pace()
    with site.open(max_new_tokens=3) as events:
        next(events)
        drained = asyncio.run_coroutine_threadsafe(site.studio.generation.drain(PATIENCE), site.studio.worker.loop)
        wait_until(lambda: site.studio.generation.stopping)
        site.free()
        assert list(events)[-1] == ("end", {})
    drained.result(PATIENCE)


GARBAGE: list[tuple[bytes, str]] = [
    (b"", "application/json"),
    (b"\xff\xfe\x00", "application/json"),
    (b'{"prompt": "a"', "application/json"),
    (b"[" * 100_000, "application/json"),
    (b'{"prompt": ' + b'"' + b"a" * 100_001 + b'"}', "application/json"),
    (b'{"prompt": "\\ud800"}', "application/json"),
    (b'{"prompt": "a", "temperature": 1e999}', "application/json"),
    (b'{"prompt": "a", "seed": 1e30}', "application/json"),
    (b'{"prompt": "a", "max_new_tokens": "many"}', "application/json"),
    (b'{"prompt": "a", "interventions": {"0": 1}}', "application/json"),
    (b'{"prompt": "a", "__class__": "os.system"}', "application/json"),
    (b'{"prompt": "a"}', "text/plain"),
    (b"prompt=a", "application/x-www-form-urlencoded"),
    (b"x" * 1_000_001, "application/json"),
]


@pytest.mark.parametrize(("content", "kind"), GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_never_reaches_the_worker(
    site: Site, monkeypatch: pytest.MonkeyPatch, content: bytes, kind: str
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(site.studio.worker, "_send", sent.append)
    answer = site.client.post("/api/generate", content=content, headers={"content-type": kind})
    assert 400 <= answer.status_code < 500, answer.text
    assert set(answer.json()["error"]) == {"code", "message", "hint", "field"}
    assert sent == []


@pytest.mark.slow
def test_500_abandoned_streams_leave_no_slot_task_or_memory_behind(site: Site) -> None:
    site.use(rows=16, waiting=64, per_user=64)
    service, loop = site.studio.generation, site.studio.worker.loop

    def leave(number: int) -> None:
        with site.open(max_new_tokens=90, temperature=1, seed=number, keep=0.01 * (number % 2)) as events:
            for _ in range(number % 5):
                next(events)

    def idle() -> tuple[int, int, int]:
        wait_until(lambda: service.admitted == service.writing == service.waiting == 0)
        assert not site.busy
        tasks = asyncio.run_coroutine_threadsafe(_count_tasks(), loop).result(PATIENCE)
        gc.collect()
        streams = sum(type(thing) is Stream for thing in gc.get_objects())
        return (tasks, streams, site.job(paced.count_requests))

    leave(0)
    before = idle()
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(leave, range(500)))
    wait_until(lambda: idle() == before)
    assert before[1:] == (0, 0)
    assert site.read(max_new_tokens=5)[-1] == ("end", {})


async def _count_tasks() -> int:
    return len(asyncio.all_tasks())
