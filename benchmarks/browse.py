"""Browsing through HTTP at 10⁴ to 10⁶ features: latencies under an open-loop load of 40 requests a second.

A server in its own process, a synthetic index (see `benchmarks.synthetic`), eight connections. Requests are due at
times drawn beforehand (a Poisson process) and wait for a free connection if they must; a latency runs from when a
request was due, so that a server that falls behind cannot hide it. The mix stands in `MIX`.
"""

from __future__ import annotations

import queue
import random
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from transformers import AutoTokenizer

from benchmarks.harness import Metric, Result, percentile
from benchmarks.serving import Client, serving
from benchmarks.synthetic.index import Vocabulary
from benchmarks.synthetic.studio import SyntheticStudio, make_studio

SIZES = (10_000, 100_000, 1_000_000)
QUICK = (2_000,)
TOKENS, QUICK_TOKENS = 4_000_000, 100_000
CONNECTIONS = 8
SECONDS, QUICK_SECONDS = 60.0, 3.0
WARM_UP = 5.0
RATE = 40.0

MIX = {
    "page": 0.30,  # everything of one feature, any of them
    "list": 0.15,  # the first page in one of the orders
    "filter": 0.20,  # a layer, a range of rates and one more filter, with ranges never asked for before
    "jump": 0.15,  # a page at a rank, in one of the orders
    "word_0.01%": 0.06,  # a word found in so many of the features
    "word_1%": 0.07,
    "word_10%": 0.07,
}
WORDS = {"word_0.01%": 1e-4, "word_1%": 1e-2, "word_10%": 0.1}
WORDS_EACH = 40
SORTS = ("telling", "rate", "max", "mean", "token_r2", "label", "index")
PAGE_P50, PAGE_P99, LIST_P99, GROWTH = 10.0, 50.0, 100.0, 2.0


@dataclass(frozen=True)
class Answered:
    """One request: its kind, and milliseconds from when it was due to its last byte."""

    kind: str
    latency: float


def run(quick: bool, features: int | None = None, keep: Path | None = None, database: str | None = None) -> Result:
    """Measure each size.

    Args:
        quick: a small index and a few seconds, to show that it runs.
        features: one size instead of 10⁴, 10⁵ and 10⁶.
        keep: a folder where synthetic indexes stay, to be used again.
        database: URL of an empty database for the index, with one size alone; else SQLite.
    """
    sizes = [features] if features else list(QUICK if quick else SIZES)
    metrics: dict[str, Metric] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for size in sizes:
            folder = (keep or Path(temporary)) / f"{size}"
            studio = make_studio(folder, size, QUICK_TOKENS if quick else TOKENS, database)
            metrics |= {f"{name}_at_{size}": metric for name, metric in _measure(studio, quick).items()}
    if len(sizes) > 1:
        for name in ("list_p99", "search_p99"):
            small, large = (metrics[f"{name}_at_{size}"].value for size in (min(sizes), max(sizes)))
            metrics[f"{name}_growth"] = Metric(large / small, "×", GROWTH)
    settings = {
        "features": sizes,
        "requests a second": RATE,
        "connections": CONNECTIONS,
        "seconds": QUICK_SECONDS if quick else SECONDS,
        "mix": MIX,
        "database": "SQLite" if database is None else database.partition(":")[0],
    }
    return Result(metrics, settings)


def _measure(studio: SyntheticStudio, quick: bool) -> dict[str, Metric]:
    _into_cache(studio.database)
    begun = time.perf_counter()
    with serving("serve", str(studio.model), MFN_DATABASE=studio.database) as (port, pid, client):
        client.json("/api/features")
        started = time.perf_counter() - begun
        requests = _Requests(client, studio, random.Random(studio.features))
        answered = _load(port, requests, QUICK_SECONDS if quick else SECONDS, WARM_UP if not quick else 1.0)
        memory = _memory(pid)
    by_kind: dict[str, list[float]] = defaultdict(list)
    for answer in answered:
        by_kind[answer.kind].append(answer.latency)
        group = "page" if answer.kind == "page" else "search" if answer.kind in WORDS else "list"
        if group != answer.kind:
            by_kind[group + "_all"].append(answer.latency)
    target = None if quick else 1.0
    metrics = {
        "page_p50": _latency(by_kind["page"], 0.5, target and PAGE_P50),
        "page_p99": _latency(by_kind["page"], 0.99, target and PAGE_P99),
        "list_p50": _latency(by_kind["list_all"] + by_kind["list"], 0.5, None),
        "list_p99": _latency(by_kind["list_all"] + by_kind["list"], 0.99, target and LIST_P99),
        "search_p50": _latency(by_kind["search_all"], 0.5, None),
        "search_p99": _latency(by_kind["search_all"], 0.99, target and LIST_P99),
    }
    metrics |= {f"{kind}_p99": _latency(by_kind[kind], 0.99, None) for kind in MIX if kind not in ("page", "list")}
    metrics["start"] = Metric(started, "s")
    if memory is not None:
        metrics["memory"] = Metric(memory, "MiB")
    return metrics


