"""Many web requests, one engine in another process.

Requests are checked there before an answer begins, then wait here for rows of the engine, and users take turns. What
the engine says goes into each request's own buffer, so a slow or vanished reader holds nobody up.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfn_core.generation.events import Done, Ended, Failed, TokenEvent
from mfn_server.errors import APIError
from mfn_server.operating.logs import log
from mfn_server.operating.meters import Meters
from mfn_server.steering.fairness import FairQueue
from mfn_server.steering.streams import Broken, EventsLostError, NoSuchEventError, Reader, Started, Stream
from mfn_server.worker import ModelNotReadyError, Turn, Worker

if TYPE_CHECKING:
    from mfn_core.generation.request import GenerationRequest
    from mfn_core.interventions import Intervention

REMEMBERED = 256  # requests that ended; a change that crosses the end of its text on the way is no error
LONGEST_RETRY = 60

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one server takes in.

    Attributes:
        waiting: requests that wait for the engine, all users together.
        per_user: requests of one user, written, waiting or kept.
        unread: events by which a reader may lag; more are not kept.
        keep: longest time, in seconds, for which a stream without a reader is kept.
        memory: bytes that all texts may take up together beside the cache: requests, and events that wait for readers.
    """

    waiting: int = 64
    per_user: int = 16
    unread: int = 1024
    keep: float = 120.0
    memory: int = 2**30


