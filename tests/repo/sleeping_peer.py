"""A peer for the harness's own tests: it sleeps as long as it is told, or ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from benchmarks.peers.answering import answer_questions


def sleeping(seconds: float) -> Callable[[], object]:
    """Sleeps so long."""
    return lambda: time.sleep(seconds)


def ending(status: int) -> Callable[[], object]:
    """Ends with this status, once it is timed."""
    return lambda: sys.exit(status)


if __name__ == "__main__":
    answer_questions({"sleeping": sleeping, "ending": ending}, "torch")
