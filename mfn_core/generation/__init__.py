"""Writing text token by token, steered and plain side by side, with interventions that may change in mid-stream.

Names are loaded when they are first used: who only passes events on (`mfn_core.generation.events`) does without torch.
"""

from typing import TYPE_CHECKING

from mfn_core.lazy import names_of

if TYPE_CHECKING:
    from mfn_core.generation.engine import Engine, Load, UnknownRequestError, stream
    from mfn_core.generation.events import (
        Alternative,
        Done,
        Ended,
        Event,
        Failed,
        Fired,
        Reason,
        Shift,
        StreamName,
        TokenEvent,
        Updated,
        Watched,
    )
    from mfn_core.generation.request import Change, GenerationRequest, PromptTooLongError
    from mfn_core.generation.sampling import Sampling
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
    "Shift",
    "SlotEngine",
    "StreamName",
    "TokenEvent",
    "UnknownRequestError",
    "Updated",
    "Watched",
    "stream",
]

_MODULES = {
    "engine": "Engine Load UnknownRequestError stream",
    "events": "Alternative Done Ended Event Failed Fired Reason Shift StreamName TokenEvent Updated Watched",
    "request": "Change GenerationRequest PromptTooLongError",
    "sampling": "Sampling",
    "slots": "SlotEngine",
}
__getattr__ = names_of(__name__, _MODULES)
