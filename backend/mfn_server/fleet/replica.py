"""A replica: the thread that owns a model, behind the calls of Ray Serve.

The same `ModelHost` as in a worker process of this machine. Each text is one call that streams its events, from the
moment it is checked on: so Ray Serve, which sends a call to the one of two replicas that has fewer, counts texts that
are written and texts that wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import os
import pickle
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from mfn_server.worker.host import ModelHost
from mfn_server.worker.messages import (
    Answer,
    Begin,
    Cancel,
    Command,
    Drop,
    Job,
    NotLoaded,
    Plan,
    Prepare,
    Ready,
    Report,
    Turn,
    Update,
)

if TYPE_CHECKING:
    from mfn_core.generation.request import GenerationRequest

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """A process on a machine."""

    host: str
    pid: int


@dataclass(frozen=True)
class Opened:
    """The beginning of a text: it was checked, and waits to be begun.

    Attributes:
        said: what the function that made it says of it.
        line: the replica's `Line`, an actor.
        model: tells models apart.
        where: the replica's machine and process.
    """

    said: Any
    line: Any
    model: str
    where: Place


@dataclass
class _Text:
    """A text that is open here. `rows`: of the engine, known once it was checked."""

    turns: asyncio.Queue[Turn | None]
    rows: int = 0


class Replica:
    """An ordinary class, of which Ray Serve makes replicas. `load` it before any other call."""

    async def __init__(self, plan: bytes) -> None:  # type: ignore[misc]  # Ray Serve awaits it
        """Loads the model.

        Args:
            plan: a pickled `Plan`.

        Raises:
            Exception: the model cannot be loaded.
        """
        import ray

        from mfn_server.fleet.line import Line

        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._texts: dict[str, _Text] = {}
        self._waiting: deque[str] = deque()
        self._begun: set[str] = set()
        self._updates: set[asyncio.Task[None]] = set()
        self._ready: asyncio.Future[Ready] = self._loop.create_future()
        loaded: Plan = pickle.loads(plan)  # noqa: S301 - from whoever deploys
        self._host = ModelHost(loaded, self._hear)
        self._thread = threading.Thread(target=self._host.run, name="model", daemon=True)
        self._thread.start()
        ready = await self._ready
        self._rows = ready.engine.rows
        self._model = hashlib.sha256(pickle.dumps(ready.facts)).hexdigest()
        line: Any = ray.remote(num_cpus=0)(Line)
        self._line = line.options(max_concurrency=1000).remote()
        self._listening = asyncio.create_task(self._listen())

    async def about(self) -> tuple[Ready, str]:
        """What there is, and what tells this model from another."""
        return await self._ready, self._model

    def check_health(self) -> None:
        """Asked by Ray Serve now and then; raising has the replica replaced."""
        if not self._thread.is_alive():
            raise RuntimeError("the thread that owns the model has ended")

    async def job(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """`fn(model, *args, **kwargs)`, or what it raises."""
        return await self._ask(Job(next(self._numbers), fn, args, kwargs))

    async def text(
        self, request: str, fn: Callable[..., tuple[GenerationRequest, Any]], args: tuple[Any, ...]
    ) -> AsyncIterator[Opened | Turn]:
        """A text from its check to its end, or until it is cancelled: first `Opened`, then what comes of it.

        Args:
            request: the id that it must have.
            fn, args: make the request, as `ModelWorker.prepare` has it.

        Raises:
            Exception: what `fn` raises; then it is refused.
        """
        text = self._texts[request] = _Text(asyncio.Queue())
        try:
            said = await self._ask(Prepare(next(self._numbers), fn, args, request=request))
            text.rows = len(getattr(said, "streams", "1"))
            yield Opened(said, self._line, self._model, Place(socket.gethostname(), os.getpid()))
            while (turn := await text.turns.get()) is not None:
                yield turn
                if _is_over(turn):
                    return
        finally:  # cancelled, or whoever read it is gone
            self._close(request)

    async def _ask(self, job: Job) -> Any:
        future = self._answers[job.number] = self._loop.create_future()
        self._host.receive(job)
        try:
            return await future
        except asyncio.CancelledError:  # nobody waits for it any more
            self._host.receive(Drop(job.number))
            raise
        finally:
            del self._answers[job.number]

    async def _listen(self) -> None:
        while True:
            for command in await self._line.take.remote():
                self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case Begin(request) if request in self._texts:
                self._waiting.append(request)
                self._fill()
            case Cancel(request):
                self._close(request)
            case Update():
                update = asyncio.create_task(self._update(command))
                self._updates.add(update)
                update.add_done_callback(self._updates.discard)

    async def _update(self, command: Update) -> None:
        try:
            await self._ask(replace(command, number=next(self._numbers)))
        except Exception as error:
            self._line.answer.remote(command.number, error)
        else:
            self._line.answer.remote(command.number, None)

    def _fill(self) -> None:
        """Begins what fits, in the order in which it came."""
        busy = sum(self._texts[request].rows for request in self._begun)
        while self._waiting and busy + self._texts[self._waiting[0]].rows <= self._rows:
            request = self._waiting.popleft()
            busy += self._texts[request].rows
            self._begun.add(request)
            self._host.receive(Begin(request))

    def _close(self, request: str) -> None:
        """Forgets a text, wherever it is."""
        text = self._texts.pop(request, None)
        if text is None:
            return
        text.turns.put_nowait(None)
        self._begun.discard(request)
        if request in self._waiting:
            self._waiting.remove(request)
        self._host.receive(Cancel(request))
        self._fill()

    def _hear(self, report: Report) -> None:
        """Called by the thread that owns the model."""
        self._loop.call_soon_threadsafe(self._take, report)

    def _take(self, report: Report) -> None:
        match report:
            case Ready():
                self._ready.set_result(report)
            case NotLoaded():
                self._ready.set_exception(report.error)
            case Answer(number=number):
                future = self._answers.get(number)
                if future is not None and not future.done():
                    if report.error is None:
                        future.set_result(report.value)
                    else:
                        future.set_exception(report.error)
            case Turn():
                self._hand_out(report)

    def _hand_out(self, turn: Turn) -> None:
        """To each text its events; the first of them has the time that the step took."""
        from mfn_core.generation.events import Failed

        events: dict[str, list[Any]] = {}
        for event in turn.events:
            events.setdefault(event.request, []).append(event)
        if turn.fault:
            message = "the model stopped while it was writing; the server's log says why"
            events = {request: [*events.get(request, []), Failed(request, message)] for request in self._begun}
        seconds = turn.seconds
        for request, some in events.items():
            text = self._texts.get(request)
            if text is None:
                continue
            mine = Turn(some, seconds)
            seconds = 0.0
            text.turns.put_nowait(mine)
            if _is_over(mine):
                self._begun.discard(request)
        self._fill()


def _is_over(turn: Turn) -> bool:
    from mfn_core.generation.events import Ended, Failed

    return any(isinstance(event, Ended | Failed) for event in turn.events)
