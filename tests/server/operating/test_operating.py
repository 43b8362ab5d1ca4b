"""What whoever runs a server sees of it: probes, metrics, logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from mfn_server.operating.logs import JSONLines, Lines, configure, log

SECRET = "xylophone"


def value(client: TestClient, name: str) -> float:
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_probes_answer_by_address_and_pages_do_not(bare_client: TestClient) -> None:
    by_address = {"host": "10.0.0.7:8765"}
    assert bare_client.get("/healthz", headers=by_address).json() == {"status": "ok"}
    ready = bare_client.get("/readyz", headers=by_address)
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    for path in ("/metrics", "/healthz/", "/api/model"):
        assert bare_client.get(path, headers=by_address).status_code == 421


def test_answers_are_counted_by_route_not_by_path(bare_client: TestClient) -> None:
    asked = 'mfn_http_requests_total{method="GET",route="/api/features/{source}/{index}",status="404"}'
    made_up = 'mfn_http_requests_total{method="other",route="other",status="421"}'
    before = value(bare_client, asked), value(bare_client, made_up)
    bare_client.get(f"/api/features/{SECRET}/1")
    bare_client.get(f"/api/features/{SECRET}/2")
    bare_client.request("XYZZY", f"/{SECRET}", headers={"host": SECRET})
    assert (value(bare_client, asked), value(bare_client, made_up)) == (before[0] + 2, before[1] + 1)
    assert SECRET not in bare_client.get("/metrics").text


def test_texts_and_tokens_are_counted_and_timed(bare_client: TestClient) -> None:
    done = 'mfn_texts_total{outcome="length"}'
    tokens = 'mfn_tokens_total{stream="plain"}'
    before = value(bare_client, done), value(bare_client, tokens)
    body = {"prompt": "The ship", "max_new_tokens": 3}
    assert "event: end" in bare_client.post("/api/generate", json=body).text
    assert value(bare_client, done) == before[0] + 1
    assert value(bare_client, tokens) == before[1] + 3
    invalid = 'mfn_texts_total{outcome="refused_invalid"}'
    refused = value(bare_client, invalid)
    assert bare_client.post("/api/generate", json={"prompt": "night " * 200}).status_code == 422
    assert value(bare_client, invalid) == refused + 1
    text = bare_client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    for name in ("first_token_seconds_count", "queue_seconds_count", "step_seconds_count", "text_seconds_count"):
        assert value(bare_client, f"mfn_{name}") >= 1, name
    assert value(bare_client, "mfn_rows") >= 2
    for name in ("rows_busy", "texts_waiting", "texts_open", "worker_restarts"):
        assert value(bare_client, f"mfn_{name}") == 0, name
    assert value(bare_client, "mfn_worker_ready") == 1
    assert value(bare_client, "mfn_worker_process_resident_memory_bytes") > 1e6
    assert value(bare_client, "process_resident_memory_bytes") > 1e6


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """All that is logged at any level, as JSON."""
    caught: list[str] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            caught.append(JSONLines().format(record))

    root, handler = logging.getLogger(), Catch()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield caught
    root.removeHandler(handler)
    root.setLevel(level)


def test_logs_tell_what_happened_and_no_words(bare_client: TestClient, lines: list[str]) -> None:
    bare_client.post("/api/generate", json={"prompt": f"The {SECRET}", "max_new_tokens": 3})
    bare_client.post("/api/generate", json={"prompt": f"The {SECRET} " * 200})
    bare_client.post("/api/generate", json={"prompt": 1, SECRET: 2})
    bare_client.post("/api/inspect", json={"text": f"The {SECRET}"})
    bare_client.get(f"/api/features?q={SECRET}")
    bare_client.get(f"/{SECRET}", headers={"x-forwarded-for": SECRET})
    ours = [json.loads(line) for line in lines if '"mfn_server' in line]
    assert not any(SECRET in json.dumps(entry) for entry in ours)
    (text,) = [entry for entry in ours if entry["event"] == "text"]
    assert (text["outcome"], text["tokens"], text["level"]) == ("length", 6, "info")
    assert text["waited"] <= text["first_token"] <= text["seconds"]
    answers = [(entry["route"], entry["status"]) for entry in ours if entry["event"] == "http"]
    assert answers[:4] == [
        ("/api/generate", 200),
        ("/api/generate", 422),
        ("/api/generate", 422),
        ("/api/inspect", 200),
    ]


def test_logs_are_lines_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        for form in ("text", "json"):
            configure(form, "info")  # type: ignore[arg-type]
            log(logging.getLogger("a"), "event", count=3)
            logging.getLogger("a").debug("hidden")
        try:
            raise ValueError("a fault")
        except ValueError:
            logging.getLogger("b").exception("it broke")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    plain, first, second = capsys.readouterr().err.splitlines()
    assert plain == "INFO a: event count=3"
    assert {**json.loads(first), "time": ""} == {
        "time": "",
        "level": "info",
        "logger": "a",
        "event": "event",
        "count": 3,
    }
    assert "ValueError: a fault" in json.loads(second)["traceback"]
    assert isinstance(root.handlers, list)
    assert Lines().format(logging.LogRecord("x", logging.INFO, "", 0, "plain", None, None)) == "INFO x: plain"
