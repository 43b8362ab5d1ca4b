"""What goes between the web process and the worker. Everything is pickled, so functions are module-level ones.

To the worker go commands (`Job` to `Stop`), from it come `Ready` or `NotLoaded` once, then `Answer`s to jobs and
`Turn`s. No class here needs torch: the web process, which reads the answers, never imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfn_core.generation.engine import Engine
    from mfn_core.generation.events import Event
    from mfn_core.model import MFNModel


@dataclass(frozen=True)
class Plan:
    """What a worker does when it starts. It travels there, so every function is a module-level one, or a `partial`.

    Attributes:
        load: makes the model.
        make_engine: makes what writes with it.
        describe: what the web process wants to know of the model, said once. Anything that can be pickled.
    """

    load: Callable[[], MFNModel]
    make_engine: Callable[[MFNModel], Engine]
    describe: Callable[[MFNModel], Any]


@dataclass(frozen=True)
class EngineFacts:
    """What never changes of an engine; see `mfn_core.generation.Engine` and `Load`."""

    rows: int
    row_bytes: int
    context: int
    slots: int


@dataclass(frozen=True)
class Job:
    """Answer with `fn(model, *args, **kwargs)`; where that is a generator, with what it gives in the end."""

    number: int
    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepare(Job):
    """Keep the request that `fn(model, engine, *args)` makes, and answer with what is to be said of it.

    `fn` returns both. `request` must be the id of the request that it makes.
    """

    request: str = ""


@dataclass(frozen=True)
class Update(Job):
    """Give a request the interventions that `fn(model, engine, *args)` makes, from its next token on.

    The answer is None, also where the request has just ended.
    """

    request: str = ""


@dataclass(frozen=True)
class Drop:
    """Leave out a job that has not begun, or the rest of one that pauses."""

    number: int


@dataclass(frozen=True)
class Begin:
    """Hand a prepared request to the engine."""

    request: str


@dataclass(frozen=True)
class Cancel:
    """Forget a request, prepared or being written: nothing more is said of it."""

    request: str


@dataclass(frozen=True)
class Stop:
    """End."""


@dataclass(frozen=True)
class Ready:
    """The model is there."""

    facts: Any
    engine: EngineFacts


@dataclass(frozen=True)
class NotLoaded:
    """Loading failed; the worker has ended."""

    error: BaseException
    traceback: str


@dataclass(frozen=True)
class Answer:
    """What came of a job."""

    number: int
    value: Any = None
    error: BaseException | None = None
    traceback: str = ""


@dataclass(frozen=True)
class Turn:
    """What came of one step of the engine.

    Attributes:
        events: of all requests, in order.
        seconds: how long the step took.
        fault: the engine broke: every request that was begun is over, and a new engine serves the next.
    """

    events: list[Event]
    seconds: float
    fault: bool = False


Command = Job | Drop | Begin | Cancel | Stop
Report = Ready | NotLoaded | Answer | Turn
