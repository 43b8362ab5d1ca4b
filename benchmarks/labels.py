"""Twenty people who label at the same time: how long a write takes, and how soon the others see it.

A server in its own process on SQLite, twenty writers with a connection and an open event stream each. Writes are due at
times drawn beforehand (a Poisson process for each writer) and a latency runs from when a write was due to its answer,
which comes once it is on disk. Rounds take turns with rounds of the least that any server must do: the same writes at
the same times as bare durable inserts, one after the other, into an SQLite file of the same settings.
"""

from __future__ import annotations

import http.client
import json
import random
import selectors
import socket
import sqlite3
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Metric, Result, percentile
from benchmarks.serving import TIMEOUT, serving
from mfn_server import resources

WRITERS = 20
RATE = 2.0  # writes a second of each writer: far more than a person makes
FEATURES = 200
HOT, HOT_SHARE = 5, 0.25  # so many features get so great a share of all that is said
ROUNDS, QUICK_ROUNDS = 4, 1
SECONDS, QUICK_SECONDS = 15.0, 2.0
WRITE_P95, SEEN_P95 = 50.0, 500.0


@dataclass(frozen=True)
class Write:
    """One write: when it is due, in seconds from the beginning, and of which feature."""

    due: float
    feature: int


@dataclass(frozen=True)
class Done:
    """One write: when it was due, sent and answered, by the clock, and the event's number."""

    due: float
    sent: float
    answered: float
    stream: int = 0


