"""Servers as programs, any number on one database, which can be killed and come back where they were."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

STARTS_WITHIN = 240.0


@dataclass
class Server:
    """One server: where it answers, and its process."""

    arguments: list[str]
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begins; it answers a while later."""
        command = [sys.executable, "-m", "mfn_server.cli", "serve", *self.arguments, "--port", str(self.port)]
        env = {**os.environ, "MFN_MAP": "pca", "OMP_NUM_THREADS": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)

    def kill(self) -> None:
        """At once, without a word, in the midst of whatever it does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    async def ready(self) -> None:
        """Until it serves its model."""
        end = time.monotonic() + STARTS_WITHIN
        async with httpx.AsyncClient(base_url=self.url) as client:
            while True:
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, self.log.read_text()
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)


@dataclass
class Site:
    """Some servers of one database."""

    database_url: str
    servers: list[Server] = field(default_factory=list)

    async def ready(self) -> None:
        await asyncio.gather(*(server.ready() for server in self.servers))


@contextmanager
def running(folder: Path, model: Path, database_url: str, n: int) -> Iterator[Site]:
    """`mfn serve --accounts`, so many times. They are stopped at the end."""
    site = Site(database_url)
    with _free_ports(n) as ports:
        pass
    for i, port in enumerate(ports):
        home = folder / f"home {i}"
        arguments = [str(model), "--db", database_url, "--home", str(home), "--accounts", "--no-browser"]
        site.servers.append(Server(arguments, folder / f"{i}.log", port))
    try:
        for server in site.servers:
            server.start()
        yield site
    finally:
        for server in site.servers:
            if server.process is not None:
                server.process.terminate()
        for server in site.servers:
            if server.process is not None:
                server.process.wait(60)


@contextmanager
def _free_ports(n: int) -> Iterator[list[int]]:
    probes = [socket.socket() for _ in range(n)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        yield [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
