"""Counts, times and logs every answer. Routes are named by their pattern, so neither paths nor queries get out."""

from __future__ import annotations

import logging
import time

from anyio import BrokenResourceError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mfn_server.operating.logs import log
from mfn_server.operating.meters import Meters

logger = logging.getLogger("mfn_server.http")


class Measured:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status, head = 500, None

        async def watched(message: Message) -> None:
            nonlocal status, head
            if message["type"] == "http.response.start":
                status, head = message["status"], time.perf_counter() - begun
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except BaseExceptionGroup as errors:
            # How FastAPI's event streams end when their client has gone while an event was on its way: no fault.
            if head is None or errors.split(BrokenResourceError)[1] is not None:
                raise
        finally:
            seconds = time.perf_counter() - begun
            route, method = _route(scope), scope["method"] if scope["method"] in _METHODS else "other"
            self._meters.http_requests.labels(method, route, str(status)).inc()
            self._meters.http_seconds.labels(route).observe(seconds if head is None else head)
            log(logger, "http", method=method, route=route, status=status, seconds=round(seconds, 4))


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route(scope: Scope) -> str:
    """The pattern that matched. Anything else would let clients make up as many names as they like."""
    path = getattr(scope.get("route"), "path", None)
    return str(path) if path is not None else "other"