def run(quick: bool) -> Result:
    """Rounds of the server and of bare inserts in turn, then all writers as fast as they can."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    rng = random.Random(8)
    writes: list[Done] = []
    bare: list[Done] = []
    seen: dict[int, float] = {}
    with (
        tempfile.TemporaryDirectory() as home,
        serving("serve", str(resources.demo() / "model"), index=False, MFN_HOME=home) as server,
        _listening(server.port, seen),
    ):
        source = server.client.json("/api/model")["sources"][0]["key"]
        _load(_draw(rng, 1.0), lambda: _Speaker(server.port, source))  # the first pass through new code and memory
        for _ in range(rounds):
            schedule = _draw(rng, seconds)
            writes += _load(schedule, lambda: _Speaker(server.port, source))
            with _bare(Path(home) / "bare.sqlite3") as insert:
                bare += _load(schedule, lambda: insert)
        begun = time.perf_counter()
        burst = _load(_draw(rng, seconds / 3, at_once=True), lambda: _Speaker(server.port, source), seconds / 3)
        took = time.perf_counter() - begun
        _until(lambda: all(done.stream in seen for done in writes), 30.0)
    latency = [1e3 * (done.answered - done.due) for done in writes]
    least = [1e3 * (done.answered - done.due) for done in bare]
    told = [1e3 * (seen[done.stream] - done.sent) for done in writes if done.stream in seen]
    target = None if quick else 1.0
    metrics = {
        "write_p50": Metric(percentile(latency, 0.5), "ms"),
        "write_p95": Metric(percentile(latency, 0.95), "ms", target and WRITE_P95),
        "write_p99": Metric(percentile(latency, 0.99), "ms"),
        "bare_insert_p50": Metric(percentile(least, 0.5), "ms"),
        "bare_insert_p95": Metric(percentile(least, 0.95), "ms"),
        "seen_by_others_p50": Metric(percentile(told, 0.5), "ms"),
        "seen_by_others_p95": Metric(percentile(told, 0.95), "ms", target and SEEN_P95),
        "not_seen": Metric(float(len(writes) - len(told)), "events", 0.0),
        "burst_writes": Metric(len(burst) / took, "writes/s", better="higher"),
        "burst_p95": Metric(percentile([1e3 * (done.answered - done.sent) for done in burst], 0.95), "ms"),
    }
    settings = {
        "writers": WRITERS,
        "writes a second of each": RATE,
        "event streams": WRITERS,
        "rounds": rounds,
        "seconds each": seconds,
        "writes": len(writes),
        "database": "SQLite, synchronous = FULL",
    }
    return Result(metrics, settings)


def _draw(rng: random.Random, seconds: float, at_once: bool = False) -> list[list[Write]]:
    """What each writer does; with `at_once` all of it is due at the beginning."""

    def one() -> Iterator[Write]:
        due = 0.0
        while (due := due + rng.expovariate(RATE)) < seconds or at_once:
            hot = rng.random() < HOT_SHARE
            yield Write(0.0 if at_once else due, rng.randrange(HOT if hot else FEATURES))
            if at_once and due > 100 * seconds:
                return

    return [list(one()) for _ in range(WRITERS)]


def _load(
    schedule: Sequence[Sequence[Write]], make: Callable[[], Callable[[Write], int]], seconds: float | None = None
) -> list[Done]:
    """All writers at the same time, each with what `make` gives it. With `seconds` none begins a write after those."""
    found: list[list[Done]] = [[] for _ in schedule]
    failures: list[BaseException] = []
    ready = threading.Barrier(len(schedule) + 1)
    begun = [0.0]

    def work(number: int) -> None:
        try:
            send = make()
            ready.wait()
            ready.wait()
            for write in schedule[number]:
                due = begun[0] + write.due
                if (wait := due - time.perf_counter()) > 0:
                    time.sleep(wait)
                sent = time.perf_counter()
                if seconds is not None and sent > begun[0] + seconds:
                    return
                stream = send(write)
                found[number].append(Done(due, sent, time.perf_counter(), stream))
        except BaseException as error:
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(schedule))]
    for thread in threads:
        thread.start()
    try:
        ready.wait(TIMEOUT)
        begun[0] = time.perf_counter()
        ready.wait(TIMEOUT)
    except threading.BrokenBarrierError:
        pass
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [done for each in found for done in each]


class _Speaker:
    """One person's connection. Says this and that of features, in a mix of kinds."""

    def __init__(self, port: int, source: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self._connection.connect()
        self._source = source
        self._labels: dict[int, int] = {}
        self._count = 0

    def __call__(self, write: Write) -> int:
        self._count += 1
        label = self._labels.get(write.feature)
        event: dict[str, Any]
        if label is not None and self._count % 3 == 0:
            event = {"kind": "vote", "label": label, "value": "up"}
        elif self._count % 4 == 0:
            event = {"kind": "tag", "tag": f"tag {self._count % 20}"}
        elif self._count % 2:
            event = {"kind": "comment", "text": "It fires on ships and harbours, but not on boats in a river."}
        else:
            event = {"kind": "propose", "text": f"ships and harbours, number {self._count}"}
        body = json.dumps({"id": str(uuid.uuid4()), "event": event})
        path = f"/api/features/{self._source}/{write.feature}/events"
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 201:
            raise RuntimeError(f"a write was answered with {response.status}: {data[:300]!r}")
        stream: int = json.loads(data)["stream"]
        if event["kind"] == "propose":
            self._labels[write.feature] = stream
        return stream


@contextmanager
def _bare(path: Path) -> Iterator[Callable[[Write], int]]:
    """A durable insert of a row of the same size, one at a time."""
    turn = threading.Lock()
    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}").fetchone()
        connection.execute("CREATE TABLE IF NOT EXISTS said (id INTEGER PRIMARY KEY, feature INTEGER, words TEXT)")

        def insert(write: Write) -> int:
            with turn:
                connection.execute("INSERT INTO said (feature, words) VALUES (?, ?)", (write.feature, "x" * 400))
            return 0

        yield insert


@contextmanager
def _listening(port: int, seen: dict[int, float]) -> Iterator[None]:
    """As many open event streams as there are writers. `seen` says when the first of them was told of an event."""
    sockets = [_stream(port) for _ in range(WRITERS)]
    stop = threading.Event()

    def listen() -> None:
        rest = b""
        with selectors.DefaultSelector() as ready:
            for each in sockets:
                ready.register(each, selectors.EVENT_READ)
            while not stop.is_set():
                for key, _ in ready.select(0.1):
                    data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    now = time.perf_counter()
                    if not data:
                        raise RuntimeError("an event stream has ended")
                    if key.fileobj is sockets[0]:
                        *lines, rest = (rest + data).split(b"\n")
                        for line in lines:
                            if line.startswith(b"id: "):
                                seen.setdefault(int(line[4:]), now)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for each in sockets:
            each.close()


def _stream(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.sendall(f"GET /api/live?tab={uuid.uuid4()} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    data = b""
    while b"event: hello" not in data:
        part = connection.recv(1 << 16)
        data += part
        if not part or not data.startswith(b"HTTP/1.1 200"[: len(data)]):
            raise RuntimeError(f"an event stream was refused: {data[:300]!r}")
    return connection


def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
