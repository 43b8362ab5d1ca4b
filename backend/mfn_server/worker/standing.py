"""How a worker stands, as the web process knows it: the part that one process and a fleet of replicas share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Literal

from mfn_server.worker.errors import ModelNotReadyError
from mfn_server.worker.messages import EngineFacts, Ready, Turn

WorkerState = Literal["loading", "ready", "down", "failed", "closed"]
"""`down`: it died, and is started again when its pause is over. `failed`: it never came up, and is not tried again."""

MOST_WAITING = 256
PATIENCE = 20.0
"""How long work waits for a model that is still loading, in seconds, before it is told to come again."""


class Standing(ABC):
    """A worker's state, what is known of its model, and who is told of what happens.

    Make it where an event loop runs.

    Attributes:
        loop: the event loop that it belongs to.
        most_waiting: how many jobs may wait for their answers.
        restarts: how often it, or a part of it, was started again.
        on_turn: told what came of each step of the engine.
        on_lost: called when requests that it knew are gone. Told which; None: all.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.most_waiting = MOST_WAITING
        self.restarts = 0
        self.on_turn: Callable[[Turn], None] = lambda turn: None
        self.on_lost: Callable[[Collection[str] | None], None] = lambda requests: None
        self._state: WorkerState = "loading"
        self._changed = asyncio.Event()  # another one for each state
        self._error: BaseException | None = None
        self._ready: Ready | None = None

    @property
    def state(self) -> WorkerState:
        """How it is."""
        return self._state

    @property
    def loaded(self) -> bool:
        """True while the model can be used."""
        return self._state == "ready"

    @property
    def error(self) -> BaseException | None:
        """Why the model could not be loaded; None while that goes on and when it went well."""
        return self._error

    @property
    def engine(self) -> EngineFacts:
        """What is known of the engine. Raises ModelNotReadyError before the model was loaded for the first time."""
        return self._known().engine

    @property
    def facts(self) -> Any:
        """What `Plan.describe` said of the model. Raises ModelNotReadyError as `engine` does."""
        return self._known().facts

    async def wait_loaded(self, timeout: float | None = None) -> None:
        """Return as soon as the model can be used. Waits while it loads, not while it is down.

        Raises ModelNotReadyError after `timeout` seconds, or when it could not be loaded or is down.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._state == "loading":
                    await self._changed.wait()
        if self._state != "ready":
            raise self._unready()

    def _known(self) -> Ready:
        if self._ready is None:
            raise self._unready()
        return self._ready

    def _enter(self, state: WorkerState) -> None:
        if self._state != "closed":
            self._state = state
            self._changed.set()
            self._changed = asyncio.Event()

    @abstractmethod
    def _unready(self) -> ModelNotReadyError:
        """Why the model cannot be used as it stands."""
