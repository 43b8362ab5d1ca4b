"""Writing text token by token, steered and plain side by side, with interventions that may change in mid-stream."""

from mfn_core.generation.engine import Engine, UnknownRequestError, stream
from mfn_core.generation.events import Alternative, Done, Ended, Event, Failed, Fired, Reason, StreamName, TokenEvent
from mfn_core.generation.pair import PairEngine
from mfn_core.generation.request import GenerationRequest, PromptTooLongError
from mfn_core.generation.sampling import Sampling

__all__ = [
    "Alternative",
    "Done",
    "Ended",
    "Engine",
    "Event",
    "Failed",
    "Fired",
    "GenerationRequest",
    "PairEngine",
    "PromptTooLongError",
    "Reason",
    "Sampling",
    "StreamName",
    "TokenEvent",
    "UnknownRequestError",
    "stream",
]
