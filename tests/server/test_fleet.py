"""`mfn serve --ray`: replicas of Ray Serve, of which one is killed while it writes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mfn_core import MFNModel
from mfn_core.errors import ConfigError
from mfn_core.generation import Event
from mfn_core.generation.events import Done, Ended
from mfn_core.slices import Slices
from mfn_server.errors import APIError
from mfn_server.fleet.deploy import FleetOptions
from mfn_server.intervention_bodies import InterventionBody
from mfn_server.operating.meters import Meters
from mfn_server.served_model import make_engine, plan_of
from mfn_server.steering.schemas import GenerateBody
from mfn_server.steering.service import GenerationService
from mfn_server.steering.streams import Broken, Reader
from mfn_server.steering.translation import change_of, request_of
from tests.server.steering.site import events_of

PATIENCE = 240.0


def test_how_many_replicas() -> None:
    assert FleetOptions.of("local", "2") == FleetOptions("local", 2, 2)
    assert FleetOptions.of("local", "2-8") == FleetOptions("local", 2, 8)
    for wrong in ("", "0", "3-2", "two", "2-", "-2", "1-2-3"):
        with pytest.raises(ConfigError, match="replicas are a number"):
            FleetOptions.of("local", wrong)


class SlowEngine:
    """The engine that is served, a twentieth of a second a step."""

    def __init__(self, model: MFNModel) -> None:
        self.inner = make_engine(2, model)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def step(self) -> list[Event]:
        time.sleep(0.05)
        return self.inner.step()


def process(model: MFNModel) -> int:
    return os.getpid()


def endless(model: MFNModel, mark: Path) -> Slices[None]:
    """Says in a file that it goes on, with each slice, and that it has ended."""
    try:
        while True:
            mark.write_text(str(time.monotonic_ns()))
            time.sleep(0.01)
            yield
    finally:
        mark.write_text("ended")


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.05)


async def read(reader: Reader) -> list[Any]:
    return [event async for _, event in reader]


@pytest.mark.slow
async def test_a_replica_takes_its_own_texts_with_it_and_no_others(tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.serve", exc_type=ImportError)
    from mfn_server.fleet.client import FleetWorker

    plan = replace(plan_of(tiny_bundle), make_engine=SlowEngine)
    worker = FleetWorker(plan, FleetOptions("local", 2, 2))
    try:
        service = GenerationService(worker, Meters())
        await worker.wait_loaded(PATIENCE)
        await until(lambda: worker.replicas == 2)
        sources = worker.facts.facts.sources

        async def begin(new_tokens: int = 80) -> Reader:
            body = GenerateBody(prompt="The hospital", max_new_tokens=new_tokens, compare=False)
            return service.attend(await service.open("somebody", request_of, body, sources))

        readers = [await begin() for _ in range(4)]
        places = [worker.place_of(reader.stream.id) for reader in readers]
        assert len(set(places)) == 2, "each goes where there is least to do"
        texts = [asyncio.create_task(read(reader)) for reader in readers]

        # what concerns a text reaches its own replica
        steer = InterventionBody(source=sources[0].key, index=3, mode="set", value=2.0)
        wrong = steer.model_copy(update={"source": "elsewhere"})
        for reader in readers:
            await service.update(reader.stream.id, change_of, [steer], sources)
            with pytest.raises(APIError, match="no source 'elsewhere'"):
                await service.update(reader.stream.id, change_of, [wrong], sources)
        long = GenerateBody(prompt="The hospital " * 50, compare=False)
        with pytest.raises(APIError, match="tokens"):
            await service.open("somebody", request_of, long, sources)
        assert await worker.run(process) in {place.pid for place in places if place}

        service.cancel(readers[3].stream.id)
        assert (await texts[3])[-1] == Broken("cancelled", "the text was cancelled")

        killed = places[0]
        assert killed is not None
        os.kill(killed.pid, signal.SIGKILL)
        for place, text in zip(places[:3], texts, strict=False):
            last = (await asyncio.wait_for(text, PATIENCE))[-2:]
            if place == killed:
                assert isinstance(last[-1], Broken)
                assert last[-1].code == "worker_lost"
            else:
                assert isinstance(last[0], Done)
                assert last[0].n_tokens == 80

        after = await begin(5)
        assert worker.place_of(after.stream.id) != killed
        assert any(isinstance(event, Done) for event in await asyncio.wait_for(read(after), PATIENCE))
        await until(lambda: worker.restarts == 1 and worker.replicas == 2)
        assert worker.loaded

        # long work that nobody waits for any more ends, wherever it is done
        mark = tmp_path / "mark"
        long_work = asyncio.create_task(worker.run_in_slices(endless, mark))
        await until(mark.exists)
        long_work.cancel()
        await until(lambda: mark.read_text() == "ended")
        await service.close()
    finally:
        await worker.close()


@pytest.mark.slow
async def test_replicas_come_with_texts_and_go_without(tiny_bundle: Path) -> None:
    pytest.importorskip("ray.serve", exc_type=ImportError)
    from mfn_server.fleet.client import FleetWorker

    plan = replace(plan_of(tiny_bundle), make_engine=SlowEngine)
    worker = FleetWorker(plan, FleetOptions("local", 1, 2, target=2.0, up_after=0.0, down_after=0.0))
    try:
        service = GenerationService(worker, Meters())
        await worker.wait_loaded(PATIENCE)
        await until(lambda: worker.replicas == 1)
        sources = worker.facts.facts.sources
        enough = asyncio.Event()
        places = set()

        async def client() -> None:
            while not enough.is_set():
                body = GenerateBody(prompt="The hospital", max_new_tokens=60, compare=False)
                reader = service.attend(await service.open("somebody", request_of, body, sources))
                places.add(worker.place_of(reader.stream.id))
                assert isinstance((await read(reader))[-1], Ended)
                service.leave(reader)

        clients = [asyncio.create_task(client()) for _ in range(6)]
        await until(lambda: worker.replicas == 2)
        assert worker.engine.rows == 4
        await until(lambda: len(places) == 2)  # and the new one is given texts
        enough.set()
        await asyncio.gather(*clients)
        await until(lambda: worker.replicas == 1)
        await service.close()
    finally:
        await worker.close()


@pytest.mark.slow
def test_the_command_serves_by_replicas_and_takes_them_along(
    tiny_bundle: Path, tiny_model: MFNModel, tmp_path: Path
) -> None:
    pytest.importorskip("ray.serve", exc_type=ImportError)
    command = [sys.executable, "-c", "from mfn_server.cli import main; main()", "serve", str(tiny_bundle)]
    options = ["--db", str(tmp_path / "studio.sqlite3"), "--port", "0", "--no-browser", "--replicas", "2", "--ray"]
    environment = os.environ | {"MFN_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    log = tmp_path / "log"
    with log.open("w") as said, subprocess.Popen([*command, *options], stdout=said, stderr=said, env=environment) as it:
        try:
            wait_until(lambda: "http://" in log.read_text())
            found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
            assert found is not None
            with httpx.Client(base_url=found.group(), timeout=PATIENCE) as client:
                wait_until(lambda: client.get("/readyz").status_code == 200)
                body = {"prompt": "The hospital", "max_new_tokens": 12}
                with client.stream("POST", "/api/generate", json=body) as response:
                    texts = {data["stream"]: data["text"] for name, data in events_of(response) if name == "done"}
                assert texts == dict.fromkeys(
                    ("plain", "steered"), tiny_model.generate("The hospital", max_new_tokens=12)
                )
            children = psutil.Process(it.pid).children(recursive=True)
            assert any("Replica" in " ".join(child.cmdline()) for child in children)
            it.terminate()
            it.wait(PATIENCE)
            _, left = psutil.wait_procs(children, PATIENCE)
            assert left == []
        finally:
            it.kill()
