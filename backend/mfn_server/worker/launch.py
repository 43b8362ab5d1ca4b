"""How a worker process is started, watched and ended."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import pickle
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from typing import Any

from mfn_server.worker.child import main
from mfn_server.worker.messages import Command, Plan, Report, Stop

logger = logging.getLogger(__name__)

# What takes seconds to import. The fork server imports it once; each worker, a restarted one too, is then there in
# milliseconds. None of it may start a thread: a fork copies none, and a lock that one held would stay locked. (Those
# that numpy's OpenBLAS starts are no harm: it ends them before a fork, and starts them again when they are needed.)
PRELOAD = ["mfn_core.model", "mfn_core.generation.slots", "mfn_server.steering.translation", "mfn_server.worker.child"]


_running: set[WorkerProcess] = set()


@atexit.register
def _kill_all() -> None:
    """A program that ends without closing its worker would wait for it for ever: it does not listen to SIGTERM."""
    for worker in list(_running):
        worker.kill()


def _context() -> Any:
    """Fork server where forking is safe; elsewhere a process that starts from nothing, with the same code."""
    if sys.platform != "darwin" and "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        return context
    return multiprocessing.get_context("spawn")


def warm_up() -> None:
    """Begin to import what workers need, where that is done once for all of them. Returns at once."""
    if _context().get_start_method() == "forkserver":
        forkserver.ensure_running()


class WorkerProcess:
    """One worker process.

    The functions it is given are called in threads of its own: `report` with what the worker says, then `gone` once.
    """

    def __init__(self, plan: Plan, report: Callable[[Report], None], gone: Callable[[int | None], None]) -> None:
        """Prepares it; `start` starts it.

        Args:
            plan: what it does.
            report: told what comes.
            gone: told the exit code, negative for a signal, when it has ended.
        """
        context = _context()
        self._report, self._gone = report, gone
        self._pipe, self._theirs = context.Pipe()
        packed = pickle.dumps(plan, pickle.HIGHEST_PROTOCOL)
        self._process = context.Process(target=main, args=(self._theirs, packed), name="mfn-worker", daemon=True)
        # A pipe takes some 200 kB; a worker that is stopped, or reads slowly, must not hold up the web process.
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, name="worker-read", daemon=True)
        self._writing = threading.Thread(target=self._write, name="worker-write", daemon=True)

    def start(self) -> None:
        """Blocks until it runs: for seconds, when it is the first of this program. Raises OSError where it cannot."""
        try:
            self._process.start()
        finally:
            self._theirs.close()  # the worker's copy alone keeps it open, so that its death is the end of the pipe
        _running.add(self)
        self._writing.start()
        self._reading.start()  # last: at the end of the process, which may be at once, it waits for the other

    @property
    def pid(self) -> int | None:
        """Its process id."""
        pid: int | None = self._process.pid
        return pid

    def send(self, command: Command) -> None:
        """Send a command, soon. One that cannot be pickled raises here; one to a dead process is lost."""
        self._outbox.put(pickle.dumps(command, pickle.HIGHEST_PROTOCOL))

    def end(self, patience: float = 5.0) -> None:
        """Ask it to stop, and kill it where it does not within `patience` seconds. Blocks."""
        if self._process.pid is None:
            return
        self.send(Stop())
        self._reading.join(patience)  # which waits for the process: its exit code can be read only once
        if self._reading.is_alive():
            logger.warning("the model's process did not stop within %.0f s and is killed", patience)
            self.kill()
            self._reading.join(patience)

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def _read(self) -> None:
        try:
            while True:
                packed = self._pipe.recv_bytes()
                self._report(pickle.loads(packed))  # noqa: S301 - from the process that was started above
        except (EOFError, OSError):
            pass
        except Exception:  # an answer that means nothing here, say: whoever waits for it must not wait for ever
            logger.exception("what the model's process said could not be read; it is ended")
            self.kill()
        self._outbox.put(None)
        self._process.join()
        self._writing.join()
        self._pipe.close()
        _running.discard(self)
        self._gone(self._process.exitcode)

    def _write(self) -> None:
        with suppress(OSError):
            while (packed := self._outbox.get()) is not None:
                self._pipe.send_bytes(packed)
