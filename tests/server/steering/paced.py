"""An engine that takes a step only when a test allows one. It runs in the worker; tests reach it through jobs."""

from __future__ import annotations

import gc
import os
import signal
import time
from types import GeneratorType
from typing import Any

from mfn_core import MFNModel
from mfn_core.generation import Event, GenerationRequest
from mfn_server.served_model import ROWS, make_engine


class PacedEngine:
    """The engine that is served. Runs freely until it is told otherwise.

    Attributes:
        paced: take a step only for each one of `allowed`.
        allowed: steps.
        break_at: the step at which it breaks.
        steps: taken so far.
        number: how many engines this process made before.
    """

    current: PacedEngine
    made = 0

    def __init__(self, model: MFNModel) -> None:
        self.inner = make_engine(ROWS, model)
        self.paced, self.allowed, self.break_at, self.steps = False, 0, -1, 0
        self.number = PacedEngine.made
        PacedEngine.current = self
        PacedEngine.made += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def step(self) -> list[Event]:
        if self.paced and self.allowed <= 0:
            time.sleep(0.002)  # the worker turns to its commands, as between two steps of a slow model
            return []
        self.allowed -= 1
        self.steps += 1
        if self.steps == self.break_at:
            raise RuntimeError("a fault in the middle of a text")
        return self.inner.step()


def tell(model: MFNModel, **changes: Any) -> None:
    """Set attributes of the engine that runs now."""
    for name, value in changes.items():
        setattr(PacedEngine.current, name, value)


def allow(model: MFNModel, steps: int) -> None:
    """Allow so many steps more."""
    PacedEngine.current.allowed += steps


def look(model: MFNModel) -> dict[str, Any]:
    """How the engine is."""
    engine = PacedEngine.current
    return {"steps": engine.steps, "busy": engine.busy, "number": engine.number}


def count_requests(model: MFNModel) -> int:
    """How many requests the process still holds, wherever."""
    gc.collect()
    return sum(type(thing) is GenerationRequest for thing in gc.get_objects())


def die(model: MFNModel) -> None:
    """End the process as the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def count_paused(model: MFNModel, name: str) -> int:
    """How many generators of this name there are, wherever."""
    gc.collect()
    return sum(type(thing) is GeneratorType and thing.__name__ == name for thing in gc.get_objects())
