"""What the web process needs of whatever owns the model: one process here, or replicas on other machines."""

# ruff: noqa: D102 - described there

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from mfn_server.worker.messages import EngineFacts, Turn
from mfn_server.worker.standing import WorkerState

if TYPE_CHECKING:
    from mfn_core.generation.request import GenerationRequest
    from mfn_core.interventions import Intervention
    from mfn_core.model import MFNModel
    from mfn_core.slices import Slices

P = ParamSpec("P")
T = TypeVar("T")


class Worker(Protocol):
    """See `ModelWorker`, which describes each of these."""

    loop: asyncio.AbstractEventLoop
    restarts: int
    most_waiting: int
    on_turn: Callable[[Turn], None]
    on_lost: Callable[[Collection[str] | None], None]

    @property
    def state(self) -> WorkerState: ...
    @property
    def loaded(self) -> bool: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def engine(self) -> EngineFacts: ...
    @property
    def facts(self) -> Any: ...

    async def wait_loaded(self, timeout: float | None = None) -> None: ...
    async def run(self, fn: Callable[Concatenate[MFNModel, P], T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def run_in_slices(
        self, fn: Callable[Concatenate[MFNModel, P], Slices[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    async def prepare(self, request: str, fn: Callable[..., tuple[GenerationRequest, T]], *args: Any) -> T: ...
    def begin(self, request: str) -> None: ...
    async def update(self, request: str, fn: Callable[..., Sequence[Intervention]], *args: Any) -> None: ...
    def cancel(self, request: str) -> None: ...
    async def close(self) -> None: ...
