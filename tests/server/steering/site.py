"""A running server and its client, with an engine that can be paced."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from mfn_server.app import create_app
from mfn_server.operating.meters import Meters
from mfn_server.served_model import plan_of
from mfn_server.settings import Settings
from mfn_server.steering.service import GenerationService, Limits
from mfn_server.studio import Studio
from tests.server.steering import paced

PATIENCE = 120.0


class Site:
    """A running server and its client."""

    def __init__(self, app: FastAPI, client: httpx.Client) -> None:
        self.app = app
        self.studio: Studio = app.state.studio
        self.client = client
        self.use()

    def job(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a function says in the worker."""
        running = asyncio.run_coroutine_threadsafe(self.studio.worker.run(fn, *args, **kwargs), self.studio.worker.loop)
        return running.result(PATIENCE)

    def use(self, rows: int = 2, lag: int = 1024, **limits: Any) -> None:
        """A fresh service, which uses so many rows, and an engine that runs freely until it is told to be paced."""
        worker = self.studio.worker
        closing = self.studio.generation.close()  # else what it keeps for readers outlives its test
        asyncio.run_coroutine_threadsafe(closing, worker.loop).result(PATIENCE)
        assert worker._ready is not None
        worker._ready = replace(worker._ready, engine=replace(worker.engine, rows=rows))
        self.studio.meters = Meters()
        self.studio.generation = GenerationService(self.studio.worker, self.studio.meters, Limits(unread=lag, **limits))
        self.job(paced.tell, paced=False, allowed=0, break_at=-1, steps=0)

    def pace(self) -> None:
        self.job(paced.tell, paced=True, allowed=0)

    def free(self) -> None:
        self.job(paced.tell, paced=False)

    def allow(self, steps: int = 1) -> None:
        self.job(paced.allow, steps)

    @property
    def busy(self) -> bool:
        return bool(self.job(paced.look)["busy"])

    @property
    def steps(self) -> int:
        return int(self.job(paced.look)["steps"])

    @property
    def sources(self) -> list[str]:
        return [source["key"] for source in self.client.get("/api/model").json()["sources"]]

    def clamp(self, value: float = 9.0) -> dict[str, Any]:
        return {"source": self.sources[1], "index": 7, "mode": "set", "value": value}

    @contextmanager
    def open(self, user: str = "", **body: Any) -> Iterator[Iterator[tuple[str, dict]]]:
        """Events of a text. A `user` is an address, as a proxy would pass it on."""
        headers = {"X-Forwarded-For": user} if user else {}
        asked = {"prompt": "The ship", **body}
        with self.client.stream("POST", "/api/generate", json=asked, headers=headers) as response:
            assert response.status_code == 200, response.read()
            yield events_of(response)

    def read(self, **body: Any) -> list[tuple[str, dict]]:
        with self.open(**body) as events:
            return list(events)


@contextmanager
def running_site(settings: Settings) -> Iterator[Site]:
    """A server of its own, on a free port, until the end."""
    assert settings.model is not None
    app = create_app(settings, replace(plan_of(settings.model), make_engine=paced.PacedEngine))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            wait_until(lambda: client.get("/api/model").status_code == 200)
            yield Site(app, client)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


def events_of(response: httpx.Response) -> Iterator[tuple[str, dict]]:
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def tokens(events: list[tuple[str, dict]], name: str) -> list[dict]:
    """A stream's tokens, each with what was said of it."""
    found = [
        {**data, "kl": None, "plain_logprob": None, "shifts": [], "fired": [], "watched": []}
        for event, data in events
        if event == "token" and data["stream"] == name
    ]
    for event, data in events:
        if event == "features" and data["stream"] == name:
            found[data["step"]] |= {"fired": data["fired"], "watched": data["watched"]}
        if event == "effect" and name == "steered":
            found[data["step"]] |= {key: data[key] for key in ("kl", "plain_logprob", "shifts")}
    return found
