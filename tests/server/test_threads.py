"""A thread is waited for, even by a caller that is cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mfn_server.threads import to_the_end


async def test_gives_what_the_function_gives() -> None:
    assert await to_the_end(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await to_the_end(divmod, 7, 0)


async def test_a_cancelled_caller_ends_after_the_thread() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(10)
        done.set()

    caller = asyncio.create_task(to_the_end(work))
    await asyncio.to_thread(begun.wait, 10)
    caller.cancel()
    await asyncio.sleep(0.05)
    assert not caller.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done.is_set()
