"""The events of one text, between the worker that writes it and the client that reads it, perhaps slowly or again."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

from mfn_core.generation.events import Ended, Event, Failed, StreamName, TokenEvent
from mfn_core.generation.footprint import NOTHING, Footprint
from mfn_server.steering.digests import StreamDigest


@dataclass(frozen=True, slots=True)
class Started:
    """The request is accepted. Comes first.

    Attributes:
        request: its id.
        prompt: token ids, as the model reads them.
        streams: what will be written; each takes a row of the engine.
        footprint: what it takes up in memory.
    """

    request: str
    prompt: tuple[int, ...]
    streams: tuple[StreamName, ...]
    footprint: Footprint = NOTHING


@dataclass(frozen=True, slots=True)
class Broken:
    """The service ended the text; `code` for programs, `message` for people. Nothing follows."""

    code: str
    message: str


StreamEvent = Started | Event | Broken


@dataclass(slots=True)
class Timing:
    """When what happened to a request, by a clock that never goes back, in seconds."""

    asked: float = field(default_factory=time.monotonic)
    begun: float | None = None
    first_token: float | None = None
    tokens: int = 0
    reason: str = "length"  # of the last of its streams that was done


class EventsLostError(LookupError):
    """Events after the one that a reader saw last are not kept any more."""


class NoSuchEventError(LookupError):
    """A reader names an event that has not happened: it cannot have seen it."""


class Stream:
    """A bounded buffer of numbered events with one reader at a time.

    A reader that lags by more than `most` events is too slow: `put` says so. Events that were read are dropped at once,
    or, where `keep` is set, when room is needed, so that a client that was cut off can read them again.

    Attributes:
        id: the request's id.
        user: whose it is.
        keep: seconds for which it stays after its reader has left; 0 for not at all.
        started: what was accepted; None while the request is being checked.
        ended: whether its last event is there.
        reader: who reads it.
        digests: of what has been written, by stream; also of what a reader that came back has read before.
        timing: when what happened.
        bytes: of memory that are set aside for it, beside the cache.
    """

    def __init__(self, id: str, user: str, most: int, keep: float = 0.0) -> None:
        self.id = id
        self.user = user
        self.keep = keep
        self.started: Started | None = None
        self.ended = False
        self.reader: Reader | None = None
        self.timing = Timing()
        self.bytes = 0
        self.digests: dict[StreamName, StreamDigest] = defaultdict(StreamDigest)
        self._most = most
        self._events: deque[StreamEvent] = deque()
        self._first = 0  # the number of the first of them
        self._next = 0  # the number of the first that was not read
        self._cut = False
        self._wake = asyncio.Event()

    @property
    def unread(self) -> int:
        """How many events nobody has read."""
        return self._first + len(self._events) - self._next

    def __len__(self) -> int:
        """How many events are kept."""
        return len(self._events)

    def put(self, event: StreamEvent) -> bool:
        """Add an event; after the last one nothing is added. False when its reader lags too far behind."""
        if self.ended:
            return True
        self._events.append(event)
        if isinstance(event, TokenEvent):
            self.digests[event.stream].add(event.token, event.logprob)
        self.ended = isinstance(event, Ended | Failed | Broken)
        while len(self._events) > self._most and self._first < self._next:
            self._drop_first()
        self._wake.set()
        return len(self._events) <= self._most

    def cut(self, code: str, message: str) -> None:
        """End it here: what was not read is dropped for an error."""
        self._first += len(self._events)
        self._events.clear()
        self._next, self._cut, self.ended = self._first, True, False
        self.put(Broken(code, message))

    def attach(self, after: int = -1) -> Reader:
        """Read from behind event number `after`. Whoever reads now reads no further.

        Raises:
            EventsLostError: events behind it are not kept any more.
            NoSuchEventError: there are not so many events, perhaps not yet.
        """
        if after >= self._first + len(self._events):
            raise NoSuchEventError(self.id)
        if after + 1 < self._first and not self._cut:
            raise EventsLostError(self.id)
        self.reader = Reader(self, after + 1)
        self._wake.set()
        return self.reader

    async def event(self, reader: Reader) -> tuple[int, StreamEvent] | None:
        """The next event of a reader and its number. None where nothing follows, or another reads."""
        while self.reader is reader:
            number = max(reader.next, self._first)  # further only where it was cut
            if number < self._first + len(self._events):
                event = self._events[number - self._first]
                reader.next = number + 1
                self._next = max(self._next, reader.next)
                while not self.keep and self._first < self._next:
                    self._drop_first()
                return number, event
            if self.ended:
                return None
            self._wake.clear()
            await self._wake.wait()
        return None

    def _drop_first(self) -> None:
        self._events.popleft()
        self._first += 1


class Reader:
    """One client of a stream: an async iterator over numbers and events. `Stream.attach` makes it."""

    def __init__(self, stream: Stream, next: int) -> None:
        self.stream = stream
        self.next = next

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> tuple[int, StreamEvent]:
        """Waits for the next event."""
        found = await self.stream.event(self)
        if found is None:
            raise StopAsyncIteration
        return found
