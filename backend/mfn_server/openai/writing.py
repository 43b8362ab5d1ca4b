"""The choices of one request, written side by side, so many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mfn_core.generation.events import Ended, Failed
from mfn_server.errors import APIError
from mfn_server.intervention_bodies import InterventionBody
from mfn_server.model_facts import SourceFacts
from mfn_server.steering.streams import Broken, Reader, Started, StreamEvent
from mfn_server.steering.translation import interventions_of, started

if TYPE_CHECKING:
    from mfn_core.generation import Engine, GenerationRequest
    from mfn_core.interventions import Intervention
    from mfn_core.model import MFNModel
    from mfn_server.studio import Studio

LANES = 8  # choices of one request that are written at once; the rest follows as these end
HEARTBEAT_SECONDS = 15.0
UNREAD = 64  # events that wait for a slow client here; beyond them its streams fill up, which are bounded too
LONGEST_PAUSE = 5.0
_STATUS = {"generation_failed": 500, "cancelled": 500}


@dataclass(frozen=True)
class Order:
    """One choice to be written. Plain data: it travels to where the model is.

    Attributes:
        index: of the choice in the answer.
        prompt: token ids.
        max_new_tokens: None for as many as the context holds.
        sampling: what `Sampling` takes, by name.
        stop: stop strings.
        interventions: as the API has them.
        preset_interventions: how many of them, at the beginning, are a preset's.
        alternatives: how many of the likeliest tokens to report.
        fired: how many features to report.
        prompt_field: which field of the request the prompt came from.
        compare: write the plain twin, too.
    """

    index: int
    prompt: tuple[int, ...]
    max_new_tokens: int | None
    sampling: dict[str, Any] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    interventions: tuple[InterventionBody, ...] = ()
    preset_interventions: int = 0
    alternatives: int = 0
    fired: int = 0
    prompt_field: str = "prompt"
    compare: bool = False


def request_of(
    model: MFNModel, engine: Engine, request_id: str, order: Order, facts: Sequence[SourceFacts]
) -> tuple[GenerationRequest, Started]:
    """The request as the engine takes it, checked. Runs where the model is.

    Raises:
        APIError: what is wrong with it, with the field of OpenAI's request.
    """
    from mfn_core.generation import GenerationRequest, PromptTooLongError, Sampling

    most = engine.context if order.max_new_tokens is None else min(order.max_new_tokens, engine.context)
    request = GenerationRequest(
        prompt=order.prompt,
        max_new_tokens=most,
        interventions=checked_interventions(order, facts, engine.context),
        sampling=Sampling(**order.sampling),
        compare=order.compare,
        alternatives=order.alternatives,
        fired=order.fired,
        stop=order.stop,
        id=request_id,
    )
    try:
        engine.check(request)
    except PromptTooLongError as error:
        raise APIError(400, "prompt_too_long", str(error), field=order.prompt_field) from error
    return request, started(request, engine)


def checked_interventions(order: Order, facts: Sequence[SourceFacts], context: int) -> tuple[Intervention, ...]:
    """An order's interventions as `mfn_core` takes them.

    Raises:
        APIError: one is wrong; its field is the one of OpenAI's request.
    """
    try:
        return interventions_of(order.interventions, facts, context)
    except APIError as error:
        raise APIError(
            error.status,
            error.detail.code,
            error.detail.message,
            hint=error.detail.hint,
            field=_field(error.detail.field, order.preset_interventions),
        ) from None


def _field(field: str | None, preset_interventions: int) -> str:
    """`interventions.3.index` of the engine's list, in the request that it came from."""
    parts = (field or "").split(".")
    if len(parts) < 2 or not parts[1].isdecimal():
        return "mfn.interventions"
    number = int(parts[1]) - preset_interventions
    return "model" if number < 0 else ".".join(["mfn", "interventions", str(number), *parts[2:]])


class Writing:
    """Writes orders. `begin` raises what is wrong with them, `events` says what comes, `close` ends it at any time."""

    def __init__(self, studio: Studio, user: str, orders: Sequence[Order], facts: Sequence[SourceFacts]) -> None:
        self._service = studio.generation
        self._user = user
        self._facts = facts
        self._waiting = deque(orders)
        self._left = len(orders)
        self._readers: set[Reader] = set()
        self._lanes: list[asyncio.Task[None]] = []
        self._queue: asyncio.Queue[tuple[int, StreamEvent | BaseException]] = asyncio.Queue(UNREAD)

    async def begin(self) -> None:
        """Takes the first of them in: refusals come while there is still a status to send.

        Raises:
            APIError: one is wrong (400), or there is no room (429, 503).
        """
        while self._waiting and len(self._lanes) < LANES:
            order = self._waiting.popleft()
            try:
                reader = await self._open(order)
            except APIError as error:
                if not self._lanes or error.status not in (429, 503):
                    raise
                self._waiting.appendleft(order)  # there is room for some: the others follow them
                return
            self._lanes.append(asyncio.create_task(self._lane(order, reader)))

    async def events(self) -> AsyncIterator[tuple[int, StreamEvent] | None]:
        """Events of all choices with the choices' numbers, as they come. None where nothing came for a while.

        Raises:
            APIError: a choice broke off, and with it the answer.
        """
        while self._left:
            try:
                index, event = await asyncio.wait_for(self._queue.get(), HEARTBEAT_SECONDS)
            except TimeoutError:
                yield None
                continue
            match event:
                case BaseException():
                    raise event
                case Broken():
                    raise APIError(_STATUS.get(event.code, 503), event.code, event.message)
                case Failed():
                    raise APIError(400, "generation_failed", event.message)
                case Ended():
                    self._left -= 1
                case _:
                    yield index, event

    def close(self) -> None:
        """Ends what is still being written, within a step."""
        for lane in self._lanes:
            lane.cancel()
        for reader in self._readers:
            self._service.leave(reader)
        self._readers.clear()

    async def _open(self, order: Order) -> Reader:
        reader = self._service.attend(await self._service.open(self._user, request_of, order, self._facts))
        self._readers.add(reader)
        return reader

    async def _lane(self, order: Order, reader: Reader) -> None:
        """Writes one choice after another."""
        while True:
            async for _, event in reader:
                await self._queue.put((order.index, event))
            self._readers.discard(reader)
            self._service.leave(reader)
            if not self._waiting:
                return
            order = self._waiting.popleft()
            try:
                reader = await self._open_patiently(order)
            except Exception as error:  # whatever it is, it is raised where the answer is made
                await self._queue.put((order.index, error))
                return

    async def _open_patiently(self, order: Order) -> Reader:
        """The place of the choice before was given up: if somebody else took it, wait, as that one would have to."""
        while True:
            try:
                return await self._open(order)
            except APIError as error:
                if error.status not in (429, 503) or error.detail.code == "shutting_down":
                    raise
                await asyncio.sleep(min(LONGEST_PAUSE, float(error.headers.get("Retry-After", 1))))
