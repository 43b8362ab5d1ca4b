"""The buffer between writing and reading, and who is next."""

from __future__ import annotations

import asyncio

import pytest

from mfn_core.generation.events import Ended
from mfn_server.steering.fairness import FairQueue
from mfn_server.steering.streams import Broken, EventsLostError, NoSuchEventError, Reader, Started, Stream, StreamEvent


def numbered(count: int) -> list[StreamEvent]:
    return [Started(str(number), (), ("steered",)) for number in range(count)]


def filled(count: int, most: int = 10, keep: float = 0.0) -> Stream:
    stream = Stream("id", "user", most, keep)
    for event in numbered(count):
        assert stream.put(event)
    return stream


async def take(reader: Reader, count: int) -> list[int]:
    return [(await anext(reader))[0] for _ in range(count)]


async def test_a_reader_gets_what_is_there_and_waits_for_more() -> None:
    stream = filled(2)
    reader = stream.attach()
    assert await take(reader, 2) == [0, 1]
    assert len(stream) == 0
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    assert not waiting.done()
    stream.put(Ended("id"))
    assert await waiting == (2, Ended("id"))
    assert [event async for event in reader] == []
    stream.put(Started("late", (), ()))
    assert len(stream) == 0, "after the end nothing is added"


async def test_a_reader_that_lags_is_told_so_and_memory_stays_bounded() -> None:
    stream = filled(10)
    reader = stream.attach()
    assert await take(reader, 1) == [0]
    assert stream.put(numbered(1)[0])
    assert not stream.put(numbered(1)[0])
    assert stream.unread == 11
    stream.cut("too_slow", "lagged")
    assert len(stream) == 1
    assert await anext(reader) == (12, Broken("too_slow", "lagged"))
    assert [event async for event in reader] == []
    with pytest.raises(NoSuchEventError):
        stream.attach(after=13)


async def test_what_was_read_is_kept_as_long_as_there_is_room() -> None:
    stream = filled(8, keep=60)
    reader = stream.attach()
    assert await take(reader, 8) == list(range(8))
    assert len(stream) == 8
    again = stream.attach(after=5)
    assert await take(again, 2) == [6, 7]
    assert [event async for event in reader] == [], "only one reads"
    for event in numbered(4):
        assert stream.put(event)
    assert len(stream) == 10
    with pytest.raises(EventsLostError):
        stream.attach(after=0)
    with pytest.raises(NoSuchEventError):
        stream.attach(after=12)
    assert await take(stream.attach(after=1), 10) == list(range(2, 12))


async def test_a_reader_that_waits_is_released_by_the_next_one() -> None:
    stream = filled(0, keep=60)
    first = asyncio.ensure_future(anext(stream.attach()))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(anext(stream.attach()))
    with pytest.raises(StopAsyncIteration):
        await first
    stream.put(Ended("id"))
    assert await second == (0, Ended("id"))


def waiting(user: str) -> Stream:
    return Stream("id", user, 1)


def test_users_take_turns_however_many_one_of_them_sends() -> None:
    queue = FairQueue()
    crowd = [waiting("crowd") for _ in range(5)]
    others = [waiting("b"), waiting("c")]
    for stream in [*crowd, *others]:
        queue.add(stream)
    order = []
    while (stream := queue.first({})) is not None:
        queue.take(stream)
        order.append(stream)
    assert order == [crowd[0], *others, *crowd[1:]]
    assert len(queue) == 0


def test_who_holds_fewest_rows_is_next() -> None:
    queue = FairQueue()
    first, second = waiting("a"), waiting("b")
    queue.add(first)
    queue.add(second)
    assert queue.first({"a": 2, "b": 1}) is second
    assert queue.first({"a": 1, "b": 1}) is first
    assert queue.remove(first)
    assert not queue.remove(first)
    assert queue.first({"b": 9}) is second
    assert len(queue) == 1
