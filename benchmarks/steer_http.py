"""Steering through a server: how long eight at once wait for a first token, how soon a slider is heard, and how much a
search for a strength holds up a text that is written beside it.

The server is `mfn serve` on the demo model, in processes of its own; clients are threads that read event streams.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice, pairwise
from typing import Any

from benchmarks.harness import Metric, Result, percentile, summary
from benchmarks.serving import TIMEOUT, serving
from mfn_server import resources

TARGET_FIRST_TOKEN = 150.0  # ms
TARGET_SLIDER = 1.0  # steps
AT_ONCE = 8
HELD = 40.0
"""What a slider is moved to: more than any feature reaches by itself, so that it is seen among the strongest."""
SAME_MOMENT = 0.002
"""Seconds by which two threads of the client may take in late what was sent before. A step takes longer."""

Event = tuple[str, dict[str, Any]]


def run(quick: bool) -> Result:
    """Texts with their plain twins, sampled, of the demo model."""
    texts, tokens, changes = (2, 8, 2) if quick else (12, 48, 24)
    folder = resources.demo() / "model"
    with (
        tempfile.TemporaryDirectory() as home,
        serving("serve", str(folder), index=False, MFN_HOME=home, MFN_PER_USER="64") as server,
    ):
        sources = [source["key"] for source in server.client.json("/api/model")["sources"]]
        _first_tokens(server.port, 1, tokens)  # the first pass through new code and memory
        with ThreadPoolExecutor(AT_ONCE) as pool:
            begun = time.perf_counter()
            waits = [
                wait
                for found in pool.map(lambda _: _first_tokens(server.port, texts, tokens), range(AT_ONCE))
                for wait in found
            ]
            took = time.perf_counter() - begun
        tries = (_slider(server.port, sources[-1], number, tokens) for number in range(4 * changes))
        moved = list(islice((found for found in tries if found is not None), changes))
        alone = _gaps(server.port, tokens)
        beside, search_alone, search_beside = _beside_search(server.port, sources[-1], tokens, quick)
    steps, seconds = zip(*moved, strict=True)
    metrics = {
        "first_token_p95": Metric(1e3 * percentile(waits, 0.95), "ms", TARGET_FIRST_TOKEN),
        "first_token": summary([1e3 * wait for wait in waits], "ms"),
        "tokens_at_eight": Metric(2 * AT_ONCE * texts * tokens / took, "tokens/s", better="higher"),
        "slider_steps": Metric(max(steps), "steps", TARGET_SLIDER),
        "slider": summary([1e3 * wait for wait in seconds], "ms"),
        "token": summary([1e3 * gap for gap in alone], "ms"),
        "token_beside_search": summary([1e3 * gap for gap in beside], "ms"),
        "token_beside_search_p99": Metric(1e3 * percentile(beside, 0.99), "ms"),
        "token_beside_search_longest": Metric(1e3 * max(beside), "ms"),
        "search": Metric(search_alone, "s"),
        "search_beside_text": Metric(search_beside, "s"),
    }
    return Result(metrics, {"model": "demo", "at_once": AT_ONCE, "texts": AT_ONCE * texts, "new_tokens": tokens})


def _first_tokens(port: int, texts: int, tokens: int) -> list[float]:
    """Seconds from asking to the first token, of texts one after the other."""
    waits: list[float] = []
    for number in range(texts):
        begun = time.perf_counter()
        for name, _ in _stream(port, {"max_new_tokens": tokens, "temperature": 1, "seed": number}):
            if name == "token" and len(waits) == number:
                waits.append(time.perf_counter() - begun)
    return waits


def _gaps(port: int, tokens: int) -> list[float]:
    """Seconds from each token of a text to the next."""
    asked = {"max_new_tokens": 2 * tokens, "temperature": 1, "compare": False, "alternatives": 0, "top_fired": 0}
    came = [time.perf_counter() for name, _ in _stream(port, asked) if name == "token"]
    return [b - a for a, b in pairwise(came)]


def _beside_search(port: int, source: str, tokens: int, quick: bool) -> tuple[list[float], float, float]:
    """What a text waits for its tokens while a search is on; and how long a search takes, alone and beside a text."""
    turn = {"source": source, "index": 7, "mode": "set", "value": 8.0, "scope": {"kind": "generation"}}
    size = {"samples": 1, "max_new_tokens": 4} if quick else {"samples": 8, "max_new_tokens": 32}
    body = json.dumps({"prompts": ["Long ago there was a"], "interventions": [turn], "temperatures": [0.7], **size})

    def search() -> float:
        begun = time.perf_counter()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
            connection.request("POST", "/api/effect/sweet-spot", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"a search was refused with {response.status}: {response.read()[:300]!r}")
            response.read()
        return time.perf_counter() - begun

    gaps: list[float] = []
    alone = search()
    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(search)
        while not searching.done() or not gaps:
            gaps += _gaps(port, tokens)
        return gaps, alone, searching.result()


def _slider(port: int, source: str, feature: int, tokens: int) -> tuple[float, float] | None:
    """Move a slider while a text is written.

    Returns:
        steps: from the last token that had come when the change was confirmed to the first that shows it; 1 is the
            next one. 0 where it had come already.
        seconds: from sending the change to the first token that shows it.
        None where the text ended before it was heard.
    """
    ready = threading.Event()  # a few tokens are there, or the text has ended
    request = [""]
    seen: list[tuple[int, float]] = []  # steps, and when they came
    sent, confirmed = 0.0, 0.0

    def move() -> None:
        nonlocal sent, confirmed
        ready.wait(TIMEOUT)
        body = {"interventions": [{"source": source, "index": feature, "mode": "set", "value": HELD}]}
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
            sent = time.perf_counter()
            headers = {"Content-Type": "application/json"}
            connection.request("PATCH", f"/api/generate/{request[0]}", json.dumps(body), headers)
            status = connection.getresponse().status
            confirmed = time.perf_counter()
        if status != 204:
            raise RuntimeError(f"the change was answered with {status}")

    body = {"max_new_tokens": 4 * tokens, "temperature": 1, "seed": feature, "compare": False, "top_fired": 20}
    shown, when = -1, 0.0
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move)
        for name, data in _stream(port, body):
            if name == "start":
                request[0] = data["request_id"]
            elif name == "features" and shown < 0 and any(fired["value"] == HELD for fired in data["fired"]):
                shown, when = data["step"], time.perf_counter()
            elif name == "token":
                seen.append((data["step"], time.perf_counter()))
                if data["step"] >= 3:
                    ready.set()
        ready.set()
        moving.result()
    if shown < 0:
        return None
    last_seen = max(step for step, came in seen if came <= confirmed + SAME_MOMENT)
    return float(max(0, shown - last_seen)), when - sent


def _stream(port: int, body: dict[str, Any]) -> Iterator[Event]:
    """The events of one text."""
    asked = json.dumps({"prompt": "The ship left the harbour at dawn, and", **body})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        connection.request("POST", "/api/generate", asked, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"a text was refused with {response.status}: {response.read()[:300]!r}")
        name = ""
        for line in response:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                yield name, json.loads(line[6:])
