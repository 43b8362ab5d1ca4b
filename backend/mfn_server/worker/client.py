"""The web process's side of the worker: sends it work, hands out what comes back, starts it again when it died."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from mfn_server.threads import to_the_end
from mfn_server.worker.errors import ModelNotReadyError, RemoteError, WorkerBusyError, WorkerLostError
from mfn_server.worker.launch import WorkerProcess
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
    Stop,
    Turn,
    Update,
)
from mfn_server.worker.standing import PATIENCE, Standing

if TYPE_CHECKING:
    from mfn_core.generation.request import GenerationRequest
    from mfn_core.interventions import Intervention
    from mfn_core.model import MFNModel
    from mfn_core.slices import Slices

P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before a restart; doubled each time
LONG_ENOUGH = 60.0  # seconds of work after which a death counts as the first one again

logger = logging.getLogger(__name__)


class ModelWorker(Standing):
    """Runs functions on a model that lives in another process, one at a time, and writes texts there.

    Make it where an event loop runs; all methods belong to that loop. Functions given to it run in the worker: they
    must be module-level ones, and they, their arguments and what they return are pickled. Modules of such functions
    import torch inside them, since the web process imports these modules, too.

    Attributes:
        first_pause: seconds before it is started again after its first death.
    """

    def __init__(self, plan: Plan, first_pause: float = FIRST_PAUSE) -> None:
        """Starts the process at once.

        Args:
            plan: what it loads.
            first_pause: seconds before it is started again after its first death.
        """
        super().__init__()
        self._plan = plan
        self.first_pause = first_pause
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._deaths = 0  # in a row
        self._up_since = 0.0
        self._again_at = 0.0
        self._process: WorkerProcess | None = None
        self._running = asyncio.create_task(self._keep_running(), name="worker")

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._process.pid if self._process is not None else None

    async def run(self, fn: Callable[Concatenate[MFNModel, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(model, *args, **kwargs)` in the worker and return its result or raise its exception.

        Cancelled while it waits for its turn, the job is dropped; a job that has begun runs to its end, so keep each
        one short (one forward pass, say): texts that are being written wait for it. What takes longer is for
        `run_in_slices`.

        Raises:
            ModelNotReadyError: the model is not there yet. WorkerLostError: the process died over it. WorkerBusyError:
                too much waits already.
        """
        value: T = await self._ask(lambda number: Job(number, fn, args, kwargs))
        return value

    async def run_in_slices(
        self, fn: Callable[Concatenate[MFNModel, P], Slices[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a generator function `fn(model, *args, **kwargs)` and return what it gives in the end. Texts and other
        jobs wait no longer than for what it does up to its next pause. Cancelled, it is dropped at the next one.

        Raises as `run` does.
        """
        value: T = await self._ask(lambda number: Job(number, fn, args, kwargs))
        return value

    async def prepare(self, request: str, fn: Callable[..., tuple[GenerationRequest, T]], *args: Any) -> T:
        """Have `fn(model, engine, *args)` make a request in the worker, which checks it and keeps it until `begin`.

        Args:
            request: the id that it must have.
            fn: makes it, and says something of it that can be pickled.
            args: of `fn`.

        Raises:
            MFNError, or whatever else `fn` raises: it is refused, and not kept.
            ModelNotReadyError: as `run`.
        """
        try:
            value: T = await self._ask(lambda number: Prepare(number, fn, args, request=request))
            if self._state != "ready":  # it died right after it had answered
                raise self._unready()
        except asyncio.CancelledError:
            self.cancel(request)
            raise
        return value

    def begin(self, request: str) -> None:
        """Hand a prepared request to the engine. What it says comes to `on_turn`."""
        self._send(Begin(request))

    async def update(self, request: str, fn: Callable[..., Sequence[Intervention]], *args: Any) -> None:
        """Give a request the interventions that `fn(model, engine, *args)` makes, from its next token on.

        Raises as `prepare` does; the old interventions then stay. A request that has just ended is no error.
        """
        await self._ask(lambda number: Update(number, fn, args, request=request))

    def cancel(self, request: str) -> None:
        """Forget a request before the next step; nothing more is said of it. One that is not known is no error."""
        self._send(Cancel(request))

    async def close(self) -> None:
        """End the process; what waits for an answer fails."""
        self._enter("closed")
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        if self._process is not None:
            await asyncio.to_thread(self._process.end)
        self._lose(WorkerLostError("the server is stopping"))

    async def _ask(self, command: Callable[[int], Command]) -> Any:
        await self.wait_loaded(PATIENCE)
        if len(self._waiting) >= self.most_waiting:
            raise WorkerBusyError(f"{self.most_waiting} pieces of work wait for the model already", 1.0)
        number = next(self._numbers)
        future: asyncio.Future[Any] = self.loop.create_future()
        self._waiting[number] = future
        try:
            self._send(command(number))
            return await future
        except asyncio.CancelledError:
            self._send(Drop(number))
            raise
        finally:
            self._waiting.pop(number, None)

    def _send(self, command: Command) -> None:
        if self._process is not None and self._state == "ready":
            self._process.send(command)

    async def _keep_running(self) -> None:
        """Starts the process, and again each time it has died."""
        while True:
            code = await self._one_life()
            if self._state == "failed":
                return
            first = self._ready is None
            how = f"signal {-code}" if code is not None and code < 0 else f"code {code}"
            if first:
                self._fail(RuntimeError(f"its process ended with {how} while it was loading"))
                return
            lived = time.monotonic() - self._up_since
            self._deaths = 1 if self._state == "ready" and lived > LONG_ENOUGH else self._deaths + 1
            pause = min(self.first_pause * 2 ** (self._deaths - 1), LONGEST_PAUSE)
            logger.error("the model's process ended with %s; it is started again in %.1f s", how, pause)
            self._again_at = time.monotonic() + pause
            self._enter("down")
            self._lose(WorkerLostError("the model's process died and is started again", pause))
            await asyncio.sleep(pause)
            self.restarts += 1
            self._enter("loading")

    async def _one_life(self) -> int | None:
        """Start the process and wait for its end. Its exit code; None where it could not be started."""
        gone: asyncio.Future[int | None] = self.loop.create_future()

        def on_loop(fn: Callable[..., object], *args: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody is there to be told
                self.loop.call_soon_threadsafe(fn, *args)

        def end(code: int | None) -> None:
            if not gone.done():
                gone.set_result(code)

        process = WorkerProcess(self._plan, lambda report: on_loop(self._take, report), lambda code: on_loop(end, code))
        self._process = process
        try:
            await to_the_end(process.start)
            code = await gone
        except OSError:
            logger.exception("the model's process could not be started")
            code = None
        self._process = None
        return code

    def _take(self, report: Report) -> None:
        match report:
            case Turn():
                if self._state == "ready":
                    self.on_turn(report)
            case Answer(number=number):
                future = self._waiting.get(number)
                if future is not None and not future.done():
                    if report.error is None:
                        future.set_result(report.value)
                    else:
                        future.set_exception(_with_cause(report.error, report.traceback))
            case Ready():
                self._be_ready(report)
            case NotLoaded():
                self._not_loaded(report)

    def _be_ready(self, ready: Ready) -> None:
        if self._state != "loading":
            return
        if self._ready is not None and self._ready.facts != ready.facts:
            # Names, sizes and token texts that the web process goes by would be another model's.
            self._fail(RuntimeError("the model's folder holds another model than when the server was started"))
            if self._process is not None:
                self._process.send(Stop())
            return
        self._ready, self._up_since = ready, time.monotonic()
        self._enter("ready")

    def _not_loaded(self, report: NotLoaded) -> None:
        error = _with_cause(report.error, report.traceback)
        if self._ready is None:
            self._fail(error)
        else:  # it could be loaded before: a disk that is away for a while, say. Its end is followed by another try.
            logger.error("the model could not be loaded again: %s", error)

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self._enter("failed")
        self._lose(self._unready())

    def _lose(self, error: ModelNotReadyError) -> None:
        """Tell everyone who waits that nothing will come."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)
        self.on_lost(None)

    def _unready(self) -> ModelNotReadyError:
        match self._state:
            case "failed":
                error = ModelNotReadyError(f"the model could not be loaded: {self._error}", 60.0)
                error.__cause__ = self._error
                return error
            case "down":
                wait = max(0.0, self._again_at - time.monotonic())
                return WorkerLostError("the model's process died and is started again", wait)
            case "closed":
                return WorkerLostError("the server is stopping")
            case _:
                return ModelNotReadyError("the model is still loading")


def _with_cause(error: BaseException, traceback: str) -> BaseException:
    error.__cause__ = RemoteError(traceback)
    return error
