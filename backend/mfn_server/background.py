"""An `mfn` command in a process of its own, of low priority: neither the model nor the web server waits for it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

LOW_PRIORITY = 10
"""Of work in the background, as `nice` counts: whoever reads or writes texts meanwhile goes first."""


class BackgroundCommand:
    """One command at a time. How far it is travels through the database, as that of anyone else's."""

    def __init__(self, ended: Callable[[int, str], Awaitable[None]]) -> None:
        """`ended` is awaited with the exit status of a command and the last line of its errors."""
        self._ended = ended
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: asyncio.Task[None] | None = None

    @property
    def working(self) -> bool:
        """Whether a process is at it."""
        return self._process is not None and self._process.returncode is None

    async def start(self, *arguments: str, env: Mapping[str, str]) -> None:
        """Begin `mfn` with these arguments.

        `env` is added to the environment: what nobody else is to see (a database's URL may hold a password) goes there
        and not on the command line.
        """
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mfn_server.cli", *arguments),
            env={**os.environ, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        with suppress(OSError, AttributeError):  # it has ended already; or this system knows no priorities
            os.setpriority(os.PRIO_PROCESS, self._process.pid, LOW_PRIORITY)
        self._waiting = asyncio.create_task(self._wait(self._process))

    async def stop(self) -> None:
        """End the process, if it is still at it."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
        if self._waiting is not None:
            await self._waiting

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        _, errors = await process.communicate()
        assert process.returncode is not None
        lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
        last = (lines or [f"it ended with code {process.returncode}"])[-1].removeprefix("Error: ")
        await self._ended(process.returncode, last)
