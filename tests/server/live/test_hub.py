"""Everyone who listens is told everything, once and in order: on each server, after a break, and if they are slow."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import insert, update

from mfn_server.access.person import Person
from mfn_server.campaigns.events import CampaignPayload, Close, Item, Open
from mfn_server.campaigns.log import append_entry
from mfn_server.db.campaign_tables import CampaignLease
from mfn_server.db.session import Database
from mfn_server.db.tables import LiveTab
from mfn_server.errors import APIError
from mfn_server.labels.log import lock_log
from mfn_server.labels.payloads import Comment
from mfn_server.live import hub as hub_module
from mfn_server.live.hub import LiveHub, Message
from mfn_server.live.schemas import PresenceBody
from mfn_server.live.tabs import LIFETIME, MOST_TABS, open_tabs, put_tab
from tests.server.saying import ADA, ANN, BOB, MODEL, put

PATIENCE = 60.0


def say(database: Database, text: str, **where: Any) -> int:
    with database.write() as connection:
        return put(connection, ANN, Comment(text=text), **where).stream


def show(database: Database, person: Person, tab: uuid.UUID, source: str | None = None, **more: Any) -> None:
    with database.write() as connection:
        index = None if source is None else 0
        put_tab(connection, MODEL, person, PresenceBody(tab=tab, source=source, index=index, **more))


class Reader:
    """A tab that reads. What it has heard of the log stands in `said`."""

    def __init__(self, messages: AsyncIterator[Message], behind: int) -> None:
        self._messages = messages
        self.behind = behind
        self.said: list[tuple[int, str]] = []
        self.resets: list[int] = []
        self.tabs: list[Any] = []
        self.ended = False

    async def until(self, condition: Callable[[Reader], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition(self) and not self.ended:
                try:
                    name, number, body = await anext(self._messages)
                except StopAsyncIteration:
                    self.ended = True
                    return
                assert number is None or name == "hello" or self.said == [] or number > self.said[-1][0]
                if name == "said":
                    self.said.append((number or 0, body.payload["text"]))  # type: ignore[attr-defined]
                elif name == "reset":
                    self.resets.append(number or 0)
                elif name == "presence":
                    self.tabs = body.tabs  # type: ignore[attr-defined]


@asynccontextmanager
async def reading(
    hub: LiveHub, after: int | None = None, tab: uuid.UUID | None = None, person: Person = BOB
) -> AsyncIterator[Reader]:
    listener, behind = await hub.join(MODEL, tab or uuid.uuid4(), person)
    try:
        yield Reader(hub.messages(MODEL, listener, behind, after), behind)
    finally:
        await hub.leave(listener)


def with_hubs(database: Database, work: Callable[[LiveHub, LiveHub], Awaitable[None]]) -> None:
    """Two servers on one database."""

    async def run() -> None:
        hubs = LiveHub(database), LiveHub(database)
        try:
            await work(*hubs)
        finally:
            for hub in hubs:
                await hub.close()

    asyncio.run(run())


def test_what_is_said_reaches_every_server_once_and_in_order(bare: Database) -> None:
    async def work(here: LiveHub, there: LiveHub) -> None:
        say(bare, "before")
        async with reading(here) as one, reading(here) as two, reading(there) as three:
            expected = []
            for i in range(30):
                expected.append((await asyncio.to_thread(say, bare, f"{i}"), f"{i}"))
                await asyncio.to_thread(say, bare, "another model", feature=("c", 0), model=2)
                if i % 3 == 0:
                    here.wake()
            for reader in (one, two, three):
                await reader.until(lambda r: len(r.said) >= len(expected))
                assert reader.said == expected

    with_hubs(bare, work)


def test_what_is_hidden_is_not_told_and_everybody_reads_anew_when_that_ends(bare: Database) -> None:
    campaign = uuid.uuid4()

    def do(deed: CampaignPayload) -> None:
        with bare.write() as connection:
            lock_log(connection)
            append_entry(connection, MODEL, campaign, ADA, uuid.uuid4(), deed)

    do(Open(name="blind", people=[BOB.id], items=[Item(source="a", index=0, importance=1)]))

    async def work(here: LiveHub, there: LiveHub) -> None:
        async with reading(here) as blind, reading(here, person=ADA) as free, reading(there) as blind_too:
            await asyncio.to_thread(say, bare, "hidden")
            shown = await asyncio.to_thread(say, bare, "shown", feature=("a", 1))
            await free.until(lambda r: len(r.said) == 2)
            for reader in (blind, blind_too):
                await reader.until(lambda r: r.said != [])
                assert reader.said == [(shown, "shown")]
            async with reading(here, 0) as late:  # nor is it told to who comes back for what they missed
                await late.until(lambda r: r.said != [])
                assert late.said == [(shown, "shown")]
            await asyncio.to_thread(do, Close())
            for reader in (blind, free, blind_too):
                await reader.until(lambda r: r.resets == [0])  # without a number: it is no event of the log
            await asyncio.to_thread(say, bare, "no longer hidden")
            await blind.until(lambda r: len(r.said) == 2)

    with_hubs(bare, work)


def test_who_comes_back_is_told_what_was_missed_without_gap_or_repeat(bare: Database) -> None:
    async def work(here: LiveHub, there: LiveHub) -> None:
        stop = asyncio.Event()
        written: list[tuple[int, str]] = []

        async def write() -> None:
            while not stop.is_set():
                written.append((await asyncio.to_thread(say, bare, "x"), "x"))
                await asyncio.sleep(0.02)  # SQLite gives nobody else a turn where one writes without a pause

        writing = asyncio.create_task(write())
        heard: list[tuple[int, str]] = []
        last: int | None = 0
        for i in range(6):
            async with reading((here, there)[i % 2], last) as reader:
                await reader.until(lambda r: len(r.said) >= 4)
            heard += reader.said
            last = heard[-1][0]
        stop.set()
        await writing
        assert heard == written[: len(heard)]

    with patch.object(hub_module, "_PAGE", 3):
        with_hubs(bare, work)


def test_who_comes_from_a_server_that_has_seen_more_is_told_nothing_twice(bare: Database) -> None:
    async def work(here: LiveHub, there: LiveHub) -> None:
        async with reading(there) as early:
            await early.until(lambda r: r.tabs == [])
            known = [say(bare, "x") for _ in range(3)][-1]  # none of which `there` has looked at yet
            async with reading(there, known) as reader:
                assert reader.behind < known
                after = say(bare, "y")
                await reader.until(lambda r: bool(r.said))
                assert (reader.said, reader.resets) == ([(after, "y")], [])

    with patch.object(hub_module, "POLL", 0.5):
        with_hubs(bare, work)


def test_of_very_much_one_is_told_that_it_was(bare: Database) -> None:
    async def work(here: LiveHub, there: LiveHub) -> None:
        for _ in range(8):
            last = say(bare, "x")
        async with reading(here, 1) as late, reading(here, 99) as elsewhere:
            for reader in (late, elsewhere):  # the other one knows a log that this database has not got
                await reader.until(lambda r: bool(r.tabs is not None and r.resets))
                assert (reader.resets, reader.said) == ([last], [])
            after = say(bare, "y")
            await late.until(lambda r: bool(r.said))
            assert late.said == [(after, "y")]
            with bare.write() as connection:
                for _ in range(9):
                    last = put(connection, ANN, Comment(text="many at once")).stream
            await late.until(lambda r: len(r.resets) == 2)
            assert late.resets[-1] == last

    with patch.object(hub_module, "REPLAY", 5):
        with_hubs(bare, work)


def test_a_slow_reader_is_cut_off_and_comes_back_for_the_rest(bare: Database) -> None:
    async def work(here: LiveHub, there: LiveHub) -> None:
        async with reading(here) as slow, reading(here) as quick:
            await slow.until(lambda r: r.tabs == [])
            written = []
            for i in range(12):
                written.append((await asyncio.to_thread(say, bare, f"{i}"), f"{i}"))
                here.wake()
                await quick.until(lambda r: len(r.said) > i)  # noqa: B023
            await slow.until(lambda r: False)
            assert slow.ended
            assert len(slow.said) < 12
        async with reading(here, slow.said[-1][0] if slow.said else slow.behind) as again:
            await again.until(lambda r: len(r.said) + len(slow.said) == 12)
            assert slow.said + again.said == quick.said == written

    listener = hub_module.Listener

    def small(tab: uuid.UUID, person: Person) -> hub_module.Listener:
        return listener(tab, person, asyncio.Queue(3))

    with patch.object(hub_module, "Listener", small):
        with_hubs(bare, work)


def test_who_is_there_is_known_to_every_server_until_they_leave(bare: Database) -> None:
    async def work(here: LiveHub, there: LiveHub) -> None:
        tab = uuid.uuid4()
        async with reading(there) as watcher:
            async with reading(here, tab=tab):
                show(bare, ANN, tab, "a", typing=True)
                await watcher.until(lambda r: any(each.typing for each in r.tabs))
                (seen,) = watcher.tabs
                assert (seen.person.name, seen.source, seen.index) == ("Ann", "a", 0)
                show(bare, ANN, tab)
                await watcher.until(lambda r: r.tabs != [] and r.tabs[0].source is None)
            await watcher.until(lambda r: r.tabs == [])
            assert watcher.tabs == []

    with_hubs(bare, work)


def test_whom_a_campaign_keeps_a_feature_for_is_shown_on_it_alone(bare: Database) -> None:
    campaign, there, elsewhere = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    items = [Item(source="a", index=0, importance=1)]
    with bare.write() as connection:
        lock_log(connection)
        append_entry(connection, MODEL, campaign, ADA, uuid.uuid4(), Open(name="x", items=items))
        row = {"id": uuid.uuid4(), "campaign_id": campaign, "source_id": 1, "number": 0, "author_id": ANN.id}
        connection.execute(insert(CampaignLease).values(row | {"expires_at": datetime.now(UTC) + LIFETIME}))
    show(bare, ANN, there, "a")
    show(bare, ANN, elsewhere, "b")
    show(bare, BOB, uuid.uuid4(), "a")
    with bare.write() as connection:
        assert [(each.tab, each.leased) for each in open_tabs(connection, MODEL) if each.leased] == [(there, True)]
        connection.execute(update(CampaignLease).values(expires_at=datetime.now(UTC)))
        assert not any(each.leased for each in open_tabs(connection, MODEL))


def test_a_tab_runs_out_belongs_to_its_person_and_there_are_not_too_many(bare: Database) -> None:
    tab = uuid.uuid4()
    show(bare, ANN, tab, "b")
    with pytest.raises(APIError) as caught:
        show(bare, BOB, tab)
    assert caught.value.status == 403
    for wrong in ("c", "none"):
        with pytest.raises(APIError, match="no source"):
            show(bare, BOB, uuid.uuid4(), wrong)
    for _ in range(MOST_TABS - 1):
        show(bare, ANN, uuid.uuid4())
    with pytest.raises(APIError) as caught:
        show(bare, ANN, uuid.uuid4())
    assert caught.value.status == 429
    with bare.write() as connection:
        long_ago = datetime.now(UTC) - LIFETIME - timedelta(seconds=1)
        connection.execute(update(LiveTab).where(LiveTab.tab == tab).values(seen_at=long_ago))
        assert tab not in [each.tab for each in open_tabs(connection, MODEL)]
        assert len(open_tabs(connection, MODEL)) == MOST_TABS - 1
    show(bare, ANN, tab)


def test_streams_end_when_the_server_stops(bare: Database) -> None:
    async def work(here: LiveHub, there: LiveHub) -> None:
        async with reading(here) as reader:
            here.end()
            await reader.until(lambda r: False)
            assert reader.ended
        async with reading(here) as late:
            await late.until(lambda r: False)
            assert late.ended

    with suppress(asyncio.CancelledError):
        with_hubs(bare, work)
