"""A thread is waited for, even by a caller that is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mfn_server.threads import to_the_end


def run(work: Coroutine[Any, Any, None]) -> None:
    """In a thread: browser tests leave a running loop in this one."""
    with ThreadPoolExecutor(1) as other:
        other.submit(asyncio.run, work).result()


def test_gives_what_the_function_gives() -> None:
    async def ask() -> None:
        assert await to_the_end(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await to_the_end(divmod, 7, 0)

    run(ask())


def test_a_cancelled_caller_ends_after_the_thread() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(10)
        done.set()

    async def cancel() -> None:
        caller = asyncio.create_task(to_the_end(work))
        await asyncio.to_thread(begun.wait, 10)
        caller.cancel()
        await asyncio.sleep(0.05)
        assert not caller.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert done.is_set()

    run(cancel())