class GenerationService:
    """Lets requests in, hands them to the engine in a fair order, and forgets them when nobody reads them.

    Everything here runs on the event loop.
    """

    def __init__(self, worker: Worker, meters: Meters, limits: Limits | None = None) -> None:
        self._worker = worker
        self._meters = meters
        self._limits = limits or Limits()
        self._streams: dict[str, Stream] = {}
        self._waiting = FairQueue()
        self._running: dict[str, Stream] = {}
        self._seconds = 2.0  # a text takes, about
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._forgetting: dict[str, asyncio.TimerHandle] = {}
        self._closing: str | None = None
        worker.on_turn, worker.on_lost = self._take, self._lose
        meters.watch(worker, self)

    @property
    def admitted(self) -> int:
        """How many requests there are: being checked, waiting, written, read or kept."""
        return len(self._streams)

    @property
    def writing(self) -> int:
        """How many the engine writes."""
        return len(self._running)

    @property
    def rows(self) -> int:
        """How many streams the engine can write at the same time; 0 before the model is loaded."""
        return self._worker.engine.rows if self._worker.loaded else 0

    @property
    def rows_busy(self) -> int:
        """How many it writes."""
        return sum(_rows(stream) for stream in self._running.values())

    @property
    def cache_bytes(self) -> int:
        """Memory that the engine's cache takes."""
        return self.rows * self._worker.engine.row_bytes if self._worker.loaded else 0

    @property
    def text_bytes(self) -> int:
        """Memory that is set aside for the texts that there are, beside the cache."""
        return sum(stream.bytes for stream in self._streams.values())

    @property
    def stopping(self) -> bool:
        """Whether nothing is taken in any more."""
        return self._closing is not None

    @property
    def waiting(self) -> int:
        """How many wait for the engine."""
        return len(self._waiting)

    async def open(
        self,
        user: str,
        make: Callable[..., tuple[GenerationRequest, Started]],
        *args: Any,
        keep: float = 0.0,
    ) -> Stream:
        """Take a request in, checked, and let it wait for its turn. Call `attend` at once: nobody else ends it.

        Args:
            user: whose it is.
            make: makes the request in the worker, as `make(model, engine, request_id, *args)`.
            args: further arguments, which are pickled.
            keep: seconds for which its events stay when its reader has left.

        Raises:
            APIError: 429, the user has too many; 503, too many wait, there is no memory left, or the server is
                stopping; 413, it would take more memory than all may; or what `make` raises.
            ModelNotReadyError: 503.
        """
        try:
            self._admit(user)
        except APIError as error:
            self._meters.texts.labels(f"refused_{error.detail.code}").inc()
            raise
        stream = Stream(uuid.uuid4().hex, user, self._limits.unread, min(keep, self._limits.keep))
        self._streams[stream.id] = stream
        try:
            stream.started = await self._worker.prepare(stream.id, make, stream.id, *args)
            try:
                if self._closing is not None:
                    raise _stopping(self._closing)
                self._set_aside(stream)
            except APIError:
                self._worker.cancel(stream.id)
                raise
        except BaseException as error:
            del self._streams[stream.id]
            self._meters.texts.labels(_outcome(error)).inc()
            raise
        stream.put(stream.started)
        self._waiting.add(stream)
        self._fill()
        return stream

    def find(self, request_id: str) -> Stream:
        """A stream that was opened. Raises APIError: 404, there is none, or it was forgotten."""
        stream = self._streams.get(request_id)
        if stream is None or stream.started is None:
            raise _no_such_request()
        return stream

    def attend(self, stream: Stream, after: int = -1) -> Reader:
        """Read a stream from behind event number `after`. Whoever read it before reads no further. Call `leave` after.

        Raises APIError: 410, the events behind it are not kept any more; 422, it has not happened.
        """
        try:
            reader = stream.attach(after)
        except EventsLostError as error:
            raise APIError(410, "events_lost", "the events after that one are not kept any more") from error
        except NoSuchEventError as error:
            raise APIError(
                422,
                "no_such_event",
                f"event {after} has not happened",
                hint="name the last event that you have read",
                field="Last-Event-ID",
            ) from error
        self._stop_forgetting(stream)
        return reader

    def leave(self, reader: Reader) -> None:
        """A reader is gone. Its text is stopped before the next step, unless it is kept or another reads it."""
        stream = reader.stream
        if stream.reader is not reader:
            return
        stream.reader = None
        if stream.keep and self._closing is None:
            loop = asyncio.get_running_loop()
            self._forgetting[stream.id] = loop.call_later(stream.keep, self._forget, stream)
        else:
            self._forget(stream)

    async def update(self, request_id: str, make: Callable[..., tuple[Intervention, ...]], *args: Any) -> None:
        """Change a request's interventions from its next token on. One that has just ended has no next token.

        Args:
            request_id: whose.
            make: makes them in the worker, as `make(model, engine, *args)`.
            args: further arguments.

        Raises:
            APIError: 404, it is not known, or ended long ago; or what `make` raises.
        """
        if request_id in self._ended:
            return
        if self.find(request_id).ended:
            return
        await self._worker.update(request_id, make, *args)

    def cancel(self, request_id: str) -> None:
        """End a text before the next step; its reader is told. One that has ended is no error.

        Raises APIError: 404, it is not known.
        """
        if request_id in self._ended:
            return
        self._break_off([self.find(request_id)], "cancelled", "the text was cancelled")

    async def drain(self, seconds: float, reason: str = "the server is stopping") -> None:
        """Take nothing in from now on, give texts `seconds` to end, then end those that are left."""
        self._closing = reason
        end = time.monotonic() + seconds
        while self._running or len(self._waiting):
            if time.monotonic() >= end:
                break
            await asyncio.sleep(0.05)
        self._break_off(list(self._streams.values()), "shutting_down", reason)

    async def close(self) -> None:
        """End every stream."""
        await self.drain(0)
        for stream in list(self._streams.values()):
            self._stop_forgetting(stream)

    def _admit(self, user: str) -> None:
        if self._closing is not None:
            raise _stopping(self._closing)
        if sum(stream.user == user for stream in self._streams.values()) >= self._limits.per_user:
            raise APIError(
                429,
                "too_many_requests",
                f"{self._limits.per_user} texts of yours are being written or wait already",
                hint="try again when one has ended",
                headers=self._later(),
            )
        checking = sum(stream.started is None for stream in self._streams.values())
        if len(self._waiting) + checking >= self._limits.waiting:
            raise APIError(
                503,
                "busy",
                f"{self._limits.waiting} requests wait for the model already",
                hint="try again in a few seconds",
                headers=self._later(),
            )

    def check_memory(self, needed: int, what: str, field: str | None = None) -> None:
        """Refuses what alone would take more memory than all texts may.

        Args:
            needed: bytes.
            what: needs them.
            field: of the request, that says how much is asked for.

        Raises:
            APIError: 413.
        """
        if needed > self._limits.memory:
            raise APIError(
                413,
                "too_much_memory",
                f"{what} would take up {_mib(needed)} of memory; all texts together may have "
                f"{_mib(self._limits.memory)}",
                hint="ask for fewer tokens, alternatives or features",
                field=field,
            )

    def _set_aside(self, stream: Stream) -> None:
        """Memory for a text that was checked, or none and a refusal."""
        assert stream.started is not None, "it was checked"
        needed = stream.started.footprint.beside_cache(self._limits.unread)
        self.check_memory(needed, "this text", "max_new_tokens")
        if self.text_bytes + needed > self._limits.memory:
            raise APIError(
                503,
                "memory_full",
                f"this text would take up {_mib(needed)} of memory; of {_mib(self._limits.memory)} for all texts, "
                f"{_mib(self.text_bytes)} are taken",
                hint="try again in a few seconds, or ask for fewer tokens, alternatives or features",
                headers=self._later(),
            )
        stream.bytes = needed

    def _later(self) -> dict[str, str]:
        """When a place may be free, from how long texts took lately."""
        ahead = (len(self._waiting) + len(self._running)) / max(1, len(self._running))
        return {"Retry-After": str(max(1, min(LONGEST_RETRY, math.ceil(self._seconds * ahead))))}

    def _fill(self) -> None:
        """Give the engine what fits. The next in turn is never passed over for one that takes less room."""
        if not self._worker.loaded:
            return
        rows = self._worker.engine.rows
        held: Counter[str] = Counter()
        for running in self._running.values():
            held[running.user] += _rows(running)
        while (stream := self._waiting.first(held)) is not None:
            if held.total() + _rows(stream) > rows:
                return
            self._waiting.take(stream)
            held[stream.user] += _rows(stream)
            self._running[stream.id] = stream
            stream.timing.begun = time.monotonic()
            self._meters.queue_seconds.observe(stream.timing.begun - stream.timing.asked)
            self._worker.begin(stream.id)

    def _take(self, turn: Turn) -> None:
        """Hand out what came of a step."""
        if turn.seconds:
            self._meters.step_seconds.observe(turn.seconds)
        for event in turn.events:
            stream = self._running.get(event.request)
            if stream is None:  # it was left or cut while this was on its way
                continue
            kept_up = stream.put(event)
            if isinstance(event, TokenEvent):
                self._count_token(stream, event)
            elif isinstance(event, Done):
                stream.timing.reason = event.reason
            if isinstance(event, Ended | Failed):
                self._finish(stream, "failed" if isinstance(event, Failed) else stream.timing.reason)
            elif not kept_up:
                self._worker.cancel(stream.id)
                self._finish(stream, "too_slow")
                stream.cut("too_slow", f"its reader lagged more than {self._limits.unread} events behind")
        if turn.fault:
            message = "the model stopped while it was writing; the server's log says why"
            self._break_off(list(self._running.values()), "generation_failed", message)
        self._fill()

    def _lose(self, requests: Collection[str] | None) -> None:
        """The worker is gone, and with it whatever it was told; or that part of it which had these requests."""
        known = [s for s in self._streams.values() if s.started is not None and (requests is None or s.id in requests)]
        self._break_off(known, "worker_lost", "the model's process ended; it is started again")

    def _break_off(self, streams: Iterable[Stream], code: str, message: str) -> None:
        for stream in streams:
            if stream.started is None or stream.ended:
                continue
            self._worker.cancel(stream.id)
            self._waiting.remove(stream)
            self._finish(stream, code)
            stream.put(Broken(code, message))
        self._fill()

    def _count_token(self, stream: Stream, event: TokenEvent) -> None:
        self._meters.tokens.labels(event.stream).inc()
        timing = stream.timing
        timing.tokens += 1
        if timing.first_token is None:
            timing.first_token = time.monotonic()
            self._meters.first_token_seconds.observe(timing.first_token - timing.asked)

    def _finish(self, stream: Stream, outcome: str) -> None:
        """The engine is done with it, or it never began."""
        self._running.pop(stream.id, None)
        now, timing = time.monotonic(), stream.timing
        self._meters.texts.labels(outcome).inc()
        if timing.begun is not None:
            took = now - timing.begun
            self._seconds += 0.1 * (took - self._seconds)
            self._meters.text_seconds.observe(took)
        started = stream.started
        log(
            logger,
            "text",
            request=stream.id,
            outcome=outcome,
            prompt_tokens=len(started.prompt) if started else 0,
            tokens=timing.tokens,
            waited=_between(timing.asked, timing.begun or now),
            first_token=_between(timing.asked, timing.first_token),
            seconds=_between(timing.asked, now),
        )

    def _forget(self, stream: Stream) -> None:
        self._stop_forgetting(stream)
        if not stream.ended:
            self._worker.cancel(stream.id)
            self._waiting.remove(stream)
            self._finish(stream, "left")
        del self._streams[stream.id]
        self._ended[stream.id] = None
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        self._fill()

    def _stop_forgetting(self, stream: Stream) -> None:
        timer = self._forgetting.pop(stream.id, None)
        if timer is not None:
            timer.cancel()


def _rows(stream: Stream) -> int:
    assert stream.started is not None, "it was accepted"
    return len(stream.started.streams)


def _mib(number: int) -> str:
    return f"{number / 2**20:.3g} MiB"


def _outcome(error: BaseException) -> str:
    """How a request that never began is counted."""
    if isinstance(error, asyncio.CancelledError):
        return "left"
    if isinstance(error, APIError) and error.status in (413, 503):
        return f"refused_{error.detail.code}"
    return "refused_unready" if isinstance(error, ModelNotReadyError) else "refused_invalid"


def _between(first: float, second: float | None) -> float | None:
    return None if second is None else round(second - first, 4)


def _no_such_request() -> APIError:
    return APIError(404, "unknown_request", "there is no such generation, or it has ended")


def _stopping(reason: str) -> APIError:
    return APIError(503, "shutting_down", reason, headers={"Retry-After": "5"})
