"""Runs the app under uvicorn: takes the port first, says where to look, and ends with a reason when it must."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from mfn_core.errors import MFNError
from mfn_server.operating.logs import configure
from mfn_server.security import is_loopback
from mfn_server.settings import Settings

if TYPE_CHECKING:
    from mfn_server.studio import Studio


def serve(settings: Settings, say: Callable[[str], None], open_browser: bool = False) -> None:
    """Serve until interrupted.

    Args:
        settings: what and where.
        say: told the address, once it answers.
        open_browser: open the first page, where there is a display.

    Raises:
        MFNError: others could reach it and nobody would be asked who they are; the port is taken; or the database, the
            model or its index cannot be used.
    """
    check_reach(settings)
    listener = _listen(settings.host, settings.port)
    try:
        from mfn_server.app import create_app

        app = create_app(settings)
        port = listener.getsockname()[1]
        address = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"http://{address}:{port}/"

        def ready() -> None:
            say(url)
            if open_browser and _has_display():
                webbrowser.open(url)

        configure(settings.log_format, settings.log_level)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        server = _Server(config, ready, settings.drain_seconds)
        server.run(sockets=[listener])
    finally:
        listener.close()
    if server.failure is not None:
        raise MFNError(str(server.failure)) from server.failure


def check_reach(settings: Settings) -> None:
    """Without accounts a server does whatever it is asked, so it may be reached from this computer alone.

    A proxy on the same computer reaches it, too: who gets through that is its affair. Raises MFNError.
    """
    if settings.accounts or is_loopback(settings.host):
        return
    raise MFNError(
        f"whoever reaches {settings.host or 'this computer'} could do anything here without logging in: add --accounts "
        "(MFN_ACCOUNTS=true), or listen on 127.0.0.1"
    )


class _Server(uvicorn.Server):
    """Calls back when it answers, and stops when the app finds that it cannot go on (a broken model, say)."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], drain_seconds: float) -> None:
        super().__init__(config)
        self.failure: BaseException | None = None
        self._ready = ready
        self._drain_seconds = drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        self._loop = asyncio.get_running_loop()
        startup: asyncio.Task[None] = self.config.app.state.studio.startup  # type: ignore[union-attr]
        startup.add_done_callback(self._look_at)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Told to stop. SIGTERM lets texts go on for a while first; a second one, or Ctrl+C, does not."""
        if self._loop is not None:
            # their streams would never end by themselves
            self._loop.call_soon_threadsafe(self.config.app.state.studio.live.end)  # type: ignore[union-attr]
        if sig == signal.SIGTERM and self._loop is not None and self._draining is None:
            self._loop.call_soon_threadsafe(self._drain, frame)
        else:
            super().handle_exit(sig, frame)

    def _drain(self, frame: FrameType | None) -> None:
        studio: Studio = self.config.app.state.studio  # type: ignore[union-attr]

        async def drain() -> None:
            await studio.generation.drain(self._drain_seconds)
            super(_Server, self).handle_exit(signal.SIGTERM, frame)

        self._draining = asyncio.create_task(drain())

    def _look_at(self, startup: asyncio.Task[None]) -> None:
        if not startup.cancelled() and startup.exception() is not None:
            self.failure = startup.exception()
            self.should_exit = True
        else:
            # What is there by now stays. A full collection would look through all of it, and nobody is answered
            # meanwhile.
            gc.collect()
            gc.freeze()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens. From here on a browser that comes early waits instead of failing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named, which asyncio asks for before it sets TCP_NODELAY on what is accepted: without that an
    # answer's body waits some 40 ms for the client to acknowledge the headers
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise MFNError(f"port {port} is in use already; choose another with --port") from None
        raise MFNError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None
    return listener


def _has_display() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
