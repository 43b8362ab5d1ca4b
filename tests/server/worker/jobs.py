"""What test_worker has the worker do: a plan whose model is a list, and jobs on it."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mfn_core.errors import BundleError
from mfn_server.errors import APIError
from mfn_server.worker import Plan


class IdleEngine:
    """Has nothing to do."""

    load, row_bytes, context, slots, busy = SimpleNamespace(rows=3), 1000, 64, 4, False


def load(file: Path) -> Any:
    """What a file holds, in a list. `broken` and `deadly` do what they say."""
    text = file.read_text()
    if text == "broken":
        raise BundleError("the file is broken")
    if text == "deadly":
        die(None)
    return [text]


def make_engine(model: Any) -> Any:
    return IdleEngine()


def describe(model: Any) -> Any:
    return {"text": model[0]}


def plan(file: Path) -> Plan:
    return Plan(partial(load, file), make_engine, describe)


def process(model: Any) -> int:
    return os.getpid()


def append(model: Any, *items: Any, seconds: float = 0.0) -> list[Any]:
    time.sleep(seconds)
    model.extend(items)
    return list(model)


def length(model: Any, data: bytes) -> int:
    return len(data)


def refuse(model: Any, how: str) -> None:
    match how:
        case "api":
            raise APIError(422, "too_blue", "it is too blue", hint="make it redder", field="colour", headers={"A": "b"})
        case "prompt":
            from mfn_core.generation import PromptTooLongError

            raise PromptTooLongError(9, 4)
        case _:
            raise ZeroDivisionError("by nothing")


def answer_with_a_function(model: Any) -> Any:
    return lambda: None


def multiply(model: Any) -> tuple[float, float]:
    """With numpy and with torch, in two threads each."""
    import numpy as np
    import torch

    torch.set_num_threads(2)
    return float((np.ones((600, 600)) @ np.ones((600, 600)))[0, 0]), float(
        (torch.ones(600, 600) @ torch.ones(600, 600))[0, 0]
    )


def die(model: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
