"""Writing text token by token, steered and plain side by side, with interventions that may change in mid-stream.

What is said to an engine and what it says (requests, sampling, events) are plain data. The engine itself is loaded when
it is first asked for, so that who only passes such data on need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mfn_core.generation.engine import Engine, Load, UnknownRequestError, stream
from mfn_core.generation.events import (
    Alternative,
    Done,
    Ended,
    Event,
    Failed,
    Fired,
    Reason,
    StreamName,
    TokenEvent,
    Updated,
    Watched,
)
from mfn_core.generation.request import Change, GenerationRequest, PromptTooLongError
from mfn_core.generation.sampling import Sampling

if TYPE_CHECKING:
    from mfn_core.generation.slots import SlotEngine

__all__ = [
    "Alternative",
    "Change",
    "Done",
    "Ended",
    "Engine",
    "Event",
    "Failed",
    "Fired",
    "GenerationRequest",
    "Load",
    "PromptTooLongError",
    "Reason",
    "Sampling",
    "SlotEngine",
    "StreamName",
    "TokenEvent",
    "UnknownRequestError",
    "Updated",
    "Watched",
    "stream",
]

_MODULES = {"SlotEngine": "slots"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
