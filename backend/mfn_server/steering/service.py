"""Many web requests, one engine.

One task drives the engine: as long as there is work it submits a step to the model's thread, waits for it, and hands
the events to the requests they belong to. Requests only ever look at their own queue, so a slow or vanished reader
holds nobody up; what it leaves unread is bounded by the length of a text. Inspections take their turn between steps.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from mfn_core.generation import Ended, Engine, Event, Failed, GenerationRequest, SlotEngine
from mfn_core.generation.engine import UnknownRequestError
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_server.errors import APIError
from mfn_server.model_worker import ModelWorker

logger = logging.getLogger(__name__)

ROWS = 16  # texts that are written at the same time
MOST_WAITING = 8
REMEMBERED = 256  # requests that ended; a change that crosses the end of its text on the way is no error
RETRY_AFTER_SECONDS = 3

Command = Callable[[Engine], None]


def standard_engine(model: MFNModel) -> Engine:
    """The engine of a server."""
    return SlotEngine(model, rows=ROWS)


class GenerationService:
    """Lets requests in, drives the engine, and forgets a request as soon as nobody reads it.

    Everything here runs on the event loop; the engine is touched in the model's thread alone.
    """

    def __init__(
        self,
        worker: ModelWorker,
        make_engine: Callable[[MFNModel], Engine] = standard_engine,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._worker = worker
        self._make_engine = make_engine
        self._most_waiting = most_waiting
        self._engine: Engine | None = None
        self._admitted = 0
        self._commands: list[Command] = []  # for the engine, before its next step
        self._readers: dict[str, asyncio.Queue[list[Event]]] = {}
        self._ended: deque[str] = deque(maxlen=REMEMBERED)
        self._driver: asyncio.Task[None] | None = None

    @property
    def admitted(self) -> int:
        """How many requests are being written or wait."""
        return self._admitted

    async def engine(self) -> Engine:
        """The engine, made when it is first needed. Call nothing on it but `check` and its constants."""
        if self._engine is None:
            self._engine = await self._worker.run(self._make_once)
        return self._engine

    @contextmanager
    def place(self) -> Iterator[None]:
        """Holds a place for one request, in writing or in waiting.

        Raises:
            APIError: 429, all are taken.
        """
        capacity = 1 if self._engine is None else self._engine.capacity
        if self._admitted >= capacity + self._most_waiting:
            raise APIError(
                429,
                "busy",
                f"the model is writing, and {self._most_waiting} other requests wait already",
                hint="try again in a few seconds",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Event]:
        """The events of one request. Closing or cancelling the iterator drops the request before the next step."""
        await self.engine()
        queue: asyncio.Queue[list[Event]] = asyncio.Queue()
        self._readers[request.id] = queue
        self._tell(lambda engine: engine.submit(request))
        ended = False
        try:
            while not ended:
                for event in await queue.get():
                    ended = isinstance(event, Ended | Failed)
                    yield event
        finally:
            if ended:
                self._readers.pop(request.id, None)
            self._ended.append(request.id)
            self.drop(request.id)

    def drop(self, request_id: str) -> None:
        """Stops a request before its next step. One that has ended, or was never begun, is no error."""
        if self._readers.pop(request_id, None) is not None:
            self._tell(lambda engine: engine.cancel(request_id))

    async def update(self, request_id: str, interventions: Sequence[Intervention]) -> None:
        """Changes a request's interventions from its next token on. One that has just ended has no next token.

        Raises:
            APIError: 404, it is not known, or ended long ago.
            InterventionError: an intervention names what is not there.
        """
        if request_id not in self._readers or self._engine is None:
            if request_id in self._ended:
                return
            raise _no_such_request()
        engine = self._engine

        def change(model: MFNModel) -> None:
            with suppress(UnknownRequestError):  # its last events are still on their way to the reader
                engine.update(request_id, interventions)

        await self._worker.run(change)

    async def close(self) -> None:
        """Ends the driver and every stream."""
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.gather(self._driver, return_exceptions=True)
        self._fail_all("the server is stopping")

    def _make_once(self, model: MFNModel) -> Engine:
        return self._engine or self._make_engine(model)

    def _tell(self, command: Command) -> None:
        self._commands.append(command)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive(), name="generation")

    async def _drive(self) -> None:
        """Steps until there is nothing to do. No await lies between finding that out and the end of the task."""
        try:
            busy = False
            while busy or self._commands:
                commands, self._commands = self._commands, []
                events, busy = await self._worker.run(self._turn, commands)
                self._hand_out(events)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("generation broke off")
            self._engine = None  # the next request gets a new one
            self._commands.clear()
            self._fail_all("the model stopped while it was writing; the server's log says why")

    def _turn(self, model: MFNModel, commands: Sequence[Command]) -> tuple[list[Event], bool]:
        """One step, in the model's thread."""
        engine = self._engine
        assert engine is not None, "made before anything is submitted"
        for command in commands:
            command(engine)
        return engine.step(), engine.busy

    def _hand_out(self, events: Sequence[Event]) -> None:
        shares: dict[str, list[Event]] = {}
        for event in events:
            shares.setdefault(event.request, []).append(event)
        for request_id, share in shares.items():
            if request_id in self._readers:
                self._readers[request_id].put_nowait(share)

    def _fail_all(self, message: str) -> None:
        for request_id, queue in self._readers.items():
            queue.put_nowait([Failed(request_id, message)])


def _no_such_request() -> APIError:
    return APIError(404, "unknown_request", "there is no such generation, or it has ended")
