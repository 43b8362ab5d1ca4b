"""A server of MFN Studio in a process of its own, and a client that measures it. For benchmarks through HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, NamedTuple

STARTS_WITHIN = 600.0
TIMEOUT = 120.0


class Client:
    """One connection that stays open, as a browser's does. Close it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def get(self, path: str) -> bytes:
        """The body of an answer, compressed if the server likes. Raises RuntimeError unless it is a 200."""
        return self._ask("GET", path, {"Accept-Encoding": "gzip"})

    def json(self, path: str) -> Any:
        """An answer as data. Raises RuntimeError unless it is a 200."""
        return json.loads(self._ask("GET", path, {"Accept-Encoding": "identity"}))

    def post(self, path: str, body: Any) -> bytes:
        """The body of the answer to some JSON, not compressed. Raises RuntimeError unless it is a 200."""
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        return self._ask("POST", path, headers, json.dumps(body))

    def wait_ready(self, index: bool = True) -> None:
        """Until the model is loaded and, with `index`, can be browsed and nothing is computed beside it any longer.

        Raises RuntimeError where the index cannot be made, or all that takes too long.
        """
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            with suppress(OSError, http.client.HTTPException):
                health = self.json("/api/health")
                state, message = health["index"]["state"], health["index"]["message"]
                if health["model_loaded"] and not health["busy"] and (state == "ready" or not index):
                    return
                if state == "error":
                    raise RuntimeError(f"the server has no index: {message}")
            self._connection.close()
            time.sleep(0.1)
        raise RuntimeError(f"the server was not ready within {STARTS_WITHIN:.0f} s")

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: str | None = None) -> bytes:
        self._connection.request(method, path, body, dict(headers))
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path} was answered with {response.status}: {data[:300]!r}")
        return data


class Server(NamedTuple):
    """A server that is ready: where it listens on this machine, its process, and a client of it."""

    port: int
    pid: int
    client: Client


@contextmanager
def serving(*arguments: str, index: bool = True, **environment: str) -> Iterator[Server]:
    """`mfn` with these arguments, on a free port, once its model is loaded, with `index` its index there, and nothing
    computed in the background.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    command = [sys.executable, "-m", "mfn_server.cli", *arguments, "--port", "0", "--no-browser"]
    env = {**os.environ, **environment, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[\w.]+:(\d+)", process.stdout.readline())
            if found is None:
                raise RuntimeError("the server ended before it said where it is")
            with closing(Client(int(found.group(1)))) as client:
                client.wait_ready(index)
                yield Server(int(found.group(1)), process.pid, client)
        finally:
            process.terminate()
