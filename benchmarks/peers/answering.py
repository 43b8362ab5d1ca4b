"""What every peer does: answer what `benchmarks.harness.Peer` asks. Import it before the packages that are timed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

answers, sys.stdout = sys.stdout, sys.stderr  # what the packages print is no answer


def answer_questions(kinds: Mapping[str, Callable[..., Callable[[], object]]], *packages: str) -> None:
    """Answers questions until there are none.

    Args:
        kinds: what each kind of work is, made from the rest of a question; what it gives is timed.
        packages: those whose versions are told.
    """
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    work: Callable[[], object] | None = None
    for line in sys.stdin:
        question = json.loads(line)
        if question:
            work = kinds[question.pop("work")](**question)
            answer: dict[str, Any] = {"package": ", ".join(f"{name} {version(name)}" for name in packages)}
        else:
            assert work is not None, "nothing was said to be timed"
            begun, processor = time.perf_counter(), time.process_time()
            work()
            answer = {"clock": time.perf_counter() - begun, "processor": time.process_time() - processor}
        print(json.dumps(answer), file=answers, flush=True)
