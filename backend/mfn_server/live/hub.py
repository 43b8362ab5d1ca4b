"""Follows the log of label events and tells everyone who listens to this server.

The log is in the database, so any number of servers may write to it. Each looks at its two counters a few times a
second, and at once after a write of its own; nothing else has to be sent from one to the other, and it is the same on
every database. Whoever reads more slowly than things happen is cut off and comes back for the rest by the number of
the last event that they have.

What is hidden from somebody (see `campaigns/blind.py`) they are not told. What was hidden and no longer is, is not told
afterwards one by one: the event that uncovers a feature is told, or everybody is told to read anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection, select

from mfn_server.access.roles import Person
from mfn_server.campaigns.blind import hidden_from
from mfn_server.campaigns.log import CAMPAIGNS
from mfn_server.collecting.log import COLLECTIONS
from mfn_server.db.session import Database
from mfn_server.db.tables import Counter
from mfn_server.labels.log import STREAM
from mfn_server.labels.reading import events_after
from mfn_server.labels.schemas import EventView
from mfn_server.live.schemas import CollectionsEvent, HelloEvent, PresenceEvent, ResetEvent, TabView
from mfn_server.live.tabs import TABS, open_tabs, remove_tab
from mfn_server.schemas import Schema
from mfn_server.threads import to_the_end

logger = logging.getLogger(__name__)

POLL = 0.15
"""Seconds between two looks at the counters."""

LOOK_AGAIN = 5.0
"""Seconds after which tabs are read anew without a change: some may have run out."""

LAG = 256
"""How many events a reader may lag behind."""

REPLAY = 1000
"""Of so many events that were missed each is told; of more, that there were."""

_PAGE = 200
_COUNTERS = select(Counter.name, Counter.value).where(Counter.name.in_((STREAM, TABS, CAMPAIGNS, COLLECTIONS)))

T = TypeVar("T")


class Counts(NamedTuple):
    """How far the log of labels is, the tabs, and the logs of campaigns and collections."""

    log: int
    tabs: int
    campaigns: int
    collections: int


class Page(NamedTuple):
    """Some events of the log.

    Attributes:
        events: how they are shown, in order.
        hidden: for each listener's person by id, the events among them that are hidden from them.
    """

    events: list[EventView]
    hidden: dict[str, frozenset[int]]


class _Event(NamedTuple):
    name: str
    id: int | None
    body: Schema


class Message(_Event):
    """One event of a stream: its name, its number where it is of the log or stands for it, and its body."""

    @cached_property
    def data(self) -> str:
        """The body as JSON; put together once for all who listen."""
        return self.body.model_dump_json()


@dataclass(eq=False)
class Listener:
    """A tab that listens, and who sits there. `waiting` ends with None where it was cut off, or the server stops."""

    tab: UUID
    person: Person
    waiting: asyncio.Queue[Message | None] = field(default_factory=lambda: asyncio.Queue(LAG))
    cut: bool = False

    def tell(self, message: Message) -> None:
        """Hand it an event, or cut it off if it cannot keep up."""
        if self.cut:
            return
        try:
            self.waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        """Nothing more comes; what waits is dropped, since the reader comes back for it by number."""
        self.cut = True
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.waiting.put_nowait(None)


class LiveHub:
    """Everyone who listens to one server. Belongs to its event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[Listener] = set()
        self._woken = asyncio.Event()
        self._joining = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._closed = False
        self._log = 0
        self._campaigns = 0
        self._collections = 0
        self._tabs: list[TabView] = []

    def wake(self) -> None:
        """Something was written here: look at once."""
        self._woken.set()

    async def join(self, model_id: int, tab: UUID, person: Person) -> tuple[Listener, int]:
        """Begin to listen.

        Args:
            model_id: whose features.
            tab: which tab listens.
            person: who sits there.

        Returns:
            The listener, and the event behind which it is told what happens.
        """
        async with self._joining:
            if self._following is None or self._following.done():
                self._log, _, self._campaigns, self._collections = await self._counters()
                self._tabs = await self._read(lambda connection: open_tabs(connection, model_id))
                self._following = asyncio.create_task(self._follow(model_id))
            listener = Listener(tab, person)
            self._listeners.add(listener)
            if self._closed:
                listener.end()
            return listener, self._log

    async def leave(self, listener: Listener) -> None:
        """Listen no longer. The tab is closed, unless it listens again already."""
        self._listeners.discard(listener)
        if all(other.tab != listener.tab for other in self._listeners):
            await to_the_end(self._remove, listener.tab)
            self.wake()

    async def messages(
        self, model_id: int, listener: Listener, behind: int, after: int | None
    ) -> AsyncIterator[Message]:
        """What a listener is told: what was missed since `after`, and from then on what happens."""
        yield Message("hello", behind if after is None else None, HelloEvent(stream=behind))
        known = behind if after is None else after
        # Whoever comes from another server may know more than this one has seen of the log so far.
        ahead = known > behind and known <= (await self._counters()).log
        if not ahead and not 0 <= behind - known <= REPLAY:
            known = behind
            yield Message("reset", behind, ResetEvent(stream=behind))
        elif not ahead:
            async for event in self._missed(model_id, listener.person, known, behind):
                yield _said(event)
        yield Message("presence", None, PresenceEvent(tabs=self._tabs))
        while (message := await listener.waiting.get()) is not None:
            if message.name != "said" or message.id is None or message.id > known:
                yield message

    async def close(self) -> None:
        """End all streams."""
        self.end()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    def end(self) -> None:
        """Let all streams end; new ones end at once."""
        self._closed = True
        for listener in self._listeners:
            listener.end()

    async def _missed(self, model_id: int, person: Person, after: int, behind: int) -> AsyncIterator[EventView]:
        while after < behind:
            page = await self._read(partial(_page, model_id, [person], after))
            for event in page.events:
                if event.stream > behind:
                    return
                after = event.stream
                if event.stream not in page.hidden[person.id]:
                    yield event
            if len(page.events) < _PAGE:
                return

    async def _follow(self, model_id: int) -> None:
        """Look at the counters again and again, as long as anyone listens."""
        seen_tabs, read_at = -1, 0.0
        while self._listeners:
            self._woken.clear()
            try:
                log, tabs, campaigns, collections = await self._counters()
                while self._log < log:
                    await self._tell_log(model_id, log)
                if campaigns != self._campaigns:  # what is hidden from whom may be something else now
                    self._campaigns = campaigns
                    self._tell(Message("reset", None, ResetEvent(stream=self._log)))
                if collections != self._collections:  # which one is not told: it may hold what is hidden from some
                    self._collections = collections
                    self._tell(Message("collections", None, CollectionsEvent(version=collections)))
                if tabs != seen_tabs or time.monotonic() - read_at > LOOK_AGAIN:
                    seen_tabs, read_at = tabs, time.monotonic()
                    await self._tell_tabs(model_id)
            except Exception:
                # the database may be away for a while; whoever listens is told when it is back
                logger.exception("cannot follow the log of labels")
                await asyncio.sleep(1.0)
            try:
                await asyncio.wait_for(self._woken.wait(), POLL)
            except TimeoutError:
                continue

    async def _tell_log(self, model_id: int, last: int) -> None:
        page = Page([], {})
        while any(listener.person.id not in page.hidden for listener in self._listeners):  # some came meanwhile
            people = {listener.person.id: listener.person for listener in self._listeners}
            page = await self._read(partial(_page, model_id, people.values(), self._log))
        if last - self._log > REPLAY:  # an atlas was read in, say
            self._log = last
            self._tell(Message("reset", last, ResetEvent(stream=last)))
            return
        for event in page.events:
            self._log = event.stream
            self._tell(_said(event), page.hidden)
        if len(page.events) < _PAGE:  # what is left is of other models
            self._log = max(self._log, last)

    async def _tell_tabs(self, model_id: int) -> None:
        tabs = await self._read(lambda connection: open_tabs(connection, model_id))
        if tabs != self._tabs:
            self._tabs = tabs
            self._tell(Message("presence", None, PresenceEvent(tabs=tabs)))

    def _tell(self, message: Message, hidden: Mapping[str, frozenset[int]] | None = None) -> None:
        """Tell everyone, but for those from whom it is hidden."""
        for listener in self._listeners:
            if hidden is None or message.id not in hidden[listener.person.id]:
                listener.tell(message)

    async def _counters(self) -> Counts:
        values = await self._read(_values)
        return Counts(values[STREAM], values[TABS], values[CAMPAIGNS], values[COLLECTIONS])

    async def _read(self, function: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._database.snapshot() as connection:
                return function(connection)

        return await to_the_end(read)

    def _remove(self, tab: UUID) -> None:
        with self._database.write() as connection:
            remove_tab(connection, tab)


def _values(connection: Connection) -> dict[str, int]:
    return {row.name: row.value for row in connection.execute(_COUNTERS)}


def _page(model_id: int, people: Iterable[Person], after: int, connection: Connection) -> Page:
    found = events_after(connection, model_id, after, _PAGE)
    places = {event.place for event, _ in found}
    hidden = {}
    for person in people:
        from_them = hidden_from(connection, person, places)
        hidden[person.id] = frozenset(event.stream for event, _ in found if from_them.hides(event))
    return Page([view for _, view in found], hidden)


def _said(event: EventView) -> Message:
    return Message("said", event.stream, event)