def _into_cache(database: str) -> None:
    """Reads an SQLite file once, so that it lies in the system's cache as that of a server in use does.

    From the disk, each row is a read of its own, and the disk is what is measured: at 1 ms a read, a list of 50 takes
    0.2 s.
    """
    if database.startswith("sqlite:///"):
        with open(database.removeprefix("sqlite:///"), "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def _latency(latencies: Sequence[float], share: float, target: float | None) -> Metric:
    return Metric(percentile(latencies, share), "ms", target)


class _Requests:
    """Draws requests by the mix."""

    def __init__(self, client: Client, studio: SyntheticStudio, rng: random.Random) -> None:
        self._rng = rng
        self._sources = [(source["key"], source["n_features"], source["layer"]) for source in _sources(client)]
        self._alive = client.json("/api/features?limit=1")["total"]
        tokenizer = AutoTokenizer.from_pretrained(studio.model)
        words = Vocabulary.of(tokenizer, np.random.default_rng(0)).texts
        self._words = {kind: _words_found(client, words, share * studio.features) for kind, share in WORDS.items()}

    def draw(self) -> tuple[str, str]:
        """A kind and a path."""
        rng = self._rng
        kind = rng.choices(list(MIX), list(MIX.values()))[0]
        if kind == "page":
            key, n, _ = rng.choice(self._sources)
            return kind, f"/api/features/{key}/{rng.randrange(n)}"
        if kind in WORDS:
            return kind, _list(q=rng.choice(self._words[kind]))
        if kind == "list":
            return kind, _list(sort=rng.choice(SORTS))
        if kind == "jump":
            return kind, _list(sort=rng.choice(SORTS), at=rng.randrange(self._alive))
        low = 10 ** rng.uniform(-5, -3)
        choices: list[dict[str, Any]] = [
            {"status": "labelled"},
            {"min_max": round(rng.uniform(2, 6), 4)},
            {"max_token_r2": round(rng.uniform(0.3, 0.9), 4)},
            {"origin": "human"},
        ]
        more = rng.choice(choices)
        layer = rng.choice(self._sources)[2]
        return kind, _list(layer=layer, min_rate=f"{low:.4g}", max_rate=f"{low * 30:.4g}", **more)


def _sources(client: Client) -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = client.json("/api/model")["sources"]
    return sources


def _list(**query: Any) -> str:
    return f"/api/features?{urlencode(query)}"


def _words_found(client: Client, words: Sequence[str], wanted: float) -> list[str]:
    """Words that about so many features are found by. Words come most frequent first."""
    low, high = 0, len(words) - 1
    while low < high:
        middle = (low + high) // 2
        if client.json(_list(q=words[middle], status="all", limit=1))["total"] > wanted:
            low = middle + 1
        else:
            high = middle
    begin = max(min(low - WORDS_EACH // 2, len(words) - WORDS_EACH), 0)
    return list(words[begin : begin + WORDS_EACH])


def _load(port: int, requests: _Requests, seconds: float, warm_up: float) -> list[Answered]:
    """Send what is due when it is due. Answers to what was due in the warm-up do not count."""
    due: list[tuple[float, str, str]] = []
    clock, rng = 0.0, random.Random(1)
    while clock < seconds + warm_up:
        clock += rng.expovariate(RATE)
        due.append((clock, *requests.draw()))
    waiting: queue.Queue[tuple[float, str, str] | None] = queue.Queue()
    answered: list[Answered] = []
    failures: list[BaseException] = []

    def work() -> None:
        with closing(Client(port)) as client:
            while (item := waiting.get()) is not None:
                moment, kind, path = item
                try:
                    client.get(path)
                except BaseException as error:
                    failures.append(error)
                    return
                if moment >= warm_up:
                    answered.append(Answered(kind, 1e3 * (time.perf_counter() - begun - moment)))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(CONNECTIONS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for item in due:
        time.sleep(max(item[0] - (time.perf_counter() - begun), 0.0))
        waiting.put(item)
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return answered


def _memory(pid: int) -> float | None:
    """What a process holds in memory, MiB; None where the system does not say."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return None
