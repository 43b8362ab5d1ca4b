"""What is counted and timed in one app, as Prometheus reads it. Numbers alone: no prompt, no text, no address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from mfn_server.steering.service import GenerationService
    from mfn_server.worker import Worker

CONTENT_TYPE = CONTENT_TYPE_LATEST

_STEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_WAIT = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Meters:
    """The meters of one app, in a registry of their own. docs/how-to/team.md lists them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.http_requests = Counter(
            "mfn_http_requests",
            "Answers, by method, route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.http_seconds = Histogram(
            "mfn_http_request_seconds",
            "Until the head of an answer was sent.",
            ["route"],
            buckets=_WAIT,
            registry=registry,
        )
        self.texts = Counter(
            "mfn_texts", "Texts that were asked for, by what came of them.", ["outcome"], registry=registry
        )
        self.tokens = Counter("mfn_tokens", "Tokens that were written.", ["stream"], registry=registry)
        self.queue_seconds = Histogram(
            "mfn_queue_seconds", "Until a text's turn came.", buckets=_WAIT, registry=registry
        )
        self.first_token_seconds = Histogram(
            "mfn_first_token_seconds", "From a request to its first token.", buckets=_WAIT, registry=registry
        )
        self.text_seconds = Histogram(
            "mfn_text_seconds", "From a text's turn to its end.", buckets=(*_WAIT, 120, 300), registry=registry
        )
        self.step_seconds = Histogram("mfn_step_seconds", "Steps of the engine.", buckets=_STEP, registry=registry)
        self.rows = Gauge("mfn_rows", "Streams that can be written at the same time.", registry=registry)
        self.rows_busy = Gauge("mfn_rows_busy", "Streams that are being written.", registry=registry)
        self.cache_bytes = Gauge("mfn_cache_bytes", "Memory of the rows' key-value cache.", registry=registry)
        self.text_bytes = Gauge(
            "mfn_text_bytes", "Memory set aside for texts beside the cache: requests, unread events.", registry=registry
        )
        self.waiting = Gauge("mfn_texts_waiting", "Texts that wait for their turn.", registry=registry)
        self.open = Gauge("mfn_texts_open", "Texts that wait, are written, read or kept.", registry=registry)
        self.worker_ready = Gauge("mfn_worker_ready", "1 while the model can be used.", registry=registry)
        self.worker_restarts = Gauge(
            "mfn_worker_restarts", "How often its process was started again.", registry=registry
        )
        ProcessCollector(registry=registry)

    def watch(self, worker: Worker, generation: GenerationService) -> None:
        """Take from these what is known without counting."""
        self.worker_ready.set_function(lambda: float(worker.loaded))
        self.worker_restarts.set_function(lambda: float(worker.restarts))
        self.rows.set_function(lambda: float(generation.rows))
        self.rows_busy.set_function(lambda: float(generation.rows_busy))
        self.cache_bytes.set_function(lambda: float(generation.cache_bytes))
        self.text_bytes.set_function(lambda: float(generation.text_bytes))
        self.waiting.set_function(lambda: float(generation.waiting))
        self.open.set_function(lambda: float(generation.admitted))
        ProcessCollector(namespace="mfn_worker", pid=lambda: worker.pid or 0, registry=self.registry)

    def text(self) -> bytes:
        """All of it, in the text format."""
        return generate_latest(self.registry)
