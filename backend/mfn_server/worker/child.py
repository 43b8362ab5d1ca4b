"""The worker process: reads commands from a pipe in one thread, and works in the other."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
from multiprocessing.connection import Connection

from mfn_server.worker.host import ModelHost
from mfn_server.worker.messages import Answer, Plan, Report

logger = logging.getLogger(__name__)


def main(pipe: Connection, plan: bytes) -> None:
    """Serve one web process until it says so or is gone.

    Args:
        pipe: to and from it.
        plan: a pickled `Plan`; read here, where torch may be imported.
    """
    # Ctrl+C and the stop of a service go to all processes at once. The web process ends this one when texts that are
    # being written have come to their end.
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)

    def send(report: Report) -> None:
        try:
            packed = pickle.dumps(report, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            if not isinstance(report, Answer):
                raise
            failed = RuntimeError(f"what a job answers cannot be pickled: {error}")
            packed = pickle.dumps(Answer(report.number, error=failed), pickle.HIGHEST_PROTOCOL)
        try:
            pipe.send_bytes(packed)
        except OSError:
            os._exit(0)  # nobody is there to be told

    loaded: Plan = pickle.loads(plan)  # noqa: S301 - from the process that started this one
    host = ModelHost(loaded, send)

    def read() -> None:
        try:
            while True:
                host.receive(pickle.loads(pipe.recv_bytes()))  # noqa: S301 - as above
        except (EOFError, OSError):
            os._exit(0)  # the web process is gone, killed perhaps: in the middle of whatever is being done
        except Exception:
            logger.exception("a command could not be read")
            os._exit(1)

    threading.Thread(target=read, name="commands", daemon=True).start()
    host.run()
