"""The one owner of the model.

Every piece of work with the model runs in one thread, in the order of arrival. So the event loop never waits for a
matmul, and two requests can never meet inside one forward pass. Long work takes turns: generation submits one job per
decoding step, hence an inspection waits for one step, not for a whole text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from mfn_core.model import MFNModel

P = ParamSpec("P")
T = TypeVar("T")


class ModelNotReadyError(RuntimeError):
    """The model is still loading, or loading it failed; the message says which."""


class ModelWorker:
    """Loads a model in its own thread and runs functions on it, one at a time.

    `load` is called once, in that thread: it may take seconds, and importing torch belongs inside it too.
    """

    def __init__(self, load: Callable[[], MFNModel]) -> None:
        self._load = load
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._loading = self._thread.submit(load)

    @property
    def loaded(self) -> bool:
        """True once the model can be used."""
        return self._loading.done() and self.error is None

    @property
    def error(self) -> BaseException | None:
        """Why loading failed; None while it goes on and when it went well."""
        return self._loading.exception() if self._loading.done() and not self._loading.cancelled() else None

    @property
    def model(self) -> MFNModel:
        """The model, for facts that never change (names, sizes). Anything that computes goes through `run`.

        Raises ModelNotReadyError.
        """
        if not self._loading.done():
            raise ModelNotReadyError("the model is still loading")
        if self.error is not None:
            raise ModelNotReadyError(f"the model could not be loaded: {self.error}")
        return self._loading.result()

    async def wait_loaded(self, timeout: float | None = None) -> MFNModel:
        """Return the model as soon as it is there.

        Raises ModelNotReadyError after `timeout` seconds, or when loading failed.
        """
        waiting = asyncio.shield(asyncio.wrap_future(self._loading))
        done, _ = await asyncio.wait([waiting], timeout=timeout)
        if done:
            waiting.exception()  # looked at, so that asyncio does not report it as lost; `self.model` raises it
        else:
            waiting.cancel()
        return self.model

    async def run(self, fn: Callable[Concatenate[MFNModel, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(model, *args, **kwargs)` in the model's thread and return its result or raise its exception.

        Cancelled while it waits for its turn, the job is dropped; a job that has begun runs to its end, so keep each
        one short (one forward pass, one decoding step).
        """

        def job() -> T:
            return fn(self.model, *args, **kwargs)

        return await asyncio.wrap_future(self._thread.submit(job))

    def close(self) -> None:
        """Drop what waits and end the thread after the job that runs now."""
        self._thread.shutdown(wait=True, cancel_futures=True)
