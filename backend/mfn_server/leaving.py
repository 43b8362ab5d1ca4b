"""Work that ends when nobody waits for its answer any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from mfn_server.errors import APIError

CLIENT_LEFT = 499  # nobody reads the answer; nginx's number for it

T = TypeVar("T")


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What work comes to; cancelled where the client leaves before. For answers in one piece, whose body was read.

    Raises:
        APIError: the client has left, so that nobody will know.
    """
    left = asyncio.create_task(_left(request))
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({left, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise APIError(CLIENT_LEFT, "client_left", "the client has left")
        return working.result()
    finally:
        left.cancel()
        working.cancel()
        await asyncio.gather(left, working, return_exceptions=True)


async def _left(request: Request) -> None:
    """Returns when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
