"""What happens in the worker: one thread that owns the model, does jobs and lets the engine step.

Jobs take turns with steps, so an inspection waits for one step and not for a whole text, and a text for one job and not
for all that wait. A long job is a generator: a turn takes it to where it pauses next, and then it goes behind the jobs
that wait. Beginning, changing and cancelling go before either: a client that left costs one step at most.
"""

from __future__ import annotations

import logging
import pickle
import queue
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mfn_core.errors import MFNError
from mfn_server.worker.messages import (
    Answer,
    Begin,
    Cancel,
    Command,
    Drop,
    EngineFacts,
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

if TYPE_CHECKING:
    from mfn_core.generation.engine import Engine
    from mfn_core.generation.request import GenerationRequest
    from mfn_core.model import MFNModel

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Work:
    """A job that waits for its turn; `slices` where it has begun and pauses."""

    job: Job
    slices: Generator[None, None, Any] | None = None


class ModelHost:
    """Owns a model. `receive` may be called from any thread, everything else belongs to the one that calls `run`.

    Args:
        plan: what to load.
        send: takes what is reported. It must not raise.
    """

    def __init__(self, plan: Plan, send: Callable[[Report], None]) -> None:
        self._plan = plan
        self._send = send
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._jobs: deque[_Work] = deque()
        self._prepared: dict[str, GenerationRequest] = {}
        self._stopped = False

    def receive(self, command: Command) -> None:
        """Take a command."""
        self._inbox.put(command)

    def run(self) -> None:
        """Load the model and work until told to stop."""
        try:
            self._model: MFNModel = self._plan.load()
            self._engine: Engine = self._plan.make_engine(self._model)
            engine = EngineFacts(
                self._engine.load.rows, self._engine.row_bytes, self._engine.context, self._engine.slots
            )
            ready = Ready(self._plan.describe(self._model), engine)
        except Exception as error:
            self._send(NotLoaded(portable(error), traceback.format_exc()))
            return
        self._send(ready)
        while True:
            self._take_commands()
            if self._stopped:
                return
            if self._jobs:
                self._go_on(self._jobs.popleft())
            if self._engine.busy:
                self._step()

    def _take_commands(self) -> None:
        """Everything that has come; waits for something where there is nothing to do."""
        wait = not self._jobs and not self._engine.busy
        while True:
            try:
                command = self._inbox.get(block=wait)
            except queue.Empty:
                return
            wait = False
            match command:
                case Prepare() | Update():
                    self._answer(command)
                case Job():
                    self._jobs.append(_Work(command))
                case Drop(number):
                    self._drop(number)
                case Begin(request):
                    self._begin(request)
                case Cancel(request):
                    self._prepared.pop(request, None)
                    self._engine.cancel(request)
                case Stop():
                    self._stopped = True
                    return

    def _answer(self, job: Job) -> None:
        try:
            self._send(Answer(job.number, self._result(job)))
        except Exception as error:  # of the job, whoever wrote it: it is raised where it was asked for
            self._send(Answer(job.number, error=portable(error), traceback=traceback.format_exc()))

    def _go_on(self, work: _Work) -> None:
        """A turn of a job: all of it, or the next slice."""
        job = work.job
        try:
            if work.slices is None:
                value = self._result(job)
                if not isinstance(value, Generator):
                    self._send(Answer(job.number, value))
                    return
                work.slices = value
            next(work.slices)
        except StopIteration as end:
            self._send(Answer(job.number, end.value))
        except Exception as error:  # as above
            self._send(Answer(job.number, error=portable(error), traceback=traceback.format_exc()))
        else:
            self._jobs.append(work)

    def _drop(self, number: int) -> None:
        for work in [work for work in self._jobs if work.job.number == number]:
            self._jobs.remove(work)
            if work.slices is not None:
                work.slices.close()

    def _result(self, job: Job) -> Any:
        if isinstance(job, Prepare):
            made, said = job.fn(self._model, self._engine, *job.args, **job.kwargs)
            assert made.id == job.request, "it is begun and cancelled by this name"
            self._engine.check(made)
            self._prepared[job.request] = made
            return said
        if isinstance(job, Update):
            from mfn_core.generation.engine import UnknownRequestError

            interventions = job.fn(self._model, self._engine, *job.args, **job.kwargs)
            with suppress(UnknownRequestError):  # its last events are on their way
                self._update(job.request, interventions)
            return None
        return job.fn(self._model, *job.args, **job.kwargs)

    def _update(self, request: str, interventions: Any) -> None:
        waiting = self._prepared.get(request)
        if waiting is None:
            self._engine.update(request, interventions)
            return
        changed = replace(waiting, interventions=tuple(interventions))
        self._engine.check(changed)
        self._prepared[request] = changed

    def _begin(self, request: str) -> None:
        made = self._prepared.pop(request, None)
        from mfn_core.generation.events import Failed

        if made is None:
            self._send(Turn([Failed(request, "the request is not known where the model is")], 0.0))
            return
        try:
            self._engine.submit(made)
        except Exception as error:
            logger.exception("a request that was checked was refused")
            self._send(Turn([Failed(request, str(error))], 0.0))

    def _step(self) -> None:
        begun = time.perf_counter()
        fault, events = False, []
        try:
            events = self._engine.step()
        except Exception:
            logger.exception("writing broke off")
            fault = True
        self._send(Turn(events, time.perf_counter() - begun, fault))
        if fault:  # its cache may hold half a pass; and there may be no memory for two
            del self._engine
            self._engine = self._plan.make_engine(self._model)


def portable(error: BaseException) -> BaseException:
    """The error if it can be pickled and made again elsewhere; else a plainer one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled a moment ago
    except Exception:
        return MFNError(str(error)) if isinstance(error, MFNError) else RuntimeError(f"{type(error).__name__}: {error}")
    return error
