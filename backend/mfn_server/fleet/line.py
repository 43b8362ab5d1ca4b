"""How a command reaches one replica and no other.

Calls to a deployment go to whichever replica has least to do. What concerns a text that is being written must go where
it is written: so each replica has a line, an actor of its own that dies with it, and says with the beginning of each
text which that is.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mfn_server.worker.messages import Command, Job


class Line:
    """Commands to a replica, in order, and its answers to those that have one. An ordinary class, made an actor."""

    def __init__(self) -> None:
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._answers: dict[int, asyncio.Future[None]] = {}

    async def send(self, command: Command) -> None:
        """From the web process: a command without an answer."""
        self._commands.put_nowait(command)

    async def ask(self, command: Job) -> None:
        """From the web process: one that is answered. Returns when it is done, or raises what it raised."""
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers[command.number] = answered
        try:
            self._commands.put_nowait(command)
            await answered
        finally:
            del self._answers[command.number]

    async def take(self) -> list[Command]:
        """From the replica: what has come, at least one."""
        found = [await self._commands.get()]
        while not self._commands.empty():
            found.append(self._commands.get_nowait())
        return found

    async def answer(self, number: int, error: BaseException | None) -> None:
        """From the replica: how it went."""
        answered: Any = self._answers.get(number)
        if answered is not None and not answered.done():
            if error is None:
                answered.set_result(None)
            else:
                answered.set_exception(error)
