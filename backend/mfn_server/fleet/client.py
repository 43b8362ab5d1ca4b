"""The web process's side of a fleet: what `ModelWorker` is for one process, for replicas of Ray Serve."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from mfn_server.fleet.deploy import APP, DEPLOYMENT, FleetOptions, deploy
from mfn_server.fleet.replica import Opened, Place
from mfn_server.worker.errors import ModelNotReadyError, WorkerBusyError, WorkerLostError
from mfn_server.worker.messages import Begin, Cancel, EngineFacts, Plan, Turn, Update
from mfn_server.worker.standing import PATIENCE, Standing

if TYPE_CHECKING:
    from mfn_core.generation.request import GenerationRequest
    from mfn_core.interventions import Intervention
    from mfn_core.model import MFNModel
    from mfn_core.slices import Slices

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_SECONDS = 1.0
RESTART_SECONDS = 2.0
"""After which a lost replica may be there again; longer for a large model."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Text:
    """A text, and the replica that has it."""

    line: Any
    where: Place
    reading: asyncio.Task[None]


class FleetWorker(Standing):
    """Has the methods and attributes of `ModelWorker`, and means the same by them; what is different is said here.

    A replica that dies takes its own texts with it, of which `on_lost` is told, and no others. Ray Serve starts
    another. It is `down` while there is none.

    Attributes:
        restarts: how often the number of replicas fell.
        replicas: how many there are.
    """

    def __init__(self, plan: Plan, options: FleetOptions) -> None:
        """Begins to deploy them.

        Args:
            plan: what each does.
            options: where they run, and how many.
        """
        super().__init__()
        self.replicas = 0
        self._plan, self._options = plan, options
        self._numbers = itertools.count()
        self._texts: dict[str, _Text] = {}
        self._jobs = 0
        self._model = ""
        self._handle: Any = None
        self._end: Callable[[], None] | None = None
        self._sent: set[asyncio.Task[None]] = set()
        self._running = asyncio.create_task(self._keep_watch(), name="fleet")

    @property
    def pid(self) -> None:
        """There is no one process."""
        return

    @property
    def engine(self) -> EngineFacts:
        """Of all replicas together; bytes and context are those of a row."""
        one = self._known().engine
        return replace(one, rows=one.rows * self.replicas, slots=one.slots * self.replicas)

    async def run(self, fn: Callable[Concatenate[MFNModel, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `ModelWorker`. One of the replicas does it."""
        await self._admit()
        self._jobs += 1
        call = self._handle.job.remote(fn, args, kwargs)
        try:
            value: T = await _outcome(call)
            return value
        except asyncio.CancelledError:  # nobody waits for it any more: the replica would not know
            call.cancel()
            raise
        finally:
            self._jobs -= 1

    async def run_in_slices(
        self, fn: Callable[Concatenate[MFNModel, P], Slices[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See `ModelWorker`. One of the replicas does it."""
        value: Any = await self.run(fn, *args, **kwargs)
        return cast(T, value)

    async def prepare(self, request: str, fn: Callable[..., tuple[GenerationRequest, T]], *args: Any) -> T:
        """See `ModelWorker`. From here on the text belongs to one replica."""
        await self._admit()
        calls = self._handle.options(stream=True).text.remote(request, fn, args)
        self._jobs += 1
        try:
            opened: Opened = await _outcome(anext(aiter(calls)))
        except BaseException:
            calls.cancel()
            raise
        finally:
            self._jobs -= 1
        if opened.model != self._model:
            calls.cancel()
            raise WorkerLostError("a replica has another model than when the server was started", 60.0)
        reading = asyncio.create_task(self._read(request, calls))
        self._texts[request] = _Text(opened.line, opened.where, reading)
        value: T = opened.said
        return value

    def place_of(self, request: str) -> Place | None:
        """Where a text is written; None where it is not known, or has ended."""
        text = self._texts.get(request)
        return text.where if text else None

    def begin(self, request: str) -> None:
        """See `ModelWorker`."""
        if (text := self._texts.get(request)) is not None:
            self._send(text.line.send.remote(Begin(request)))

    async def update(self, request: str, fn: Callable[..., Sequence[Intervention]], *args: Any) -> None:
        """See `ModelWorker`. It goes to the replica that writes the text."""
        if (text := self._texts.get(request)) is not None:
            await _outcome(text.line.ask.remote(Update(next(self._numbers), fn, args, request=request)))

    def cancel(self, request: str) -> None:
        """See `ModelWorker`."""
        if (text := self._texts.pop(request, None)) is not None:
            self._send(text.line.send.remote(Cancel(request)))

    async def close(self) -> None:
        """End all replicas; what waits for an answer fails."""
        self._enter("closed")
        self._running.cancel()
        reading = [text.reading for text in self._texts.values()]
        for task in reading:
            task.cancel()
        await asyncio.gather(self._running, *reading, *self._sent, return_exceptions=True)
        self.on_lost(None)
        if self._end is not None:
            await asyncio.to_thread(self._end)

    async def _admit(self) -> None:
        await self.wait_loaded(PATIENCE)
        if self._jobs >= self.most_waiting:
            raise WorkerBusyError(f"{self.most_waiting} pieces of work wait for the model already", 1.0)

    def _send(self, ref: Any) -> None:
        async def sent() -> None:
            with suppress(Exception):  # the replica is gone: whoever reads the text is told
                await ref

        task = asyncio.ensure_future(sent())
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)

    async def _read(self, request: str, calls: Any) -> None:
        """Hands out what a replica says of a text."""
        try:
            async for turn in calls:
                if request in self._texts:
                    self.on_turn(turn)
        except Exception as error:  # whatever Ray raises where a replica has died, or is cut off
            logger.warning("a text was lost with its replica: %s", _brief(error))
            if self._texts.pop(request, None) is not None:
                self.on_lost([request])
        finally:
            self._texts.pop(request, None)

    async def _keep_watch(self) -> None:
        """Deploys, and looks how many replicas there are."""
        try:
            self._handle, self._end = await asyncio.to_thread(deploy, self._plan, self._options)
            self._ready, self._model = await _outcome(self._handle.about.remote())
        except Exception as error:
            self._error = error
            self._enter("failed")
            return
        while True:
            self._count(await asyncio.to_thread(_replicas))
            await asyncio.sleep(_LOOK_SECONDS)

    def _count(self, replicas: int) -> None:
        if replicas < self.replicas:
            self.restarts += 1
        before, self.replicas = self.replicas, replicas
        if (replicas > 0) != self.loaded:
            self._enter("ready" if replicas else "down")
        if replicas > before:
            self.on_turn(Turn([], 0.0))  # there is more room

    def _unready(self) -> ModelNotReadyError:
        match self._state:
            case "failed":
                error = ModelNotReadyError(f"the model could not be deployed: {_brief(self._error)}", 60.0)
                error.__cause__ = self._error
                return error
            case "down":
                return WorkerLostError("all replicas are gone and are started again", 2.0)
            case "closed":
                return WorkerLostError("the server is stopping")
            case _:
                return ModelNotReadyError("the model is still loading")


def _replicas() -> int:
    """How many take calls."""
    serve: Any = importlib.import_module("ray.serve")
    application = serve.status().applications.get(APP)
    deployment = application and application.deployments.get(DEPLOYMENT)
    return int(deployment.replica_states.get("RUNNING", 0)) if deployment else 0


async def _outcome(call: Any) -> Any:
    """What a call gave.

    Raises:
        WorkerLostError: the replica is gone.
        Exception: what it raised.
    """
    import ray

    try:
        return await call
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        raise WorkerLostError(f"a replica was lost: {_brief(error)}", RESTART_SECONDS) from error


def _brief(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:200]
