"""What every engine offers. One that serves many requests at once, or in another process, offers the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mfn_core.errors import MFNError
from mfn_core.generation.events import Ended, Event, Failed
from mfn_core.generation.request import GenerationRequest
from mfn_core.interventions import Intervention


class UnknownRequestError(MFNError):
    """The request is not known, or has ended."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is.

    Attributes:
        rows: how many streams it can write at the same time.
        busy_rows: how many of them are taken.
        writing: requests that have rows.
        waiting: requests that wait for rows, in order of arrival.
    """

    rows: int
    busy_rows: int
    writing: int
    waiting: int


class Engine(Protocol):
    """Turns requests into events, one step at a time.

    Not to be shared between threads, save for `check` and the properties that never change. A step is one forward pass:
    whoever drives the engine can do other work with the model between two of them.
    """

    @property
    def capacity(self) -> int:
        """How many requests can be written at the same time if each compares; others wait in order of arrival.

        A request takes one of `load.rows`, or two to compare.
        """
        ...

    @property
    def load(self) -> Load:
        """How much of it is taken."""
        ...

    @property
    def row_bytes(self) -> int:
        """Memory that one row of the key-value cache takes, in bytes."""
        ...

    @property
    def context(self) -> int:
        """How many tokens a text can have, prompt included."""
        ...

    @property
    def slots(self) -> int:
        """How many interventions a request can have."""
        ...

    @property
    def busy(self) -> bool:
        """Whether a request is being written or waits."""
        ...

    def check(self, request: GenerationRequest) -> None:
        """Raises an MFNError if `submit` would, without touching anything that changes."""
        ...

    def submit(self, request: GenerationRequest) -> None:
        """Takes a request in.

        Raises:
            PromptTooLongError: no position is left for a new token.
            InterventionError: an intervention names what is not there.
        """
        ...

    def step(self) -> list[Event]:
        """Advances every request that is being written by one token, and says what came of it.

        Of each request come tokens, a `Done` for each stream, and `Ended`; or `Failed` at any time. An idle engine
        says nothing.
        """
        ...

    def update(self, request_id: str, interventions: Sequence[Intervention]) -> None:
        """Replaces a request's interventions from its next token on. What is written, and its cache, stay.

        Raises:
            UnknownRequestError: no such request, or it has ended.
            InterventionError: an intervention names what is not there; the old ones stay.
        """
        ...

    def cancel(self, request_id: str) -> None:
        """Drops a request, waiting or half written: no event of it follows. One that is not known is no error."""
        ...


def stream(engine: Engine, request: GenerationRequest) -> Iterator[Event]:
    """Runs one request on an idle engine, for use without a server. Leaving the iterator cancels the request.

    Raises:
        RuntimeError: the engine has other requests, whose events would be lost.
    """
    if engine.busy:
        raise RuntimeError("the engine is busy: drive it with step() to serve several requests")
    engine.submit(request)
    try:
        while True:
            for event in engine.step():
                yield event
                if isinstance(event, Ended | Failed):
                    return
    finally:
        engine.cancel(request.id)
